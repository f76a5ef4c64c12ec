"""The origin bucket: requests for objects, and what S3's responses mean for a client.

A client gets either all bytes of an object or a broken connection, never a short body that looks
complete. There are two ways to S3: ``client.py`` sends any request through aiohttp, and ``pool/``
sends plain GET requests on connections of its own. This folder knows nothing of clients' addresses
or redirects.

In reading order:

* ``client.py``: opens an object of one bucket; turns S3's errors into the client's.
* ``conditional_request.py``: Range, If-Match and the other conditions of a client, as S3 is asked
  them. The one place that reads a Range header.
* ``object_response.py``: one response of S3; asks for the rest when the body breaks off.
* ``response_headers.py``: which of S3's header fields a client may see.
* ``error_response.py``: reads S3's error documents for the streaming lane.
* ``registry.py``: the client and the connections of every site's origin, kept over a reload.
* ``pool/``: connections to S3 without aiohttp.
"""
