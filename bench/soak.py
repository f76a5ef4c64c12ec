"""Soak: ``nearbucket serve`` under a mixed load for minutes, and whether anything grows.

``python -m bench.soak --minutes 20`` starts a real S3 server and two workers, sends requests of
every kind at a steady rate, reloads every few seconds, and looks at memory, descriptors and threads
of each process. It ends with 1 if one of them grows, if requests failed, or if connections or
streams are left when all clients have gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from bench.lib.case import REGIONS, BenchError, clients, configuration, ranges_file
from bench.lib.frame import Figure, Row, Table
from bench.lib.growth import ALLOWED, MIB, Held, growth, held
from bench.lib.mixed_load import Load
from bench.lib.processes import end_at_signals
from bench.lib.service import serving
from bench.lib.show import say, show_table
from nearbucket.cli.demo.seaweedfs import SeaweedFS, allow_anonymous, make_bucket
from nearbucket.regions.ip_ranges import read_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.lib.service import Service

BUCKET, TARGET = "soak-origin", "soak-target"
SMALL = [f"small-{number}.tar.xz" for number in range(100)]
LARGE = ["large-0.tar.xz", "large-1.tar.xz"]
SMALL_BYTES, LARGE_BYTES = 1 << 16, 1 << 23
ADDRESSES = 1000
SAMPLES_A_MINUTE = 12
RELOAD = 10.0
"""Seconds between two reloads."""
SETTLE = 20.0
"""Seconds after the last client: the pools' idle connections to S3 are closed after twelve."""
GAUGES = ("connections", "streams_in_progress")
LEFT_OVER = 12
"""Descriptors that a process may have more than before the load; logs, timers, kept connections."""


class Sample(NamedTuple):
    """All processes at one moment.

    Attributes:
        held: What each process holds; the supervisor is first.
        gauges: Connections and streams, by the metrics.
        sent: Requests so far.
        errors: Failed requests so far.
    """

    held: tuple[Held, ...]
    gauges: tuple[float, ...]
    sent: int
    errors: int


class Soak:
    """One run."""

    def __init__(self, service: Service, config: Path, load: Load) -> None:
        self._service, self._config, self._load = service, config, load
        self.samples: list[Sample] = []
        self.reloads = 0

    async def run(self, rate: float, minutes: float) -> tuple[Sample, Sample]:
        """Play the load; what there was before it, and after it."""
        before = await self.look()
        helpers = [asyncio.create_task(each) for each in (self._watch(), self._reload())]
        await self._load.run(rate, minutes * 60)
        for each in helpers:
            each.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        await asyncio.sleep(SETTLE)
        return before, await self.look()

    async def look(self) -> Sample:
        """A sample of now."""
        service, load = self._service, self._load
        processes = tuple(held(pid) for pid in (service.supervisor, *service.workers))
        gauges = await asyncio.to_thread(_gauges, service.admin)
        return Sample(processes, gauges, load.sent.total(), load.errors.total())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(60 / SAMPLES_A_MINUTE)
            self.samples.append(await self.look())

    async def _reload(self) -> None:
        config = json.loads(self._config.read_text(encoding="utf-8"))
        while True:
            await asyncio.sleep(RELOAD)
            self.reloads += 1
            config["sites"][0]["redirect"]["percent"] = 90 + self.reloads % 10
            self._config.write_text(json.dumps(config), encoding="utf-8")
            os.kill(self._service.supervisor, signal.SIGHUP)


def _gauges(admin: int) -> tuple[float, ...]:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return tuple(
        sum(map(float, re.findall(rf"^nearbucket_{name} (\S+)$", text, re.MULTILINE)))
        for name in GAUGES
    )


# ---- the stage


def _settings(server: SeaweedFS, folder: Path) -> dict[str, Any]:
    access, secret = folder / "access", folder / "secret"
    access.write_text(server.access_key, encoding="ascii")
    secret.write_text(server.secret_key, encoding="ascii")
    keys = {"access_key_file": str(access), "secret_key_file": str(secret)}
    origin = {"bucket": BUCKET, "region": "us-east-1", "endpoint": server.endpoint}
    settings = configuration(log=True, origin={**origin, "credentials": keys})
    target = {"bucket": TARGET, "endpoint": server.endpoint}
    settings["sites"][0] |= {
        "targets": dict.fromkeys(REGIONS, target),
        "redirect": {"scheme": "http", "percent": 99},
    }
    return settings


async def _fill(server: SeaweedFS) -> None:
    async with server.client() as s3:
        for bucket in (BUCKET, TARGET):
            await make_bucket(s3, bucket)
            for keys, size in ((SMALL, SMALL_BYTES), (LARGE, LARGE_BYTES)):
                for key in keys:
                    await s3.put_object(Bucket=bucket, Key=key, Body=bytes(size))
        await allow_anonymous(s3, TARGET)


