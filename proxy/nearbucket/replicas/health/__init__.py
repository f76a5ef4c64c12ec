"""Which targets are down, and which ones clients cannot read: requests every few seconds.

In reading order:

* ``canaries.py``: a few objects of a bucket, by which a probe notices that it was replaced.
* ``health_check.py``: probes all targets every few seconds, and says which are down.
* ``origin_check.py``: says that an origin bucket does not exist, or does not accept the keys.
* ``client_check.py``: requests objects as clients do, and says which targets clients cannot read.
* ``client_target.py``: a target as clients see it, and the sites and regions that use it.
* ``circuit_breaker.py``: tells when redirects of too many clients fail.
"""
