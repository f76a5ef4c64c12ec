"""Measurements beside nginx and HAProxy; ``python -m bench.run`` is the command."""
