"""The worker processes, as the supervisor sees them.

In reading order:

* ``worker_pool.py``: all worker processes: replaces them, sends snapshots, collects metrics, stops
  them.
* ``worker_handle.py``: one worker process: its start, its messages, its end.
* ``restart_backoff.py``: the pauses before a worker is replaced.
"""
