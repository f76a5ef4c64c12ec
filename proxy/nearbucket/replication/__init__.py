"""Copies objects from an origin bucket to its targets: the work of ``nearbucket sync``.

S3 copies from bucket to bucket. Objects pass through this process only with ``--adopt``, which
reads copies that another tool made, to find out whether they are equal. Where possible, a copy gets
the ETag of its original, so that listings show that they are equal; elsewhere it gets a mark, which
is a tag. What is missing or different is found by comparing the buckets; a cache of equal pairs on
disk (``alike_pairs.py``) only saves requests. ``cli/sync_report.py`` makes the output.

In reading order:

* ``plan.py``: which origins and targets are compared, and settings that would make this dangerous.
* ``step_order.py``: which of them has to come before others.
* ``replicator.py``: brings one target up to date: compares, copies, deletes, counts.
* ``sync_progress.py``: what a run has found and done so far.
* ``listing_merge.py``: pairs the objects of two buckets by key.
* ``comparison.py``: whether two objects are equal, and what is to be done if they are not.
* ``alike_pairs.py``: remembers between runs which copies are equal, though older.
* ``byte_comparison.py``: reads a copy with another ETag to find out whether it is equal.
* ``object_copy.py``: copies one object.
* ``multipart_copy.py``: copies a large object in parts; continues an upload that was interrupted.
"""
