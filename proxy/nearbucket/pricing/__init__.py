"""What traffic costs: pure computation on dated price tables.

The metrics, ``analyze``, ``config diff`` and ``sync`` all take their dollars from here.

In reading order:

* ``geographies.py``: the price geography of an edge location and of an AWS region.
"""
