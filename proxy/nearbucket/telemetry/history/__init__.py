"""What the dashboard shows of the past, kept in memory.

In reading order:

* ``traffic_history.py``: the last hour, day and week.
* ``month_estimate.py``: what a month saves and still costs, from the last 24 hours.
* ``missing_copies.py``: the objects that were asked for and that targets lack.
* ``recent_answers.py``: the last answers, read from lines of the access log.
"""
