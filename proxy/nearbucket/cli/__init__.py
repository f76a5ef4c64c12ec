"""The commands of ``nearbucket``: their options, their output and their exit codes.

Each command is one function that reads its arguments, calls the other folders, and prints a table
on a terminal, TAB-separated lines in a pipe, or JSON with ``--json``. No command decides anything
about a request: ``explain`` and ``config diff`` call the same engine as a worker (``policy/``).

In reading order:

* ``main.py``: the entry point and exit codes; loads the command that is called.
* ``output.py``: options that several commands share, and how results are printed.
* ``serve_command.py``: ``serve``, which runs the proxy.
* ``init_command.py``: ``init``, which writes a first configuration.
* ``explain_command.py``: ``explain``, by the policy alone or by what a running server knows.
* ``ranges.py``: ``lookup`` and ``ranges``, the commands about AWS's list of IP prefixes.
* ``sync.py``: ``sync``, which copies objects from the origin bucket to the target buckets.
* ``sync_report.py``: the progress lines and the summary of ``sync``.
* ``compile_cloudfront.py``: ``compile cloudfront``, which writes the policy as an edge function.
* ``analyze/``: ``analyze``, which makes a report of access logs.
* ``log_progress.py``: the progress bar of commands that read logs.
* ``config/``: ``config``, which shows the configuration or its schema, or compares two.
* ``check/``: ``check``, which tests a configuration and its buckets.
* ``demo/``: ``demo``, which runs the proxy against an S3 server on this machine.
"""

import os
import signal
import sys

if os.getpid() == 1:
    # For the first process of a container the kernel drops a SIGTERM without a handler, and the
    # imports of `serve` take a second before there is one: the container would have to be killed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # as shells do
