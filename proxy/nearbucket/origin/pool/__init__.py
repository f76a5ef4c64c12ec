"""Connections to S3 without aiohttp, for the plain GET requests of the streaming lane.

They carry bytes and read only the heads of S3's 200 and 206 responses. No request is sent twice
here: what fails is tried again through ``origin/client.py``.

In reading order:

* ``signed_requests.py``: the signed request for each object, used again for a minute.
* ``connection_pool.py``: the open connections to one S3 host.
* ``connection.py``: one connection.
* ``tls_stream.py``: TLS of one connection.
* ``read_buffer.py``: the buffer that all connections of a worker read into.
* ``response_head.py``: reads the head of a response, or compares it with the last one.
"""
