"""nearbucket: sends every download to the bucket nearest to it.

The flow of one request, and the word for each thing in it::

    bytes -> Request -> client address -> region -> Decision -> answer -> record

* request: one HTTP request as the client sent it (``decide.model.Request``).
* peer: the address on the other end of the socket; a load balancer more often than not.
* client: the address the request came from, as far as trusted proxies vouch for it.
* region: the AWS region whose published prefixes hold the client, or none.
* site: what a set of host names serves: one origin bucket and its targets.
* origin: the bucket that holds everything; objects are streamed from it.
* target: a regional copy a client in that region is redirected to.
* decision: ``Redirect``, ``Stream`` or ``Refuse``, each with its ``Reason``.
* lane: who answers: the fast lane (``edge.fastlane``) or aiohttp (``edge.handler``).
* supervisor: the process that owns the configuration, the ranges and the admin port.
* worker: a process that answers on the public port.
"""

__version__ = "0.1.0"
