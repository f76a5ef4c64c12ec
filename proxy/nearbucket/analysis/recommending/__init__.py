"""The policy that saves most by the traffic of a log, and how far the log supports it.

What a policy saves is asked of ``analysis/policies/``.

In reading order:

* ``key_patterns.py``: groups of keys, and patterns for them.
* ``policy_facts.py``: the traffic summed up by those groups.
* ``policy_worth.py``: what redirects are worth by group, size and region.
* ``policy_fit.py``: the patterns, floor and regions that save most.
* ``policy_evidence.py``: how far the days of a log support them.
* ``recommended_config.py``: the recommended policy as settings, and as YAML to paste.
* ``recommended_lines.py``: why each pattern and region is chosen or not.
* ``recommendation.py``: the recommended policy, with its figures.
"""
