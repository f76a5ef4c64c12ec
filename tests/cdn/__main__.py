"""``python -m tests.cdn FILE``: serves the distributions of a YAML file, by port, until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from tests.cdn.distribution import distributions
from tests.cdn.edge import Edge


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
