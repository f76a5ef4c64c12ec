"""A worker process: it accepts connections, and answers the requests on them.

The supervisor is known only as the other end of the channel on which messages come.

In reading order:

* ``worker_process.py``: the main function of a worker process; acts on each message.
* ``worker.py``: the parts of a worker, and its work once a second.
* ``worker_drain.py``: the end of a worker.
* ``file_limit.py``: notices that a worker has no free file descriptor.
"""

from nearbucket.s3 import tls_trust as tls_trust  # before anything else imports aiohttp
