"""Certificate authorities that are trusted: by our own connections, aiohttp and the SDK.

When aiohttp is imported, it makes two TLS contexts for sessions that are given none, and reads the
authorities for each: an eighth of the start of ``serve``. All our sessions are given one, so those
two are made without authorities where this module is imported first, as by ``serve``; a session
without a context of its own then trusts no server.
"""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nearbucket.config.regular_file import read_regular_file
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _without_authorities() -> Iterator[None]:
    """Have new TLS contexts read no authorities."""
    ssl.SSLContext.set_default_verify_paths = lambda _: None  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # that of its base class


with _without_authorities():
    import aiohttp

NAMES = ("SSL_CERT_FILE", "AWS_CA_BUNDLE")
"""Variables that name a file of certificate authorities: OpenSSL's, then the AWS SDK's."""

REMEDY = f"{NAMES[0]} or {NAMES[1]} names the file of authorities to trust"

_OTHER_NAME = {62, 64}
"""``X509_V_ERR_HOSTNAME_MISMATCH`` and ``..._IP_ADDRESS_MISMATCH`` (OpenSSL's x509_vfy.h)."""


def authorities() -> str | None:
    """The file of certificate authorities: the named one, or else the system's, if it has one.

    Raises:
        ConfigError: The named file cannot be read.
    """
    for name in NAMES:
        file = os.environ.get(name)
        if file and not os.access(file, os.R_OK):
            raise ConfigError(f"{name}: {file} cannot be read; name another file, or unset it")
        if file:
            return file
    return ssl.get_default_verify_paths().cafile


@cache
def trusted() -> ssl.SSLContext:
    """The TLS context for S3: certificates and host names are checked.

    There is one in a process, made before workers are forked: reading the authorities takes 15 to
    50 ms of CPU time and a megabyte.

    Raises:
        ConfigError: The file holds no certificate authorities.
    """
    file = authorities()
    try:
        context = ssl.create_default_context(cafile=file)
    except OSError as error:
        raise ConfigError(f"{file} holds no certificate authorities ({error}); {REMEDY}") from None
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION  # of TLS 1.2, which S3 does not use
    return context


@cache
def environment_of_workers() -> tuple[int | None, dict[str, str]]:
    """Has workers that are started later trust the authorities of now.

    Their file may be gone or broken by then. Called first when workers are started.

    Returns:
        The descriptor of a copy in memory, which they have to inherit, and variables for them; None
        and no variable if the system has no file of authorities.

    Raises:
        ConfigError: The file cannot be read.
    """
    file = authorities()
    if file is None:
        return None, {}
    try:
        data = read_regular_file(Path(file))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}; {REMEDY}") from None
    descriptor = os.memfd_create("nearbucket-authorities")
    with os.fdopen(descriptor, "wb", closefd=False) as copy:
        copy.write(data)
    return descriptor, {NAMES[0]: f"/proc/self/fd/{descriptor}"}


def complaint(error: Exception) -> str:
    """Why a server could not be asked, as the end of a sentence that begins with its name."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        stated = str(getattr(cause, "verify_message", "") or cause).rstrip(".")
        is_other = getattr(cause, "verify_code", 0) in _OTHER_NAME
        remedy = "write an endpoint with a name of its certificate" if is_other else REMEDY
        return f"is not trusted ({stated}); {remedy}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"speaks no TLS ({error.os_error}); is the endpoint http://, or its port another?"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error  # its text is asyncio's; a name that is not found has no errno
        number = cause.errno or 0
        why = os.strerror(number) if number > 0 else cause.strerror or cause
        return f"cannot be reached: {why}"
    return f"cannot be reached: {error!r}"
