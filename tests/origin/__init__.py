"""Tests of the side that faces S3."""
