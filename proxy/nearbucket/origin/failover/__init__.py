"""What is done when a request to S3 fails: the same origin is asked again, or another one.

In reading order:

* ``failover.py``: opens the objects of a site: at its origin, or where that fails at others.
* ``origin_breaker.py``: whether an origin is asked, where a site has several.
* ``known_versions.py``: the versions that a failover bucket may send.
* ``rest_of_body.py``: requests the rest of a body, from the same origin or another one.
* ``resume_budget.py``: how often that is done.
"""
