"""The processes of ``nearbucket serve``: one supervisor, its workers, and the admin port.

The supervisor reads the configuration, keeps the list of IP prefixes current, starts and replaces
the workers, sends them a snapshot at every change, and adds up their metrics. It never handles a
client's request. A worker accepts connections and answers them.

In reading order:

* ``prefork.py``: binds the public port and forks the first workers, before there is an event loop.
* ``sockets/``: the listening sockets, and the certificate of the public port.
* ``config_source.py``: the file or object of the configuration, and whether it has changed.
* ``supervisor.py``: start, reload, refresh of the list, drain; what the admin port shows.
* ``bucket_listings.py``: the tasks that list buckets for the workers.
* ``reload_history.py``: the last reloads.
* ``observations.py``: the figures of the past, for the admin port.
* ``shutdown.py``: when and how the instance ends: signals, and another that takes over.
* ``snapshot.py``: the configuration and the prefixes as one immutable value, from which every
  process builds the same engine.
* ``config_warnings.py``: warnings about a configuration whose settings are valid.
* ``pool/``: the worker processes, as the supervisor sees them.
* ``ipc.py``: the messages between supervisor and worker.
* ``worker_silence.py``: notices that the event loop of a worker has stopped.
* ``stack_dump.py``: the Python stack of a worker that hangs or crashes, for the log.
* ``worker/``: what runs in a worker process.
* ``admin/``: the admin port.
"""
