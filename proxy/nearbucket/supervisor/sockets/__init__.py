"""The listening sockets: where they come from, which process accepts, and how they are closed.

Connections that wait in a socket's accept queue are accepted whenever that is possible: by another
worker, or by the next instance.

In reading order:

* ``port_handover.py``: gets the sockets of the instance before (``--take-over``), and hands them
  over to the next.
* ``socket_activation.py``: sockets that systemd has opened.
* ``spare_sockets.py``: accepts connections for workers that hang or are being replaced.
* ``accept_queue.py``: closes a listening socket without resetting connections.
* ``listener_tls.py``: the certificate of the public port as it is in memory.
* ``certificate_dates.py``: from when and until when it is valid.
* ``certificate_watch.py``: whether its files have changed, and whether it expires soon.
"""
