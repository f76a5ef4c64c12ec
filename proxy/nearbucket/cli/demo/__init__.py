"""``nearbucket demo``: a local S3 server, two buckets and the proxy, for trying out."""
