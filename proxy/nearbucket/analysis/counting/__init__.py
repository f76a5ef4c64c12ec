"""Adds up the sums of all files, and answers from them what a report says.

Files are reduced in threads or on Spark, in any order, and kept for the next run. DuckDB adds
them up and uses the disk where memory ends. Policies and dollars are not known here.

In reading order:

* ``request_ids.py``: tells requests that several files have by their ids.
* ``kept_aggregates.py``: keeps reduced files for the next run.
* ``local_engine.py``: reduces files in threads.
* ``spark_engine.py``: reduces files on Apache Spark.
* ``aggregate_store.py``: adds up reduced files in DuckDB.
* ``client_regions.py``: region and network of each client.
* ``count_queries.py``: asks the store for the counts.
* ``count_sql.py``: its SQL.
"""
