"""The origin bucket: requests for objects, and what S3's responses mean for a client.

A client gets either all bytes of an object or a broken connection, never a short body that looks
complete. There are two ways to S3: ``client.py`` sends any request through aiohttp, and ``pool/``
sends plain GET requests on connections of its own. This folder knows nothing of clients' addresses
or of redirects.

In reading order:

* ``failover/``: opens the objects of a site; what is done when a request to S3 fails.
* ``client.py``: opens the objects of one bucket.
* ``bucket_presence.py``: tells a missing object from a missing bucket after a HEAD.
* ``conditional_request.py``: turns a client's Range and conditions into what every S3 server
  understands. Requests to S3 depend on a Range header only through it.
* ``object_response.py``: one response of S3; requests the rest when the body breaks off.
* ``response_headers.py``: which of S3's header fields a client may see.
* ``error_response.py``: reads S3's error responses for the streaming lane.
* ``missing_objects.py``: objects that an origin just did not have.
* ``error_answer.py``: turns S3's errors into the client's.
* ``origin_counters.py``: what is counted of the requests.
* ``registry.py``: the clients and connections for the origins of all sites, kept over a reload.
* ``pool/``: connections to S3 without aiohttp.
"""
