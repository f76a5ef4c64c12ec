"""One redirect, side by side: nearbucket with and without its fast lane, and nginx.

In: options. Out: a table of CPU time a request and of ratios within this run, and a result
file. Refuses to say anything about time on a clock: on a shared machine it means nothing.

``python bench/redirect.py``; ``--compare A B`` says what moved between two result files.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from case import ROOT, BenchError, clients, ranges_file
from figures import Rounds, Sample, baseline, compare, differences, disturbed, rows_of
from loads import CONNECTIONS, Load, generator, write_heads
from processes import Cores, choose_cores, usage
from servers import AIOHTTP, FAST, NGINX, Kind, Server, Starter, nginx_program
from show import progress, say, show_moves, show_rows
from surroundings import machine, versions

from proxy.decide.regions import read_ranges

if TYPE_CHECKING:
    from types import FrameType

RESULTS = Path(__file__).parent / "results"
_WARM_UP = 2000
_MORE_FOR_NGINX = 4  # the core's busy time ticks in hundredths of a second: give it some
_INTERRUPTED = 130


def kinds() -> list[Kind]:
    """What there is to compare on this machine."""
    names = [NGINX] if nginx_program() else []
    if not names:
        say("nginx is left out, ratios are to the aiohttp lane: apt-get install nginx-light")
    return [Kind(name, log) for log in (False, True) for name in (*names, FAST, AIOHTTP)]


def measure(server: Server, load: Load, cores: Cores, requests: int) -> Sample:
    """What one server uses for so many requests, their log lines included.

    While the last lines are waited for the core is idle or somebody else's, so from the end
    of the load on it counts as busy with what the server uses.
    """
    server.empty_log()
    requests *= _MORE_FOR_NGINX if server.kind.name == NGINX else 1
    before = usage(server.pid, cores.server)
    answered = load.send(server.port, requests)
    during = usage(server.pid, cores.server).since(before)
    server.finish_log(answered)
    used = usage(server.pid, cores.server).since(before)
    used = used._replace(core=during.core + used.process - during.process)
    return Sample.of(used, answered)


def run_rounds(rounds: int, requests: int, cores: Cores, ranges: Path) -> Rounds:
    """Start all servers, then ask each in every round; the first of a round changes."""
    document = read_ranges(ranges.read_bytes())
    asking = clients(document)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nearbucket-bench-")))
        load = Load(folder / "heads", cores.load)
        write_heads(load.heads, (address for address, _ in asking))
        starter = Starter(folder, ranges, document, cores.server)
        servers = [stack.enter_context(starter.start(kind, asking)) for kind in kinds()]
        bar = stack.enter_context(progress())
        task = bar.add_task("warming up", total=len(servers) * (rounds + 1))
        samples: Rounds = {server.kind: [] for server in servers}
        for number in range(rounds + 1):
            for place in range(len(servers)):
                server = servers[(place + number) % len(servers)]
                bar.update(task, description=_title(server.kind))
                sample = measure(server, load, cores, requests if number else _WARM_UP)
                if number:
                    samples[server.kind].append(sample)
                bar.advance(task)
        return samples


def _title(kind: Kind) -> str:
    return f"{kind.name}, {'JSON log' if kind.log else 'no log'}"


def result_of(samples: Rounds, requests: int, cores: Cores, ranges: Path) -> dict[str, Any]:
    """All there is to keep of a run."""
    asks = generator()
    return {
        "bench": "redirect",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(asks),
        "load": {
            "generator": asks,
            "connections": CONNECTIONS,
            "requests": requests,
            "rounds": min(len(each) for each in samples.values()),
            "ranges": ranges.name,
            "own_core": cores.apart,
        },
        "baseline": baseline(kind.name for kind in samples),
        "rows": rows_of(samples),
    }


def read_result(path: Path) -> dict[str, Any]:
    """A result file.

    Raises:
        BenchError: It is something else.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        result = None
    if not isinstance(result, dict) or result.get("bench") != "redirect":
        raise BenchError(f"{path} is not a result of this bench")
    return result


def compare_files(before: Path, after: Path) -> None:
    """Print what moved from one result to the other."""
    old, new = read_result(before), read_result(after)
    show_moves(compare(old, new))
    for difference in differences(old, new):
        say(difference)


def bench(rounds: int, requests: int, output: Path | None) -> None:
    """Measure, print and keep."""
    cores = choose_cores()
    if not cores.apart:
        say("only one core: the load shares it with the server, so its busy time says nothing")
    if generator() != "wrk":
        say("wrk is not installed, a slower generator asks: apt-get install wrk")
    ranges = ranges_file()
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cores.load})  # the progress bar must not run beside the server
    try:
        samples = run_rounds(rounds, requests, cores, ranges)
    finally:
        os.sched_setaffinity(0, everywhere)
    result = result_of(samples, requests, cores, ranges)
    show_rows(result["rows"], result["baseline"])
    for name in disturbed(result["rows"]):
        say(f"{name}: other programs kept the core busy too, so its core figures are too high")
    moment = datetime.fromisoformat(result["date"])
    path = output or RESULTS / f"redirect-{moment:%Y-%m-%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    say(f"kept in {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Times each server is measured.")] = 5,
    requests: Annotated[
        int,
        typer.Option(
            min=1000,
            max=1_000_000,
            help="Requests a server and round; nginx gets four times as many.",
        ),
    ] = 15_000,
    output: Annotated[
        Path | None, typer.Option(help="Result file; by default one named by date.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Two result files: say what moved.")
    ] = None,
) -> None:
    """One redirect, side by side with nginx: CPU time a request, as ratios."""
    try:
        if compare:
            compare_files(*compare)
        else:
            bench(rounds, requests, output)
    except (BenchError, OSError) as error:
        say(f"bench: {error}")
        raise typer.Exit(1) from None


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    for _signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_signal, _stop)  # leaves every "with" on the way out
    typer.run(main)
