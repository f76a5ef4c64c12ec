"""``nearbucket demo``: the proxy, a local S3 server and two buckets, without an AWS account.

It prints ``curl`` commands and their results, one for each kind of answer, and makes a report on a
sample log. When it ends, no process
and no file of it is left.

In reading order:

* ``demo_command.py``: the command and its option.
* ``demo.py``: sets everything up, runs the ``curl`` commands, and cleans up.
* ``sample_log.py``: makes the access log of the report.
* ``seaweedfs.py``: starts and stops SeaweedFS, the S3 server. The tests use it, too.
* ``child_process.py``: starts a process so that it also ends when this one is killed.
"""
