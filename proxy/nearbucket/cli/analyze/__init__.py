"""The command ``nearbucket analyze``.

In reading order:

* ``analyze_command.py``: its options.
* ``analyze_run.py``: what it does: files, counts, report.
* ``analyze_inventory.py``: ``--inventory``, objects that the log does not show.
* ``analyze_nothing.py``: what is said if no request counts.
* ``analyze_output.py``: where the report goes, and what is missing in it.
* ``analyze_replay.py``: ``--replay``, which sends a log's requests to a running proxy.
"""
