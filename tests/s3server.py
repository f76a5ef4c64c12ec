"""Parts of the package that end-to-end tests use: its local S3 server and its signer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nearbucket.cli.demo.seaweedfs import SeaweedFS, allow_anonymous, make_bucket
from nearbucket.s3.credentials import Credentials
from nearbucket.s3.sigv4 import SigningScope, sign

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SeaweedFS", "allow_anonymous", "make_bucket", "signer_of"]


def signer_of(server: SeaweedFS) -> Callable[[str, str], dict[str, str]]:
    """Makes the header fields of a request to the server, of its method and path."""
    credentials = Credentials(server.access_key, server.secret_key)
    host = {"host": urlsplit(server.endpoint).netloc}

    def signed(method: str, path: str) -> dict[str, str]:
        scope = SigningScope.of(credentials, "us-east-1", time.time())
        return sign(scope, method, path, host)

    return signed
