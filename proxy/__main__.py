"""``python -m proxy`` is the ``nearbucket`` command."""

from proxy.cli import main

main()
