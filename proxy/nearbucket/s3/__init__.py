"""The side that faces S3."""
