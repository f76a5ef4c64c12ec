"""``python -m nearbucket`` is the ``nearbucket`` command."""

from nearbucket.cli.main import main

main()
