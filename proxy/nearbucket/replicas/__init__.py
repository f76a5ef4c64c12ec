"""The copies in the target buckets, as far as a worker knows them, and whether they can be used.

By default (``redirect.verify: match``) a redirect is given only to a copy that is known to be in
the target bucket and to be equal to the origin's object. Looking this up never waits. What is known
is renewed in the background with HEAD requests; for what is unknown the aiohttp lane waits for a
moment (``catalog.wait``). This folder knows buckets and objects, but no client and no request.

In reading order:

* ``replica_status.py``: whether requests for an object may be redirected to a target, until when.
* ``replica_rule.py``: the reason that follows from the known objects, and how long it is valid.
* ``object_cache.py``: the known objects of all buckets, bounded; one HEAD request for each.
* ``bucket_cache.py``: the known objects of one bucket.
* ``check_queue.py``: the checks of one bucket that wait, fairly between networks of clients.
* ``object_version.py``: size, ETag and checksums of an object, and whether two copies are equal.
* ``origin_versions.py``: learns from the origin's responses that an object has changed.
* ``bucket_probe.py``: HEAD requests, for an object and for the bucket itself.
* ``health/``: which targets are down, and which ones clients cannot read.
* ``warm_up.py``: fills the object caches of all workers at the start.
* ``list_verification.py``: renews cached objects by listings where that costs less than HEADs.
* ``catalog_source.py``: reads one bucket, for the warm-up and for ``list_verification.py``.
* ``inventory_report.py``: reads an S3 Inventory report, in place of a listing.
"""
