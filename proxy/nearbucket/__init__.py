"""nearbucket: a proxy in front of an S3 bucket that redirects clients to the copy in their region.

A request is read, the client's address and its AWS region are found, and the policy decides whether
the client is redirected to a target bucket, the object is streamed from the origin bucket, or the
request is refused. ``docs/architecture.md`` follows a request through the files.

Words used everywhere:

* peer: the other end of the socket, often a load balancer.
* client: the address that the request came from, as far as trusted proxies vouch for it.
* region: the AWS region whose published prefixes contain the client's address, if any.
* site: the settings for a set of host names: one origin bucket and its targets.
* origin: the bucket that holds every object.
* target: a bucket in another region with copies of them, to which its clients are redirected.
* decision: redirect, stream or refuse, always with a reason.
* lane: one of the three ways in which a worker answers a request (``frontend/``).
* supervisor, worker: the process that controls, and the processes that answer (``supervisor/``).

From top to bottom. A folder imports only from those below it; ``tests/test_imports.py`` has the
floors, and fails on an import that points upwards:

* ``__main__.py``: the ``nearbucket`` command, also as ``python -m nearbucket``.
* ``cli/``: the commands.
* ``supervisor/``: the processes of ``nearbucket serve``, and the admin port.
* ``frontend/``: the connections of clients, in three lanes.
* ``replicas/``: what is known of the copies in the target buckets.
* ``origin/``: objects of the origin bucket.
* ``telemetry/``: metrics and the access log.
* ``analysis/``: access logs: reports on them, and their requests decided by another policy.
* ``replication/``: copies objects to the targets.
* ``edge_function/``: the policy as a CloudFront Function.
* ``policy/``: the decision.
* ``regions/``: AWS's list of IP prefixes.
* ``s3/``: credentials, signatures, TLS, clients.
* ``pricing/``: what traffic costs.
* ``config/``: the settings.
* ``figures.py``: dollars, volumes, shares and dates as a reader sees them, and harmless text.
* ``errors.py``: the exceptions, by the side that the failure is on.
* ``event_loop.py``: keeps long work away from the event loop.
* ``plural.py``: a count and its noun.
* ``version.py``: the version, and the commit of a built package.
"""

__version__ = "0.1.0"
