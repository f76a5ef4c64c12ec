"""``nearbucket config``: shows the configuration or its schema, and compares two.

In reading order:

* ``config_commands.py``: the commands; ``config schema`` and ``config show``.
* ``config_diff.py``: ``config diff``, which compares two configurations.
* ``config_diff_report.py``: how the differences are shown.
"""
