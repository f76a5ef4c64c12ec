"""Reduces each log file to sums of requests, bytes and downloads, by one function on all engines.

The tables of a file depend on no other file, so the sums over all files can be added.

In reading order:

* ``coded_columns.py``: columns as codes of few distinct values.
* ``request_times.py``: when each request was.
* ``request_flags.py``: requests with credentials, or by clients that opt out.
* ``request_columns.py``: what the rows of a log mean.
* ``range_sessions.py``: joins the ranges of one download.
* ``reduced_file.py``: the tables that a file is reduced to.
* ``reduce.py``: reduces one file.
* ``joined_files.py``: reduces files together.
"""
