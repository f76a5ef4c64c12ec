"""Tests of the CloudFront Function: in Node, with a stand-in for the runtime that has no more."""
