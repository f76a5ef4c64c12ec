"""The admin port, which the supervisor serves. No request for an object goes through it.

In reading order:

* ``admin_server.py``: serves the admin port on a socket.
* ``admin_api.py``: the routes: ``/metrics``, ``/healthz``, ``/readyz``, ``/api/…`` and ``/``.
* ``admin_protection.py``: keeps web pages of other sites from reading the admin port.
* ``status.py``: the document of ``/api/status``.
* ``target_times.py``: since when targets are up or down, for that document.
* ``history_document.py``: the document of ``/api/history``.
* ``dashboard/``: the page at ``/``, made from these documents.
"""
