"""Counts requests, bytes and downloads: each file is reduced to sums, and the sums are added up.

The tables of a file depend on no other file, so files are reduced in any order, in threads or
on Spark, by one function, and kept for the next run. DuckDB adds them up and uses the disk where
memory ends. Policies and dollars are not known here.

In reading order:

* ``coded_columns.py``: columns as codes of few distinct values.
* ``request_times.py``: when each request was.
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
"""
