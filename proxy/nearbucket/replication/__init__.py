"""Copies objects from an origin bucket to its targets: the work of ``nearbucket sync``.

S3 copies from bucket to bucket; no object passes through this process. A copy gets the ETag of the
original where that is possible, so that it can be recognised as equal. No state is kept between
runs: what is missing or different is found by comparing the buckets. Output is the work of
``cli/sync_report.py``.

In reading order:

* ``plan.py``: which origins and targets are compared, and settings that would make this dangerous.
* ``replicator.py``: brings one target up to date: compares, copies, deletes, counts.
* ``listing_merge.py``: the listings of two buckets side by side, in constant memory.
* ``comparison.py``: whether two objects are equal when their listings do not tell.
* ``object_copy.py``: copies one object.
* ``multipart_copy.py``: copies a large object in parts; continues an upload that was interrupted.
"""
