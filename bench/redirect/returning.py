"""``redirect.came_back``: crowds behind one address, and clients whose redirects fail.

A simulation without servers and without a clock of its own: machines and scripts ask the table of
recent redirects as the lanes do, in the order of their times. No figure depends on the computer.
"""

from __future__ import annotations

import heapq
import random
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from bench.lib.frame import Figure, Row, Table
from nearbucket.frontend.returning_clients.came_back import GET, HEAD, Try
from nearbucket.frontend.returning_clients.recent_redirects import (
    STUCK,
    AskerVerdict,
    RecentRedirects,
    SharedTable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bench.lib.frame import Context

    Actor = Iterator[float]
    """Yields how many seconds pass until it goes on."""

TITLE = "Clients that come back"
WINDOW = 300.0
SIZE = 100 << 20  # bytes of every object
_S3_PER_SECOND = 100 << 20  # from S3 to a client, directly or through the proxy
_HEAD_TAKES = 0.1  # seconds
_HOUR = 3600.0
_EACH = 100  # more GETs than any object takes
_SEEDS, _QUICK_SEEDS = 20, 5
_PERCENT = 100

SHARE = (
    Figure("redirected", "redirected %", digits=1, watched=True),
    Figure("lowest", "lowest %", digits=1, watched=True),
    Figure("counted", "counted by saved %", digits=1, watched=True),
)
TRIES = (
    Figure("first", "tries, 1st object", digits=0, watched=True),
    Figure("next", "tries, next ones", digits=0, watched=True),
    Figure("counted", "objects counted as saved", digits=0, watched=True),
)


class Site:
    """The proxy, as far as the rule is concerned, and what it counts.

    Attributes:
        redirected: Requests that were redirected.
        streamed: Those that were streamed as ``came-back``.
        saved: Bytes by the counters.
        truth: Bytes of redirects that clients followed.
    """

    def __init__(self) -> None:
        self.redirects = RecentRedirects(WINDOW, SharedTable())
        self.now = 1000.0
        self.redirected = self.streamed = self.saved = self.truth = 0
        self._free: dict[int, float] = {}
        self._order = count()
        self._waiting: list[tuple[float, int, Actor]] = []

    def start(self, actor: Actor, after: float = 0.0) -> None:
        """Let an actor begin after so many seconds."""
        heapq.heappush(self._waiting, (self.now + after, next(self._order), actor))

    def run(self, until: float = float("inf")) -> None:
        """Let time pass until nothing is left to do, or for so many seconds."""
        end = self.now + until
        while self._waiting and self._waiting[0][0] < end:
            self.now, _, actor = heapq.heappop(self._waiting)
            pause = next(actor, None)
            if pause is not None:
                self.start(actor, pause)

    def redirects_to(self, asker: int, asked: int, *, follows: bool, method: int = GET) -> bool:
        """Whether a request is redirected, as the lanes decide it; else it is streamed."""
        if self._free.get(asker, 0.0) < self.now and self._verdict(asker, asked, method) is STUCK:
            self.saved -= self.redirects.stuck(asker, asked, self.now) or 0
            self.streamed += 1
            return False
        self.redirected += 1
        size = SIZE if method == GET else 0
        self.saved += size
        self.truth += size * follows
        if self._free.get(asker, 0.0) < self.now:
            request = Try(asked, method, size, self.now)
            outcome = self.redirects.after_redirect(asker, request)
            self._free[asker] = outcome.free_until
            self.saved -= outcome.taken_back
        return True

    def _verdict(self, asker: int, asked: int, method: int) -> AskerVerdict:
        return self.redirects.verdict(asker, asked, self.now, method)

    def stream(self, asker: int, asked: int, latency: float) -> Actor:
        """What a client waits for while an object is streamed to it."""
        yield latency
        self.saved += self.redirects.stream_began(asker, asked, self.now)
        yield SIZE / _S3_PER_SECOND
        self.saved += self.redirects.stream_completed(asker, asked, self.now)


def machine(
    site: Site, asker: int, objects: Iterable[int], latency: float, *, heads: bool = False
) -> Actor:
    """A machine that gets objects one after another, and follows redirects.

    With ``heads`` it sends a HEAD before each GET.
    """
    for asked in objects:
        if heads:
            site.redirects_to(asker, asked, follows=True, method=HEAD)
            yield _HEAD_TAKES
        if site.redirects_to(asker, asked, follows=True):
            yield SIZE / _S3_PER_SECOND
        else:
            yield from site.stream(asker, asked, latency)


def script(  # noqa: PLR0913, PLR0917  # the parameters of a table's row
    site: Site,
    asker: int,
    objects: Iterable[int],
    pause: float,
    rest: float,
    tries: list[int],
    heads: int = 0,
) -> Actor:
    """A client whose redirects fail: it asks again after a pause until it has the object.

    Then it rests before the next one. The number of GETs that each took is added to ``tries``;
    before the first ``heads`` of them it sends a HEAD.
    """
    for asked in objects:
        tries.append(0)
        redirected = True
        while redirected:
            if tries[-1]:
                yield pause
            if tries[-1] < heads:
                site.redirects_to(asker, asked, follows=False, method=HEAD)
                yield _HEAD_TAKES
            redirected = site.redirects_to(asker, asked, follows=False)
            tries[-1] += 1
        yield from site.stream(asker, asked, 0.1)
        yield rest


def crowd(  # noqa: PLR0913  # the parameters of a table's row
    machines: int,
    seconds: float,
    latency: float,
    objects: int,
    seed: int,
    *,
    fleet: bool = False,
    heads: bool = False,
) -> Site:
    """Machines behind one address that start within so many seconds.

    Each gets the same objects in order; a ``fleet``'s each get one, of which some are popular. With
    ``heads`` they send a HEAD before each GET.
    """
    site, chance = Site(), random.Random(seed)  # noqa: S311  # a seed repeats, that is the point
    popular = [1 / rank for rank in range(1, objects + 1)]
    for _ in range(machines):
        wanted = chance.choices(range(1, objects + 1), popular) if fleet else range(1, objects + 1)
        made = machine(site, 1 << 40, wanted, latency, heads=heads)
        site.start(made, chance.uniform(0, seconds))
    site.run()
    return site


def lone(pause: float, objects: int, heads: int = 0) -> tuple[list[int], Site]:
    """The tries that each object takes a client whose redirects fail; see ``script``."""
    site, tries = Site(), list[int]()
    site.start(script(site, 1 << 40, range(1, objects + 1), pause, 1.0, tries, heads))
    site.run()
    return tries, site


def day(seed: int) -> Site:
    """Eight hours: crowds that boot, runners one after another, and clients that do not follow."""
    site, chance = Site(), random.Random(seed)  # noqa: S311  # as above
    end = 8 * _HOUR
    for _ in range(60):
        asker, begin = chance.getrandbits(64), chance.uniform(0, end)
        wanted = [chance.randrange(1, 50) for _ in range(3)]
        for _ in range(chance.choice((2, 5, 20, 100))):
            site.start(machine(site, asker, wanted, 0.1), begin + chance.expovariate(0.2))
    for _ in range(20):
        asker = chance.getrandbits(64)
        for _ in range(chance.choice((50, 200, 400))):
            wanted = [chance.randrange(1, 20)]
            site.start(machine(site, asker, wanted, 0.1), chance.uniform(0, end))
    for _ in range(20):
        asker, pause = chance.getrandbits(64), chance.choice((1.0, 11.0, 21.0, 30.0))
        wanted, rest = chance.sample(range(1, 50), 6), chance.uniform(60, _HOUR)
        site.start(script(site, asker, wanted, pause, rest, []), chance.uniform(0, end / 2))
    site.run()
    return site


def run(context: Context) -> Sequence[Table]:
    """Print the shares of crowds, the tries of lone clients, and a day's money."""
    seeds = range(_QUICK_SEEDS if context.quick else _SEEDS)
    crowds = tuple(_crowd_rows(seeds))
    fleets = tuple(_fleet_rows(seeds))
    days = (_shares(("20 clients that do not follow among 80 askers",), day, seeds),)
    return [
        Table("crowds", "Crowds behind one address",
              ("machines", "within", "origin after", "objects"), SHARE, crowds),
        Table("fleets", "Runners behind one address, 50 objects, eight hours",
              ("requests an hour",), SHARE, fleets),
        Table("lone", "Lone clients whose redirects fail", ("asks again after",), TRIES,
              tuple(_lone_rows())),
        Table("day", "Eight hours", ("who",), SHARE, days),
    ]  # fmt: skip


def _crowd_rows(seeds: Iterable[int]) -> Iterator[Row]:
    for machines in (2, 5, 20, 100, 500):
        for seconds in (1.0, 3.0, 30.0, 600.0):
            for latency, objects in ((0.01, 1), (0.1, 1), (1.0, 1), (0.1, 3)):
                labels = (str(machines), f"{seconds:g} s", f"{latency * 1000:g} ms", str(objects))
                yield _shares(labels, partial(crowd, machines, seconds, latency, objects), seeds)


def _fleet_rows(seeds: Iterable[int]) -> Iterator[Row]:
    for hourly in (12, 60, 200, 600, 2000):
        made = partial(crowd, 8 * hourly, 8 * _HOUR, 0.1, 50, fleet=True)
        yield _shares((str(hourly),), made, seeds)


def _lone_rows() -> Iterator[Row]:
    for pause, heads, what in (
        (1.0, 0, "1 s"),
        (11.0, 0, "11 s"),
        (30.0, 0, "30 s"),
        (21.0, 0, "1 s, after a timeout of 20 s"),
        (11.0, 1, "11 s, one HEAD first"),
        (11.0, _EACH, "11 s, a HEAD before each GET"),
    ):
        tries, site = lone(pause, 5, heads)
        figures = {"first": tries[0], "next": max(tries[1:]), "counted": site.saved / SIZE}
        yield Row((what,), figures)


def _shares(labels: tuple[str, ...], made: Callable[[int], Site], seeds: Iterable[int]) -> Row:
    sites = [made(seed) for seed in seeds]
    shares = [_PERCENT * s.redirected / (s.redirected + s.streamed) for s in sites]
    truth = sum(site.truth for site in sites)
    return Row(
        labels,
        {
            "redirected": sum(shares) / len(shares),
            "lowest": min(shares),
            "counted": _PERCENT * sum(site.saved for site in sites) / truth if truth else None,
        },
    )
