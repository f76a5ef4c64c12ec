"""Access to S3: credentials, signatures, TLS, and clients that send requests.

Nothing here knows the proxy's clients.

In reading order:

* ``credentials.py``: credentials from the AWS SDK's chain or from files.
* ``sigv4.py``: signs requests without a body (AWS Signature Version 4).
* ``presigner.py``: signs URLs for clients that have no credentials.
* ``tls_trust.py``: which certificate authorities are trusted on the way to S3.
* ``http_session.py``: the aiohttp session for objects, and the header fields of each request.
* ``receive_buffer.py``: whether the kernel's receive buffer of a connection to S3 may grow.
* ``client_request.py``: requests a byte of an object as a redirected client does, by URL alone.
* ``bucket_location.py``: a bucket of the configuration, its prefix and its credentials.
* ``copy_mark.py``: the tag (mark) of a copy that equals an origin's object with another ETag.
* ``error_codes.py``: what S3's error codes mean, and what helps.
* ``unreadable.py``: why clients could not read an object: archived, or encrypted.
* ``listing/``: reads the pages of a bucket's listing.
* ``sdk/``: clients with the AWS SDK's interface: listing, copying, bucket settings, a configuration
  in S3.
"""
