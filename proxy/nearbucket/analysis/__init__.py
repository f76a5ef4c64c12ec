"""Access logs, decided again: what another configuration would have done with the same requests.

``nearbucket config diff --log`` uses it. Nothing is asked of any bucket: what the log says about a
bucket is taken as given. Decisions are the engine's (``policy/``); output is the work of
``cli/config_diff_report.py``.

In reading order:

* ``log_reader.py``: reads nearbucket's JSON and W3C logs and CloudFront's logs line by line.
* ``replay.py``: decides one logged request by two configurations.
* ``policy_diff.py``: adds up the requests, bytes and dollars that differ.
"""
