"""The bench ``slow``: memory for hundreds of clients that read slowly.

In reading order: ``slow.py`` (the bench), ``crowd.py`` (one proxy and its readers), ``memory.py``
(what process and kernel hold), ``readers.py`` (the clients). Origin and proxies are those of
``bench/streaming``.
"""
