"""Reads access logs: the report of ``nearbucket analyze``, and what another configuration changes.

Each file is reduced to sums, and the sums of all files are added up: so files of any number and
size are read in bounded memory, here or on Spark. ``nearbucket config diff --log`` decides each
logged request again instead. No bucket is asked: the log shows the state of the copies. The
engine (``policy/``) decides, ``pricing/`` knows what it costs, ``cli/`` has the commands.

In reading order:

* ``sources.py``: finds the files by path, folder, pattern and period.
* ``s3_logs.py``: lists and reads files in S3.
* ``duplicate_files.py``: leaves out copies, and files whose requests are in another format, too.
* ``log_blocks.py``: decompresses a file, and gives it in blocks of whole lines.
* ``formats.py``: the columns of all formats, and what their values mean.
* ``line_reader.py``: reads lines one by one, in every text format.
* ``arrow_reader.py``: reads blocks into Arrow tables; the fast way.
* ``coded_columns.py``: columns as codes of few distinct values.
* ``request_columns.py``: what the rows of a log mean.
* ``range_sessions.py``: joins the ranges of one download.
* ``reduced_file.py``: the tables that a file is reduced to.
* ``reduce.py``: reduces one file.
* ``small_files.py``: reduces small files together.
* ``request_ids.py``: tells requests that several files have by their ids.
* ``kept_aggregates.py``: keeps reduced files for the next run.
* ``local_engine.py``: reduces files in threads.
* ``spark_engine.py``: reduces files on Apache Spark.
* ``aggregate_store.py``: adds up reduced files in DuckDB.
* ``client_regions.py``: region and network of each client.
* ``count_queries.py``: asks the store for the counts.
* ``count_sql.py``: its SQL.
* ``report_building.py``: makes a report of the counts: bill, what-ifs, recommendation, notes.
* ``log_reader.py``: gives the requests one after the other, for ``config diff``.
* ``replay.py``: decides one logged request by two configurations.
* ``policy_diff.py``: adds up the requests, bytes and dollars that differ.
* ``answers.py``: the answers of a report, as plain values.
* ``traffic_replay.py``: sends the requests of a log to a running proxy.
* ``replay_requests.py``: which requests those are, and what the policy does with each.
* ``replay_counts.py``: what was sent, expected and answered.
* ``replay_comparison.py``: the proxy's counters beside the prediction.
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
