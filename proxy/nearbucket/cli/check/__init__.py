"""``nearbucket check``: whether a configuration is valid and its buckets match it.

Each bucket is checked once, then each site with its targets. Each result is a finding with a
level, a text and a fix. Nothing is changed in any bucket.

In reading order:

* ``command.py``: options, output and exit code.
* ``checks.py``: which checks are made, in the order of the configuration.
* ``finding.py``: what a finding is.
* ``region_check.py``: whether the list of prefixes has addresses in the regions of all targets.
* ``exposure_check.py``: whether clients can forge their address, and who reaches the admin port.
* ``certificate_check.py``: whether ``serve`` can use the files of ``listen.tls``.
* ``drain_check.py``: whether a container needs a longer stop timeout than usual.
* ``bucket_inspection.py``: the checks of one bucket.
* ``replica_sample.py``: takes a sample of the objects that would be redirected, and compares the
  copies in the targets with the origin.
* ``failover_sample.py``: compares a sample of all objects with the failover buckets.
* ``client_probe.py``: findings about requests of an object as clients send them, by URL alone.
* ``through_caches/``: requests to the CDN of ``bypass.to``, and through the front.
"""
