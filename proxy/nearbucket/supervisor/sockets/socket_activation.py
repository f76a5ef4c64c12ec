"""Listening sockets that systemd has opened and passed (``LISTEN_FDS``, see sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from nearbucket.config.settings import Settings

_FIRST = 3
"""Descriptor of the first socket."""


class PassedSockets:
    """The sockets that systemd has passed, by the settings that name their ports.

    Attributes:
        public: Those of ``listen.port``.
        admin: That of ``admin.port``, if there is one.
    """

    def __init__(
        self,
        settings: Settings,
        environment: MutableMapping[str, str] = os.environ,
        first: int = _FIRST,
    ) -> None:
        """Take them from the environment, and remove the variables.

        Raises:
            ConfigError: One is not a listening TCP socket of ``listen.port`` or ``admin.port``.
        """
        pid, count = (environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS"))
        environment.pop("LISTEN_FDNAMES", None)
        self.public: list[socket.socket] = []
        self.admin: socket.socket | None = None
        if pid == str(os.getpid()) and count.isdecimal():
            for number in range(first, first + int(count)):
                self._add(number, settings)

    def _add(self, number: int, settings: Settings) -> None:
        try:
            passed = socket.socket(fileno=number)
        except OSError as error:
            raise ConfigError(
                f"listen: number {number} of LISTEN_FDS is no socket ({error.strerror}); pass "
                "sockets alone, with ListenStream="
            ) from None
        port = _port(passed)
        if port == settings.listen.port:
            self.public.append(passed)
        elif port == settings.admin.port and self.admin:
            for each in (passed, self.admin):
                each.close()
            raise ConfigError(
                f"admin: socket {number} of LISTEN_FDS is a second one for port {port}, which "
                "nobody would answer; pass one"
            )
        elif port == settings.admin.port:
            self.admin = passed
        else:
            passed.close()
            what = f"is for port {port}" if port else "does not listen on a TCP port"
            raise ConfigError(
                f"listen: socket {number} of LISTEN_FDS {what}; pass sockets for listen.port "
                f"{settings.listen.port} and admin.port {settings.admin.port}, or change these"
            )
        passed.set_inheritable(False)


def _port(passed: socket.socket) -> int | None:
    """The port that a socket listens on; None if there is none."""
    is_ip = passed.family in {socket.AF_INET, socket.AF_INET6}
    if is_ip and passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return int(passed.getsockname()[1])
    return None
