"""What is streamed: an origin, one configuration, and clients outside AWS.

The policy would redirect these objects, but to none of these clients: for every request the
client's region is looked up and the object is streamed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.case import CLIENTS, FAMILY, BenchError, configuration, settings
from bench.lib.origin import BUCKET, serving
from nearbucket.config.settings import Settings
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.prefixes import BITS, prefix_text
from nearbucket.regions.region_table import build_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from bench.lib.frame import Context
    from bench.lib.origin import Origin
    from bench.lib.origin_objects import Object
    from bench.lib.processes import Cores
    from nearbucket.regions.ip_ranges import Ranges

PLAIN, TLS = "plain", "TLS"
HOSTS = {PLAIN: "plain.example", TLS: "tls.example"}
"""How the origin is reached, and the host name that chooses it: every proxy has both."""

ANSWER = "stream; region=UNKNOWN; reason=outside-aws"
"""X-Nearbucket of every answer."""

_STRIDE = 2_654_435_761  # 2**32 / golden ratio: spreads the addresses, the same in every run


class Scene(NamedTuple):
    """What every server of a run needs to know.

    Attributes:
        folder: Folder for configurations, logs and error output.
        origin: Where the objects are.
        ranges: The list of prefixes.
        clients: Addresses that ask, in turn.
        cores: Where servers run, and where origin and clients do.
    """

    folder: Path
    origin: Origin
    ranges: Ranges
    clients: Sequence[str]
    cores: Cores

    def heads(self, thing: Object, way: str) -> Path:
        """A file with the requests for one object, one head after another."""
        file = self.folder / f"heads-{thing.size}-{way}"
        if not file.exists():
            file.write_bytes(
                b"".join(
                    f"GET /{thing.key} HTTP/1.1\r\nHost: {HOSTS[way]}\r\nUser-Agent: curl/8.5.0\r\n"
                    f"Accept: */*\r\nX-Forwarded-For: {address}\r\n\r\n".encode()
                    for address in self.clients
                )
            )
        return file


@contextmanager
def staged(context: Context, objects: Iterable[Object]) -> Iterator[Scene]:
    """A running origin that has these objects, and the clients that request them."""
    ranges = read_ranges(context.ranges.read_bytes())
    with serving(objects, context.folder, context.cores.load) as origin:
        yield Scene(context.folder, origin, ranges, _outsiders(ranges), context.cores)


def streaming_settings(scene: Scene, *, log: bool) -> Settings:
    """Nearbucket's configuration: all that it does by default, and keys to sign with."""
    keys = {}
    for name in ("access_key_file", "secret_key_file"):
        keys[name] = str(scene.folder / name)
        (scene.folder / name).write_text("EXAMPLE", encoding="ascii")
    endpoints = {
        PLAIN: f"http://127.0.0.1:{scene.origin.plain}",
        TLS: f"https://127.0.0.1:{scene.origin.tls}",
    }
    chosen = configuration(log=log)
    (site,) = chosen["sites"]
    chosen["sites"] = [
        {
            **site,
            "hosts": [host],
            "origin": {
                "bucket": BUCKET,
                "region": "us-east-1",
                "endpoint": endpoints[way],
                "path_style": True,
                "credentials": keys,
            },
        }
        for way, host in HOSTS.items()
    ]
    return Settings.model_validate(chosen)


def _outsiders(ranges: Ranges) -> list[str]:
    """IPv4 addresses that are in no region.

    Raises:
        BenchError: The list covers nearly everything.
    """
    table = build_table(ranges, settings(log=False).regions.services, {})
    numbers = (number * _STRIDE % (1 << BITS[FAMILY]) for number in range(1, 4 * CLIENTS))
    texts = (prefix_text(FAMILY, number, BITS[FAMILY]).partition("/")[0] for number in numbers)
    found = [text for text in texts if table.region(text) is None and not text.startswith("127.")]
    if len(found) < CLIENTS:
        raise BenchError("the list of prefixes leaves hardly an address outside AWS")
    return found[:CLIENTS]
