"""The policy: whether a request is redirected, streamed or refused, and for which reason.

Everything here is a pure function of the request, the settings and the prefixes: no I/O, no clock,
no log, no metric. Workers, ``explain``, ``sync``, ``check`` and ``config diff`` all use it, so that
there is one policy. What is known of the target buckets comes in through an interface
(``ReplicaKnowledge`` in ``engine.py``) that ``frontend/decider.py`` implements.

In reading order:

* ``model.py``: what a request and a decision are.
* ``record.py``: the decorator of values that are made for each request.
* ``reasons.py``: every reason for a decision, with its action and its meaning.
* ``engine.py``: decides a request from its method to its answer, and explains each step.
* ``object_keys.py``: from the path of a URL to the key of an object, and back.
* ``client_address.py``: the client's address, and which proxies are believed about it.
* ``rules.py``: the rules of one site, in the order in which they are applied.
* ``preconditions.py``: whether the client has the current version, by its If-None-Match.
* ``byte_range.py``: the grammar of a Range field, for streams and logs.
* ``selection.py``: which objects of a bucket the rules could ever redirect.
* ``explain.py``: builds the request that ``explain`` and ``/api/explain`` ask about.
"""
