"""The processes of ``nearbucket serve``: one supervisor, its workers, and the admin port.

The supervisor reads the configuration, keeps the list of IP prefixes current, starts and replaces
the workers, sends them a snapshot at every change, and adds up their metrics. It never handles a
client's request. A worker accepts connections and answers them.

In reading order:

* ``prefork.py``: binds the public port and forks the first workers, before there is an event loop.
* ``port_handover.py``: gets the sockets of the instance before (``--take-over``), and hands them
  over to the next.
* ``socket_activation.py``: sockets that systemd has opened.
* ``supervisor.py``: start, reload, refresh of the list, drain; what the admin port shows.
* ``shutdown.py``: when and how the instance ends: signals, and another that takes over.
* ``snapshot.py``: the configuration and the prefixes as one immutable value, from which every
  process builds the same engine.
* ``worker_pool.py``: all worker processes as the supervisor sees them: replaces them, sends
  snapshots, collects metrics, stops them.
* ``worker_handle.py``: one of them: its start, its messages, its end.
* ``worker_silence.py``: notices that the event loop of a worker has stopped.
* ``stack_dump.py``: the Python stack of a worker that hangs or crashes, for the log.
* ``restart_backoff.py``: the pauses before a worker is replaced.
* ``ipc.py``: the messages between supervisor and worker.
* ``worker_process.py``: the main function of a worker process; acts on each message.
* ``spare_sockets.py``: accepts connections for workers that hang or are being replaced.
* ``worker.py``: the parts of a worker, and its work once a second.
* ``worker_drain.py``: the end of a worker.
* ``accept_queue.py``: closes a listening socket without resetting connections.
* ``file_limit.py``: notices that a worker has no free file descriptor.
* ``listener_tls.py``: the certificate of the public port, loaded again when its files change.
* ``admin_server.py``: serves the admin port on a socket.
* ``admin_api.py``: the admin port: ``/metrics``, ``/healthz``, ``/readyz``, ``/api/…`` and the
  dashboard (``dashboard.html``).
* ``admin_protection.py``: keeps web pages of other sites from reading the admin port.
* ``status.py``: the document that ``/api/status`` returns.
"""
