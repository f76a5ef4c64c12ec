"""Chaos: faults between the product and a real S3 server, and clients that check every byte.

A download is whole and right, visibly broken (the connection ended before Content-Length), or
refused (502, 503 or 504); never short yet looking whole, never of its length with other bytes.
``make chaos`` plays the short form, ``make chaos ARGS=--long`` 20 MiB and hundreds of clients;
``ARGS="--seed 7 --scene TLS"`` repeats the faults of a run, in scenes with a word in their names.

In reading order: ``faults`` are what happens to a response, drawn by seed; ``fault_proxy`` stands
in front of the S3 server and does it; ``downloads`` are clients, and their verdicts; ``objects``
are the bytes of a seed; ``world`` starts what scenes share; ``stage`` is one scene's site, proxy
and counts; ``scenes_of_*.py`` are the scenes; ``play`` plays them and prints the table.
"""
