"""Requests through caches: the CDN of ``bypass.to``, and the front, which clients of the proxy use.

In reading order:

* ``proxy_answers.py``: how an answer shows that the proxy gave it, and that a cache kept it.
* ``loop_check.py``: does ``bypass.to`` lead back to the proxy?
* ``front_check.py``: does the front pass on requests and answers as the proxy needs it?
"""
