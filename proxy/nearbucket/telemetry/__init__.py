"""Metrics, access log and process log of one process.

Requests are counted in plain integers and logged as lines of bytes; neither ever delays a request.
What is counted and logged is decided by the callers.

In reading order:

* ``metric_definitions.py``: every metric.
* ``metrics.py``: the counters of one process.
* ``process_totals.py``: the metrics of all processes together.
* ``savings.py``: the dollars that the redirected bytes save.
* ``history/``: traffic, money, missing copies and answers of the past, kept in memory.
* ``prometheus.py``: metrics in Prometheus' text format.
* ``embedded_metrics.py``: main figures as log lines for CloudWatch.
* ``log_format.py``: the fields of a log line, as JSON or in CloudFront's W3C format.
* ``access_log.py``: collects lines of the access log.
* ``process_log.py``: the lines of ``logging``, as text or JSON.
* ``line_writer.py``: writes the lines of either log in a thread of its own.
* ``utc_text.py``: times as text.
"""
