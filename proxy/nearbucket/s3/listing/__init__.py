"""Lists a bucket with ListObjectsV2. Everything that lists a bucket does so here.

In reading order:

* ``list_page.py``: reads one page of a listing.
"""
