"""What traffic costs: pure computation on dated price tables.

The metrics, ``analyze``, ``config diff`` and ``sync`` all take their dollars from here.

In reading order:

* ``geographies.py``: the price geography of an edge location and of an AWS region.
* ``price_list.py``: AWS's list prices, of the dated ``list_prices.yaml``.
* ``tariff.py``: everything that a price depends on.
* ``bill.py``: the bill of a month, and what a change of the traffic saves.
* ``copies.py``: what copies in target buckets cost.
"""
