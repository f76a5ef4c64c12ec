"""Exceptions: the class says which side the failure is on, and so what to answer.

"Not known" and "not mine" are values, not exceptions.
"""

from __future__ import annotations

import sys


class ProxyError(Exception):
    """Something failed; the text is for people."""


class ConfigError(ProxyError):
    """The operator's side: the configuration cannot be used. The text names the setting."""


class RangesError(ProxyError):
    """The list's side: a document is not a usable ip-ranges.json."""


class OriginError(ProxyError):
    """The upstream's side: S3 gave no usable answer.

    Attributes:
        status: HTTP status for the client: 502, 503 or 504.
        detail: What happened, for the log; never shown to a client.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class RequestError(ProxyError):
    """The client's side: the request cannot be read as one."""


def install_command(extra: str) -> str:
    """The command that installs an extra into this environment.

    Environments of pipx may be without pip, or share that of others; pipx knows which. Those of uv,
    its tools among them, have none.
    """
    from importlib.machinery import PathFinder  # noqa: PLC0415  # for errors alone
    from pathlib import Path  # noqa: PLC0415
    from shlex import quote  # noqa: PLC0415

    environment = Path(sys.prefix)
    if (environment / "pipx_metadata.json").exists():
        installer = f"pipx runpip {quote(environment.name)} install"
    elif PathFinder.find_spec("pip") is None:  # setuptools hooks into other ways to ask
        installer = f"uv pip install --python {quote(sys.executable)}"
    else:
        installer = f"{quote(sys.executable)} -m pip install"
    return f"{installer} 'nearbucket[{extra}]'"
