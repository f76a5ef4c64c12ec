"""The laws of ``test_fuzz``, guided by which lines of ``nearbucket.policy`` an input executes.

To be run by hand, since Atheris is no dependency of the project (its wheels lag behind Python's
releases):

    pip install atheris
    python -m tests.fuzz.atheris_target -max_total_time=300 -max_len=2048 corpus/

The arguments are libFuzzer's. An input that breaks a law is written to a file.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = (
    b"host", b"x-forwarded-for", b"x-real-ip", b"cloudfront-viewer-address", b"x-origin-verify",
    b"authorization", b"cookie", b"user-agent", b"x-no-redirect",
)  # fmt: skip


def target(laws: Any, provide: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    """What libFuzzer calls with each input: its first byte chooses the law."""

    def one_input(data: bytes) -> None:
        provider = provide(data[1:])
        match data[0] % 4 if data else 0:
            case 0:
                laws.any_bytes_are_a_plain_request_or_somebody_elses(data[1:])
                laws.any_bytes_are_a_plain_request_or_somebody_elses(
                    b"GET /" + data[1:] + b"\r\n\r\n"
                )
            case 1:
                laws.any_target_is_one_key_or_refused(data[1:].decode("latin-1"))
                laws.any_target_is_one_key_or_refused("/" + data[1:].decode("latin-1"))
            case 2:
                laws.any_fields_name_one_client_or_nobody(_request(laws, provider))
            case _:
                laws.any_request_is_decided_and_stays_with_the_configured_hosts(
                    _request(laws, provider)
                )

    return one_input


def _request(laws: Any, provider: Any) -> Any:
    method = provider.PickValueInList(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS"])
    peer = provider.PickValueInList([laws.EAST, laws.CDN, "127.0.0.1", laws.EAST_V6, "", None])
    start = provider.PickValueInList(["/", "/", "http://dl.example/", ""])
    end = provider.PickValueInList(["", ".tar.gz"])
    headers = {b"host": b"dl.example"}
    for _ in range(provider.ConsumeIntInRange(0, 3)):
        name = provider.PickValueInList(list(NAMES))
        headers[name] = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 60))
    rest = provider.ConsumeBytes(provider.remaining_bytes()).decode("latin-1")
    return laws.Request(method, start + rest + end, headers, peer)


def main() -> None:
    """Fuzz until libFuzzer stops."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["nearbucket.policy"]):
        laws = import_module("tests.fuzz.test_fuzz")
    atheris.Setup(sys.argv, target(laws, atheris.FuzzedDataProvider))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
