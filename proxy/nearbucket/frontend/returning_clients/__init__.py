"""Clients that come back with the same request after a redirect, because it failed for them.

Redirects of the last minutes are remembered; a client whose redirects fail gets its objects
streamed.

In reading order:

* ``came_back.py``: the rule that tells clients whose redirects fail from crowds.
* ``sibling_ranges.py``: which download a range belongs to, for ranges of an object that changed.
* ``recent_redirects.py``: the redirects of the last minutes, in a table that all workers share.
* ``stuck_clients.py``: the clients whose redirects fail, for the log and the admin port.
"""
