"""What policies would redirect and save by the traffic of a log, and the policy that saves most.

The engine (``policy/``) decides what is redirected, and ``pricing/`` knows what it costs. No log
is read here, only the sums in ``analysis/traffic.py``.

In reading order:

* ``traffic_tables.py``: the tables of ``analysis/traffic.py`` in a database, and the objects in
  them one after the other.
* ``copy_volume.py``: how many copies a further bucket needs in a month.
* ``policy_traffic.py``: which of the requests a policy redirects, by the engine's decisions.
* ``month_effect.py``: what redirects change in a month, in gigabytes and dollars.
* ``what_if.py``: what a configuration would change, and one more bucket.
* ``policy_text.py``: a policy in words.
* ``key_patterns.py``: groups of keys, and patterns for them.
* ``policy_facts.py``: the traffic summed up by those groups.
* ``policy_worth.py``: what redirects are worth by group, size and region.
* ``policy_fit.py``: the patterns, floor and regions that save most.
* ``policy_evidence.py``: how far the days of a log support them.
* ``recommended_config.py``: the recommended policy as settings, and as YAML to paste.
* ``recommended_lines.py``: why each pattern and region is chosen or not.
* ``recommendation.py``: the recommended policy, with its figures.
"""
