"""Sends the requests of a log to a running proxy, and compares its counters with the prediction.

Only ``nearbucket analyze --replay`` does this. Redirects are not followed, and bodies of objects
are not downloaded.

In reading order:

* ``traffic_replay.py``: sends the requests of a log to a running proxy.
* ``replayed_logs.py``: reads the logs, and names what it cannot read.
* ``replay_requests.py``: which requests those are, and what the policy does with each.
* ``replay_counts.py``: what was sent, expected and answered.
* ``replay_comparison.py``: the proxy's counters beside the prediction.
"""
