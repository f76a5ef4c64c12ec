"""Reads access logs: finds files, decompresses them, and gives their lines as columns.

Every format is described once, in ``formats.py``. The fast reader makes Arrow tables of whole
blocks; what it refuses is read line by line, with the same result. A damaged file costs only
what cannot be read of it. Nothing is counted here.

In reading order:

* ``sources.py``: finds the files by path, folder, pattern and period.
* ``s3_logs.py``: lists and reads files in S3.
* ``duplicate_files.py``: leaves out copies, and files whose requests are in another format, too.
* ``log_blocks.py``: decompresses a file, and gives it in blocks of whole lines.
* ``formats.py``: the columns of all formats, and what their values mean.
* ``line_reader.py``: reads lines one by one, in every text format.
* ``arrow_reader.py``: reads blocks into Arrow tables; the fast way.
* ``log_reader.py``: gives the requests one after the other, for ``config diff``.
"""
