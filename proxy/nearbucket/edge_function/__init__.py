"""The policy as a CloudFront Function with its KeyValueStore, for sites without a server.

``compile cloudfront`` writes what this folder makes: JavaScript that decides as ``Engine.decide``
does by everything that is in a request, and the list of prefixes as pairs of a store. Which rules
such a function cannot keep, and what is unsafe without them, is a table here. Nothing here reads or
writes a file, except for the template ``function.js``, or calls AWS.

In reading order:

* ``unkept_rules.py``: the rules that a function cannot keep, and the risk of each.
* ``function_source.py``: the settings of the sites, written into ``function.js``.
* ``pattern_expressions.py``: shell patterns as regular expressions of JavaScript.
* ``address_store.py``: the prefixes as pairs of a KeyValueStore.
* ``store_update.py``: the difference of two stores, in requests of the size that AWS accepts.
* ``sample_event.py``: an event with which AWS can test the function.
* ``deployment_text.py``: the commands that put the function into service.
"""
