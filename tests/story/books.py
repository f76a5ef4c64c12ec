"""Compares what the product counted and logged with what the clients got."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from tests.story.clients import REDIRECTS
from tests.story.world import CDN_PER_GB

if TYPE_CHECKING:
    from tests.e2e.running import Running
    from tests.story.stage import Download, Stage

GB = 1 << 30
PAUSE = 0.6
"""Seconds after which a second request for an object looks as if the client came back: 0.8 in the
product (``came_back``), less what a request takes."""
TELLING = frozenset({
    "target-down", "came-back", "not-replicated", "unverified", "unreadable", "absent", "small",
    "opt-out", "credentials", "no-target", "path", "mutable", "percent", "shadow", "off",
})  # fmt: skip
"""Reasons of streams that tell the product, too, that the client asks again."""
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Books(NamedTuple):
    """Figures of one site: by the metrics, by the access log, and in truth.

    Attributes:
        requests: Of the three.
        reasons: Reason to number, of the three.
        streamed: Bytes from the origin: by the metrics, by the log, and as clients received them.
        saved: Bytes that clients got at the target: as the dollars of the metrics say, and in
            truth.
        dead: Bytes of redirects that led nowhere, or that the client did not follow. They count as
            saved if it did not come back, and until later savings have paid for them.
        repeated: Bytes that clients got by a redirect and asked for again, with no other redirect
            between. They look as if the redirect had failed, so they need not count as saved.
    """

    requests: tuple[int, int, int]
    reasons: tuple[Counter[str], Counter[str], Counter[str]]
    streamed: tuple[int, int, int]
    saved: tuple[int, int]
    dead: int = 0
    repeated: int = 0

    def differences(self) -> list[str]:
        """What does not agree; savings may differ by 1 %, and by what no proxy can know."""
        found = []
        for name, figures in (("requests", self.requests), ("streamed", self.streamed)):
            if len(set(figures)) > 1:
                found.append(f"{name} {' / '.join(map(str, figures))}")
        by_metrics, by_log, truth = self.reasons
        for name, counted in (("metrics", by_metrics), ("log", by_log)):
            if counted != truth:
                found.append(f"reasons {name} {_delta(counted, truth)}")
        counted_bytes, true_bytes = self.saved
        over = counted_bytes - true_bytes
        if not -0.01 * true_bytes - self.repeated <= over <= 0.01 * true_bytes + self.dead:
            found.append(f"saved {counted_bytes} / {true_bytes} bytes")
        return found


def _delta(counted: Counter[str], truth: Counter[str]) -> str:
    names = sorted(counted.keys() | truth.keys())
    return ", ".join(
        f"{name} {counted[name]}/{truth[name]}" for name in names if counted[name] != truth[name]
    )


async def keep_books(stages: list[Stage]) -> dict[str, Books]:
    """The books of each stage, by its host."""
    products = {id(stage.product): stage.product for stage in stages}
    figures = {
        number: await asyncio.to_thread(product.figures) for number, product in products.items()
    }
    lines = {
        number: await asyncio.to_thread(
            _log_of, product, [stage for stage in stages if stage.product is product]
        )
        for number, product in products.items()
    }
    return {
        stage.host: _books(stage, figures[id(stage.product)], lines[id(stage.product)])
        for stage in stages
    }


Line = tuple[str, str, int, int]
"""Host, reason, status and bytes of one line of the access log."""


def _log_of(product: Running, stages: list[Stage]) -> list[Line]:
    """The access log, when all lines have been written, which may take a second."""
    wanted = {stage.host: stage.reasons().total() for stage in stages}
    deadline = time.monotonic() + 3
    while True:
        found = []
        whole = product.output.read_text(encoding="utf-8").rpartition("\n")[0]
        for line in whole.splitlines():
            each = json.loads(line)
            found.append((each["host"], each["reason"], each["status"], each["bytes"]))
        counted = Counter(line[0] for line in found)
        if counted >= Counter(wanted) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def _books(stage: Stage, figures: dict[str, float], log: list[Line]) -> Books:
    mine = [line for line in log if line[0] == stage.host]
    answered = [each for each in stage.downloads if each.answer.host_status]
    by_metrics: Counter[str] = Counter()
    streamed = dollars = 0.0
    for name, value in figures.items():
        labels = dict(_LABEL.findall(name))
        if labels.get("site") != stage.host or not value:
            continue
        if name.startswith("nearbucket_redirects_total"):
            by_metrics["in-region"] += int(value)
        elif name.startswith("nearbucket_bypasses_total"):
            by_metrics[labels["reason"]] += int(value)
        elif name.startswith("nearbucket_streamed_bytes_total"):
            streamed += value
        elif name.startswith("nearbucket_saved_usd_total"):
            dollars += value
    return Books(
        (by_metrics.total(), len(mine), len(answered)),
        (by_metrics, Counter(line[1] for line in mine), stage.reasons()),
        (
            int(streamed),
            sum(line[3] for line in mine if line[2] in {200, 206}),
            sum(
                len(each.answer.body)
                for each in answered
                if not each.answer.redirected and each.answer.good
            ),
        ),
        (
            round(dollars / CDN_PER_GB * GB),
            sum(
                len(each.answer.body)
                for each in answered
                if each.answer.redirected and each.answer.good
            ),
        ),
        sum(
            stage.histories[each.key].size if each.key in stage.histories else 0
            for each in answered
            if each.answer.dead or (each.answer.host_status in REDIRECTS and not each.follows)
        ),
        _repeated(answered),
    )


def _repeated(answered: list[Download]) -> int:
    """Bytes that clients got by a redirect and asked for again after a pause, with none between."""
    last: dict[tuple[str, str], Download] = {}
    size = 0
    for each in sorted(answered, key=lambda download: download.answer.began):
        before, answer = last.get(each.asker), each.answer
        if (
            before
            and before.key == each.key
            and answer.began - before.answer.began >= PAUSE
            and (answer.redirected or answer.reason in TELLING)
        ):
            del last[each.asker]
            size += len(before.answer.body) if before.answer.good else 0
        if answer.redirected:
            last[each.asker] = each
    return size
