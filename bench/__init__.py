"""Measurements beside nginx and HAProxy; ``python -m bench.run`` is the command.

``bench/README.md`` says what each bench measures and how to read its tables.
"""
