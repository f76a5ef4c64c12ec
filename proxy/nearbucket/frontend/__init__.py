"""The connections of clients: requests are read, decided by the engine, and answered.

The decision on a request, step by step from its method to its answer, is ``Engine.decide`` in
``policy/engine.py``. No file here contains a rule about which client is redirected. A decision is
carried out in one of three lanes:

* The aiohttp lane (``aiohttp_lane/``) answers every request. It is the reference.
* The fast lane (``client_connection.py``) answers plain GET and HEAD requests that are redirected.
* The streaming lane (``streaming/``) passes the object of a plain GET from S3's socket to the
  client's.

The last two are accelerators. They take only requests that they answer exactly as the aiohttp lane
would, and give everything else to it unchanged. With both switched off, the tests of behaviour
pass as they do with both on.

In reading order:

* ``client_connection.py``: one client connection: the fast lane, and which lane gets a request.
* ``tls_handshake.py``: a client connection until its TLS handshake is complete.
* ``closing_connection.py``: one that was closed in a drain, until its client has all bytes.
* ``request_parser.py``: recognises plain GET and HEAD requests; all others go to aiohttp.
* ``worker_context.py``: holds what the connections of one worker share.
* ``decider.py``: has the engine decide, with what is known of copies and recent redirects.
* ``decision_cache.py``: earlier decisions, by client and by object, and why they may be reused.
* ``cached_decision.py``: the parts of a decision from which answers, metrics and log lines are
  built.
* ``answer_recorder.py``: counts and logs an answer, whichever lane wrote it.
* ``live_explanation.py``: explains a decision by what a worker knows, for ``/api/explain``.
* ``response_heads.py``: the bytes of redirects and of the heads of streamed objects.
* ``handoff.py``: what one lane gives another with a request that it passes on.
* ``limits/``: limits on clients: connections, streams, time, memory.
* ``returning_clients/``: clients that come back because a redirect failed.
* ``streaming/``: the streaming lane.
* ``aiohttp_lane/``: the aiohttp lane.
"""
