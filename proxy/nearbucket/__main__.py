"""The command ``nearbucket``, also as ``python -m nearbucket``."""

import sys


def run() -> None:
    """Load the command line, and run it; Ctrl-C while it is loaded ends the process quietly."""
    try:
        from nearbucket.cli.main import main  # noqa: PLC0415  # half of a short command's time
    except KeyboardInterrupt:
        sys.exit(130)  # as in shells
    main()


if __name__ == "__main__":
    run()
