"""Compares a replay with its prediction: redirects, bytes and dollars, by the proxy's own counters.

The counters are those of ``/metrics`` after the replay, less those before it. What other clients
ask for meanwhile counts, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import aiohttp

from nearbucket.config.prices import GB
from nearbucket.errors import OriginError
from nearbucket.pricing.bill import removal_usd, s3_get_per_request
from nearbucket.s3.tls_trust import complaint, trusted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yarl import URL

    from nearbucket.analysis.live_replay.replay_counts import DifferingAnswers, ReplayCounts
    from nearbucket.config.settings import Settings
    from nearbucket.pricing.tariff import Tariff

_NAMES = (
    "nearbucket_redirects_total", "nearbucket_redirected_bytes_total", "nearbucket_saved_usd_total",
)  # fmt: skip
_TIMEOUT = aiohttp.ClientTimeout(total=20)
_BAD_GATEWAY = 502
_SHOWN = 10
"""Pairs of differing answers that are shown."""


class ReplayFigures(NamedTuple):
    """Redirects, bytes and dollars of a replay."""

    redirects: float
    bytes: float
    usd: float

    def less(self, other: ReplayFigures) -> ReplayFigures:
        """What is more than in another one."""
        return ReplayFigures(*(one - two for one, two in zip(self, other, strict=True)))


async def counted(admin: URL) -> ReplayFigures:
    """The sums of the counters of a proxy.

    Args:
        admin: URL of its admin port.

    Raises:
        OriginError: It does not answer.
    """
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(admin / "metrics", raise_for_status=True, ssl=trusted()) as answer,
        ):
            text = await answer.text()
    except aiohttp.ClientConnectorError as error:
        raise OriginError(_BAD_GATEWAY, f"--replay: {admin}/metrics {complaint(error)}") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        why = f"--replay: {admin}/metrics cannot be read: {error or type(error).__name__}"
        raise OriginError(_BAD_GATEWAY, why) from None
    sums = dict.fromkeys(_NAMES, 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in sums:
                sums[sample.name] += sample.value
    return ReplayFigures(*sums.values())


def expected(counts: ReplayCounts, settings: Settings, tariff: Tariff) -> ReplayFigures:
    """The prediction, if the replay is the first traffic of the month.

    Args:
        counts: The counts of the replay.
        settings: The configuration of the proxy.
        tariff: Its prices.
    """
    buckets = {
        (site.name, region): site.bucket_region(region)
        for site in settings.sites
        for region in site.targets
    }
    removed = 0.0
    usd = -counts.redirects.total() * s3_get_per_request(tariff)
    for (site, region), size in counts.bytes.items():
        gb = size / GB
        usd -= gb * tariff.transfer_per_gb(buckets[site, region], region)
        before, removed = removed, removed + gb
        if region in tariff.region_per_gb:
            usd += gb * tariff.region_per_gb[region]
        else:
            near = tariff.geography_of_clients(region)
            usd += removal_usd(tariff, near, removed) - removal_usd(tariff, near, before)
    return ReplayFigures(counts.redirects.total(), counts.bytes.total(), max(0.0, usd))


def as_json(
    counts: ReplayCounts, predicted: ReplayFigures, found: ReplayFigures
) -> dict[str, object]:
    """The comparison as plain data for JSON."""
    return {
        "sent": counts.sent,
        "agreed": counts.agreed,
        "unanswered": counts.unanswered,
        "size_unknown": counts.unknown,
        "predicted": predicted._asdict(),
        "counted": found._asdict(),
        "differing": [
            {"expected": wanted, "given": given, "requests": each.requests, "example": each.example}
            for (wanted, given), each in _most_first(counts)
        ],
    }


def lines(
    counts: ReplayCounts, predicted: ReplayFigures, found: ReplayFigures
) -> Iterator[tuple[str, ...]]:
    """The comparison as rows: a name, and values; what comes from the log is not escaped."""
    yield "replay", "predicted", "counted", "difference"
    for name, one, two in zip(predicted._fields, predicted, found, strict=True):
        digits = 6 if name == "usd" else 0
        yield name, f"{one:.{digits}f}", f"{two:.{digits}f}", _percent(one, two)
    yield "decisions", str(counts.sent), str(counts.agreed), _percent(counts.sent, counts.agreed)
    if counts.unknown:
        yield "redirects of unknown size", str(counts.unknown), "", ""
    for (wanted, given), each in _most_first(counts)[:_SHOWN]:
        yield f"{each.requests} differ", wanted, given, each.example


def _most_first(counts: ReplayCounts) -> list[tuple[tuple[str, str], DifferingAnswers]]:
    return sorted(counts.differing.items(), key=lambda each: -each[1].requests)


def _percent(one: float, two: float) -> str:
    if not one:
        return "-" if not two else "new"
    return f"{100 * (two - one) / one:+z.2f} %"


def notes(counts: ReplayCounts) -> Iterator[str]:
    """Why figures may differ."""
    returned = sum(
        each.requests for (_, given), each in counts.differing.items() if " came-back " in given
    )
    if returned:
        yield (
            f"{returned} requests got came-back: the replay asks for objects again sooner than the "
            "log did, and follows no redirect; switch redirect.came_back off in the replayed proxy"
        )
    if counts.unknown:
        yield (
            f"the log does not tell the bytes of {counts.unknown} redirects: the prediction counts "
            "them as 0"
        )
