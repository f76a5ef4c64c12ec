"""What the benches share: the case that is compared, servers, loads, rounds, tables and results.

In reading order: ``frame.py`` (what a bench is), ``case.py`` (policy and clients), ``servers.py``
and ``service.py`` (what is measured), ``loads.py`` (what sends the requests), ``processes.py``
(CPU time and memory), ``comparison.py`` (rounds and ratios), ``results.py`` (files, and what
moved between two).
"""
