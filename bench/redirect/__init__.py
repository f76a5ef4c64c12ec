"""Benches of redirects and of the service as a whole: every module of this folder is one.

In reading order: ``redirect.py``, ``varied.py`` and ``connections.py`` (kinds of requests),
``idle.py`` (open connections), ``lookup.py`` (the table of prefixes alone), ``startup.py``,
``workers.py`` and ``refresh.py`` (``nearbucket serve`` with its supervisor), ``returning.py`` (a
simulation of crowds and of clients whose redirects fail).
"""
