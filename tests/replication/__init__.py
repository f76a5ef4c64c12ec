"""Tests of what ``nearbucket sync`` is made of."""