def soak(minutes: float, rate: float, folder: Path) -> bool:
    """Run, and print; whether all is flat and nothing failed."""
    ranges = ranges_file()
    near = [address for address, _ in clients(read_ranges(ranges.read_bytes()), ADDRESSES)]
    everywhere = os.sched_getaffinity(0)
    with SeaweedFS(folder / "s3") as server:
        asyncio.run(_fill(server))
        place = folder / "serve"
        with serving(
            _settings(server, folder), 2, folder=place, ranges=ranges, cores=everywhere
        ) as service:
            load = Load(service.port, near, SMALL, LARGE)
            run = Soak(service, place / "nearbucket.json", load)
            before, after = asyncio.run(run.run(rate, minutes))
    show_table(_by_minute(run.samples))
    table, grows = _by_process(run.samples)
    show_table(table)
    verdicts = [*grows, *_left(before, after), *_failures(load)]
    say(f"{load.sent.total()} requests, {run.reloads} reloads, {load.skipped} not sent")
    say("; ".join(verdicts) or "flat: nothing grows, nothing is left, nothing failed")
    return not verdicts


# ---- what is shown

_MINUTE = (
    Figure("requests", "requests", 0),
    Figure("errors", "errors", 0),
    *(Figure(name, name.replace("_", " "), 0) for name in GAUGES),
    Figure("rss", "RSS MiB, all", 1),
    Figure("pss", "PSS MiB, all", 1),
    Figure("descriptors", "descriptors", 0),
    Figure("threads", "threads", 0),
)


def _by_minute(samples: Sequence[Sample]) -> Table:
    ends = samples[SAMPLES_A_MINUTE - 1 :: SAMPLES_A_MINUTE]
    earlier = (Sample((), (), 0, 0), *ends)
    rows = [
        Row((str(number),), _minute(sample, before))
        for number, (sample, before) in enumerate(zip(ends, earlier, strict=False), 1)
    ]
    return Table("minutes", "Soak, by minute", ("minute",), _MINUTE, tuple(rows))


def _minute(sample: Sample, before: Sample) -> dict[str, float | None]:
    rss, pss, descriptors, threads = (sum(each) for each in zip(*sample.held, strict=True))
    return {
        "requests": sample.sent - before.sent,
        "errors": sample.errors - before.errors,
        **dict(zip(GAUGES, sample.gauges, strict=True)),
        "rss": rss / MIB,
        "pss": pss / MIB,
        "descriptors": descriptors,
        "threads": threads,
    }


_PROCESS = (
    Figure("first", "first third", 1),
    Figure("last", "last third", 1),
    Figure("an_hour", "growth an hour", 1),
)


def _by_process(samples: Sequence[Sample]) -> tuple[Table, list[str]]:
    """The table of all series, and those that grow."""
    rows, grows = [], []
    for number in range(len(samples[0].held)):
        process = f"worker {number}" if number else "supervisor"
        for field, allowed in ALLOWED.items():
            series = [getattr(sample.held[number], field) for sample in samples]
            found = growth(series, 60 / SAMPLES_A_MINUTE, allowed)
            unit = MIB if field in {"rss", "pss"} else 1
            figures = {"first": found.first / unit, "last": found.last / unit,
                       "an_hour": found.an_hour / unit}  # fmt: skip
            verdict = "grows" if found.grows else "flat"
            rows.append(Row((process, f"{field}, MiB" if unit > 1 else field, verdict), figures))
            if found.grows:
                grows.append(f"{field} of {process} grows")
    labels = ("process", "of", "verdict")
    notes = (
        "the first quarter of the time, a minute at least, is left out: caches and pools fill",
    )
    return Table("growth", "Soak, by process", labels, _PROCESS, tuple(rows), notes), grows


def _left(before: Sample, after: Sample) -> list[str]:
    """What is left when all clients have gone."""
    left = [
        f"{value:g} {name.replace('_', ' ')} left"
        for name, value in zip(GAUGES, after.gauges, strict=True)
        if value
    ]
    for number, (then, now) in enumerate(zip(before.held, after.held, strict=True)):
        if now.descriptors - then.descriptors > LEFT_OVER:
            counts = f"{then.descriptors} descriptors before, {now.descriptors} after"
            left.append(f"process {number}: {counts}")
    return left


def _failures(load: Load) -> list[str]:
    return [f"{count} x {name}: {why}" for (name, why), count in load.errors.most_common(10)]


def main(
    minutes: Annotated[float, typer.Option(min=2, help="How long the load runs.")] = 20,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second.")] = 150,
) -> None:
    """Mixed load on a real S3 server: memory, descriptors, threads and errors over time."""
    flat = False
    try:
        with tempfile.TemporaryDirectory(prefix="nearbucket-soak-") as folder:
            flat = soak(minutes, rate, Path(folder))
    except (BenchError, OSError) as error:
        say(f"soak: {error}")
    if not flat:
        raise typer.Exit(1)


if __name__ == "__main__":
    end_at_signals()
    typer.run(main)
