"""Listings of a bucket."""
