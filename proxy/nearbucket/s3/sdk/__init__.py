"""Clients with the AWS SDK's interface, for commands, listings and a configuration in S3.

There are two. ``sdk_client.opened`` is the SDK's own, for few requests of any kind. A CopyObject
takes it 2 ms of CPU time, and loading it a third of a second. ``light_client.opened_light`` sends
listings and requests for single objects itself, in a quarter to a half of that time, and leaves all
others to the SDK. Both raise the SDK's exceptions, so that callers treat them alike.

In reading order:

* ``sdk_client.py``: the SDK's client, and what its exceptions mean.
* ``light_client.py``: a client with its interface that lists and copies without the SDK.
* ``light_request.py``: what that client sends for each operation, and what the response must have.
* ``direct_access.py``: refuses variables that name another way to S3 than the configuration.
* ``bucket_listing.py``: the objects of a bucket, page by page.
* ``ambient_bucket.py``: a bucket that no configuration describes: that of an ``s3://`` URL.
* ``config_object.py``: a configuration that is an object in S3.
"""
