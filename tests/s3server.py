"""Parts of the package that end-to-end tests use: its local S3 server and its signer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.seaweed import SeaweedFS, allow_anonymous, make_bucket
from proxy.storage.credentials import Credentials
from proxy.storage.signer import sign

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SeaweedFS", "allow_anonymous", "make_bucket", "signer_of"]


def signer_of(server: SeaweedFS) -> Callable[[str, str], dict[str, str]]:
    """Makes the header fields of a request to the server, of its method and path."""
    credentials = Credentials(server.access_key, server.secret_key)
    host = {"host": urlsplit(server.endpoint).netloc}

    def signed(method: str, path: str) -> dict[str, str]:
        return sign(
            method, path, host, region="us-east-1", credentials=credentials, when=time.time()
        )

    return signed
