"""The aiohttp lane: answers every request, and is the reference for the other two lanes.

Requests with conditions, refusals, S3's errors, HEAD of an object, CORS preflights, and everything
that is incomplete, pipelined, malformed or otherwise not plain, are answered only here. It makes no
decision of its own: it asks the engine and carries out the answer.

In reading order:

* ``handler.py``: one request from its decision to its log line; streams objects.
* ``preflight.py``: CORS preflights, which the origin bucket answers.
* ``protocol.py``: aiohttp's protocol of one connection, and answers to malformed requests.
* ``unparsed.py``: the bytes that are not parsed yet, and the bound on a request's head.
* ``request_validation.py``: requests that aiohttp accepts but RFC 9112 does not.
* ``responses.py``: redirects, refusals and error texts as aiohttp responses.
"""
