"""Requests by the AWS SDK: for commands, the warm-up and a configuration in S3.

In reading order:

* ``sdk_client.py``: the AWS SDK's client, for listing, copying and bucket settings.
* ``light_client.py``: the same client, with the requests for each object sent without the SDK.
* ``direct_access.py``: refuses variables that name another way to S3 than the configuration.
* ``bucket_listing.py``: the objects of a bucket, page by page.
* ``ambient_bucket.py``: a bucket that no configuration describes: that of an ``s3://`` URL.
* ``config_object.py``: a configuration that is an object in S3.
"""
