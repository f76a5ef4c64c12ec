"""``python -m tests.cdn FILE``: serves the distributions of a YAML file, by port, until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from tests.cdn.distribution import Distribution
from tests.cdn.edge import Edge


def distributions(file: Path) -> dict[int, Distribution]:
    """The distributions of a file, by port; an unknown key is an error."""
    read = TypeAdapter(dict[int, Distribution]).validate_python
    return read(yaml.safe_load(file.read_text(encoding="utf-8")))


async def main(file: Path) -> None:
    """Serve."""
    edges = {port: Edge(each) for port, each in distributions(file).items()}
    for port, edge in edges.items():
        await edge.open("0.0.0.0", port)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    for edge in edges.values():
        await edge.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
