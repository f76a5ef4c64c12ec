"""AWS's published list of IP prefixes: getting it, checking it, and finding an address in it.

The lookup does no I/O. Nothing here depends on what an address's region is used for.

In reading order:

* ``ip_ranges.py``: checks an ``ip-ranges.json`` document and turns it into rows.
* ``prepared_list.py``: the built-in list and the copy on disk in a form that is read faster.
* ``region_table.py``: the lookup from an address to its region.
* ``prefix_tree.py``: the tree in which that lookup searches.
* ``prefixes.py``: addresses and prefixes as bytes and numbers.
* ``ip_ranges_source.py``: downloads the list, and keeps the last good copy on disk.
* ``built_in_list.py``: the list that comes with this version, for use until the first fetch.
* ``list_guard.py``: which lists are held back: older, or of another extent than the one in use.
* ``feed.py``: refreshes the list.
* ``queries.py``: questions about a list, for ``lookup --details`` and ``ranges diff``.
"""
