"""The bench ``streaming``: objects of 64 KiB, 10 MiB and 1 GiB, plain and over TLS.

In reading order: ``streaming.py`` (the bench), ``scene.py`` (origin, settings and clients),
``configs.py`` and ``proxies.py`` (nginx and HAProxy beside nearbucket), ``downloads.py`` and
``client.py`` (the load), ``alone.py`` (a command for single rows, also of ``slow``).
"""
