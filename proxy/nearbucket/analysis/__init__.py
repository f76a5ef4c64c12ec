"""Reads access logs: the report of ``nearbucket analyze``, and what another configuration changes.

Each file is reduced to sums, and the sums of all files are added up: so files of any number and
size are read in bounded memory, here or on Spark. ``nearbucket config diff --log`` decides each
logged request again instead. No bucket is asked: the log shows the state of the copies. The
engine (``policy/``) decides, ``pricing/`` knows what it costs, ``cli/`` has the commands.

In reading order:

* ``answers.py``: the answers of a report, as plain values.
* ``traffic.py``: the tables from which what-ifs and recommendations are computed.
* ``shared_database.py``: connections to the database in which tables are asked.
* ``reading/``: finds and reads the files, in every format.
* ``reducing/``: reduces each file to sums.
* ``counting/``: adds up the sums of all files, here or on Spark, and answers from them.
* ``policies/``: what policies would redirect and save.
* ``recommending/``: the policy that saves most.
* ``report_building.py``: makes a report of the counts: bill, what-ifs, recommendation, notes.
* ``report_notes.py``: the sentences that a reader of a report must see first.
* ``report/``: shows a report on a terminal, as JSON, or as a page for a browser.
* ``replay.py``: decides one logged request by two configurations.
* ``policy_diff.py``: adds up the requests, bytes and dollars that differ.
* ``live_replay/``: sends the requests of a log to a running proxy.
"""
