"""Parts of the package that end-to-end tests use: its local S3 server and its signer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nearbucket.cli.demo.seaweedfs import SeaweedFS, allow_anonymous, make_bucket
from nearbucket.config.buckets import KeyFiles
from nearbucket.s3.credentials import Credentials
from nearbucket.s3.sigv4 import SigningScope, sign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["LargeChunks", "SeaweedFS", "allow_anonymous", "key_files", "make_bucket", "signer_of"]


class LargeChunks(SeaweedFS):
    """SeaweedFS whose copied parts have the ETags that S3 gives them: the MD5 of their bytes.

    With its usual chunks of 4 MiB, a copied part of more than one chunk has the MD5 of the
    chunks' MD5s (``weed/s3api/s3api_object_handlers_copy.go``, read in 4.48).

    Attributes:
        inline: Objects of fewer bytes are kept in its filer, which costs less than a chunk.
        filer: The address below which its filer has the buckets, for ``tests.storing``.
    """

    inline = 1024
    filer: str

    def _arguments(self, ports: list[int], config: Path) -> list[str]:
        arguments = super()._arguments(ports, config)
        (port,) = (word for word in arguments if word.startswith("-filer.port="))
        self.filer = f"http://127.0.0.1:{port.partition('=')[2]}/buckets"
        return [*arguments, "-filer.maxMB=64", f"-filer.saveToFilerLimit={self.inline}"]


def signer_of(server: SeaweedFS) -> Callable[..., dict[str, str]]:
    """Makes the header fields of a request to the server, of its method, path and query."""
    credentials = Credentials(server.access_key, server.secret_key)
    host = {"host": urlsplit(server.endpoint).netloc}

    def signed(method: str, path: str, query: str = "") -> dict[str, str]:
        scope = SigningScope.of(credentials, "us-east-1", time.time())
        return sign(scope, method, path, host, query)

    return signed


def key_files(folder: Path, access: str = "AKID", secret: str = "secret") -> KeyFiles:
    """Files with these keys, for the setting ``credentials``."""
    files = KeyFiles(access_key_file=folder / "access", secret_key_file=folder / "secret")
    files.access_key_file.write_text(f"{access}\n")
    files.secret_key_file.write_text(f"{secret}\n")
    return files
