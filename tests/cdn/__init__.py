"""A caching proxy that follows CloudFront's documented rules, for tests and for demonstrations.

It stands between clients and the product in ``tests/story`` and in ``docker compose --profile cdn``
and shows what a cache does with the product's answers. The rules are those of the Amazon CloudFront
Developer Guide; each has a test here. Where the guide leaves a question open, the answer is taken
that is worse for an origin whose answers depend on the client: a redirect of a HEAD also answers a
GET, and a CloudFront-Viewer-Address of the viewer's own is passed on unless the policy adds one.

Left out: compression, custom error pages, retries, origin groups, regional caches, functions at the
edge, the signature of origin access control (the bucket is public instead), and viewers' HTTPS.

In reading order:

* ``distribution.py``: the settings, by CloudFront's own names.
* ``lifetime.py``: how long a response is kept.
* ``entry.py``: a response that is kept, whole or in parts, and what it answers.
* ``forwarding.py``: header fields of requests to the origin and of answers to viewers.
* ``edge.py``: the server: cache, request collapsing, revalidation.
* ``origin.py``: an origin and a viewer for its own tests.
* ``__main__.py``: ``python -m tests.cdn FILE`` serves the distributions of a YAML file.
"""
