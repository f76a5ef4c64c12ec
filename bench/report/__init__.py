"""The bench ``report``: a report on generated access logs beside igzip and GoAccess.

In reading order: ``report.py`` (the bench), ``readers.py`` (the programs, and what one run of them
takes), ``scale.py`` (a command for tens of millions of lines, which take too long for a bench).
"""
