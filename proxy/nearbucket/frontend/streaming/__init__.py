"""The streaming lane: the object of a plain GET, from S3's socket to the client's.

It takes GET requests without conditions, with or without a Range, that are to be streamed from the
origin. It answers with S3's 200 or 206 only. If S3 answers anything else, or does not answer, the
aiohttp lane answers the request. If S3 drops the body, the rest comes through the aiohttp client
(``origin/client.py``). Nothing is buffered: while the client is slow, S3 is not read.

In reading order:

* ``relay.py``: answers one request: passes the body on, and the rest of one that S3 drops.
* ``origin_exchange.py``: sends the request to S3, and reads the response.
* ``client_writer.py``: writes to the client, and says when the client is slower than S3.
* ``read_sizing.py``: how many bytes of a large body are read from S3 at a time.
"""
