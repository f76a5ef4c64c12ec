"""The command ``nearbucket``, also as ``python -m nearbucket``."""

import signal
import sys


def run() -> None:
    """Load the command line, and run it; Ctrl-C while it is loaded ends the process quietly."""
    if sys.argv[1:2] == ["serve"]:
        # Until the supervisor reloads at it: by default it would end the process, which systemd
        # takes for a clean end. Workers ignore it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        from nearbucket.cli.main import main  # noqa: PLC0415  # half of a short command's time
    except KeyboardInterrupt:
        sys.exit(130)  # as in shells
    main()


if __name__ == "__main__":
    run()
