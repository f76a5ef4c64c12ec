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
* ``traffic_tables.py``: those tables in a database, and the objects in them one after the other.
* ``copy_volume.py``: how many copies a further bucket needs in a month.
* ``policy_traffic.py``: which of the requests a policy redirects, by the engine's decisions.
* ``month_effect.py``: what redirects change in a month, in gigabytes and dollars.
* ``what_if.py``: what a configuration would change, and one more bucket.
* ``policy_text.py``: a policy in words.
* ``key_patterns.py``: groups of keys, and patterns for them.
* ``policy_facts.py``: the traffic summed up by those groups.
* ``policy_worth.py``: what redirects are worth by group, size and region.
* ``policy_fit.py``: the patterns, floor and regions that save most.
* ``policy_evidence.py``: how far the days of a log support them.
* ``recommended_config.py``: the recommended policy as settings, and as YAML to paste.
* ``recommended_lines.py``: why each pattern and region is chosen or not.
* ``recommendation.py``: the recommended policy, with its figures.
* ``report_notes.py``: the sentences that a reader of a report must see first.
"""
