"""Limits on clients: how much they may use of a worker at a time, and for how long.

``limits.max_connections`` is not here: ``frontend/worker_context.py`` counts the connections.

In reading order:

* ``connection_timeouts.py``: how long a connection may wait for its client.
* ``unread_bytes.py``: how much of what was sent the client has not taken.
* ``client_limit.py``: the streams and checks in progress for one network of clients.
* ``stream_limit.py``: how many objects may be streamed at a time.
* ``client_pace.py``: how much the kernel may keep for a client, by the client's speed.
* ``tcp_info.py``: what the kernel knows of a client connection.
* ``minimum_rate.py``: which clients take less than ``limits.min_rate``.
* ``gone_client.py``: which clients have gone while S3 is silent.
"""
