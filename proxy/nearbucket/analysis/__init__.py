"""Replays access logs: what another configuration would have done with the same requests.

``nearbucket config diff --log`` uses this. The engine (``policy/``) decides. No bucket is asked:
the logged reason shows the state of the copies. ``cli/config_diff_report.py`` makes the output.

In reading order:

* ``log_reader.py``: reads nearbucket's JSON and W3C logs and CloudFront's logs line by line.
* ``replay.py``: decides one logged request by two configurations.
* ``policy_diff.py``: adds up the requests, bytes and dollars that differ.
* ``answers.py``: the answers of a report, as plain values.
* ``traffic.py``: the tables from which what-ifs and recommendations are computed.
* ``report/``: shows a report on a terminal, as JSON, or as a page for a browser.
"""
