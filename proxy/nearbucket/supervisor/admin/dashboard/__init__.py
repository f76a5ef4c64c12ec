"""The dashboard: one page, made here from the documents of ``/api``.

It can be read without JavaScript. The script only fetches the page again every few seconds and
replaces what has changed, and asks ``/api/explain`` for the form. All text is escaped, whatever
client or configuration it comes from. The page loads nothing and changes nothing.

In reading order:

* ``dashboard_page.py``: the page; its content follows ``dashboard.css`` and ``dashboard.js``.
* ``dashboard_top.py``: what an operator and a payer look for first: targets, problems, money.
* ``traffic_section.py``: traffic over time, statuses and durations.
* ``traffic_chart.py``: the chart of it, as SVG.
* ``dashboard_tables.py``: regions, targets, missing copies, hosts, decisions, reloads.
* ``dashboard_markup.py``: tables that phones show as lists, and times in words.
"""
