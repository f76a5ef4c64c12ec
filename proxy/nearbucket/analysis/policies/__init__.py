"""What policies would redirect and save by the traffic of a log.

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
"""
