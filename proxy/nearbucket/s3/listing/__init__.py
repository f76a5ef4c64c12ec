"""Reads listings (responses to ListObjectsV2); ``s3/sdk/bucket_listing.py`` requests them.

In reading order:

* ``list_page.py``: reads one page of a listing.
"""
