"""Sends the requests of a log to a running proxy, and counts what it answers.

Clients' addresses are sent in the header that the configuration trusts. Redirects are not followed,
and bodies of objects are not downloaded: a decision shows in the head of the answer. Only a proxy
on this machine is asked, unless the user says that the other one is theirs.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
from yarl import URL

from nearbucket.analysis.live_replay import replay_comparison
from nearbucket.analysis.live_replay.replay_counts import NO_ANSWER, ReplayCounts
from nearbucket.analysis.live_replay.replay_requests import Expectation, requests_of, sizes_of
from nearbucket.errors import ConfigError, OriginError
from nearbucket.policy.client_address import VIEWER_ADDRESS
from nearbucket.policy.model import Request
from nearbucket.s3.tls_trust import complaint, trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from nearbucket.analysis.live_replay.replay_comparison import ReplayFigures
    from nearbucket.analysis.live_replay.replay_requests import ExpectedAnswer, SentRequest
    from nearbucket.config.settings import Settings
    from nearbucket.policy.client_address import Trust
    from nearbucket.policy.engine import Engine
    from nearbucket.pricing.tariff import Tariff

MOST_AT_ONCE = 256
"""Requests that wait for their answers at the same time."""
_SMALL_BODY = 64 * 1024
"""Bytes of a body that is read, so that its connection can be used again."""
_ENOUGH = 2 * MOST_AT_ONCE
"""Requests without any answer after which no more are sent."""
_TIMEOUT = 60.0
_BAD_GATEWAY = 502
_LOOPBACK = "127.0.0.1"


class ReplayPlan(NamedTuple):
    """What to replay, and where.

    Attributes:
        tables: Gives the tables of ``TableReader`` for the logs, from the beginning.
        url: The proxy, as of ``own_url``.
        admin: Its admin port.
        rate: Requests a second.
    """

    tables: Callable[[], Iterator[pa.Table]]
    url: URL
    admin: URL
    rate: float


class ReplayResult(NamedTuple):
    """A replay beside its prediction.

    Attributes:
        counts: What was sent and answered.
        predicted: What the configuration says.
        counted: What the proxy's counters say.
    """

    counts: ReplayCounts
    predicted: ReplayFigures
    counted: ReplayFigures


async def replay_logs(
    plan: ReplayPlan,
    settings: Settings,
    engine: Engine,
    tariff: Tariff,
    progress: Callable[[int], None] = lambda _: None,
) -> ReplayResult:
    """Send the requests of logs to a proxy, and compare.

    Args:
        plan: What to send.
        settings: The proxy's configuration.
        engine: Its engine.
        tariff: Its prices.
        progress: Told of the number of requests that were sent.

    Raises:
        ConfigError: The configuration does not let this machine name a client, or the logs have
            no request to send.
        OriginError: The proxy does not answer.
    """

    def requests() -> Iterator[SentRequest]:
        return (request for table in plan.tables() for request in requests_of(table))

    floors = {site.name: site.redirect.min_size for site in settings.sites}
    sizes = sizes_of(requests())
    replay = TrafficReplay(plan.url, engine.trust, Expectation(engine.for_client(), floors, sizes))
    before = await replay_comparison.counted(plan.admin)
    await replay.run(requests(), plan.rate, progress)
    if not replay.counts.sent:
        raise ConfigError(
            "--replay: there is nothing to send: the logs have no GET or HEAD that got an object, "
            "with the client's address"
        )
    found = (await replay_comparison.counted(plan.admin)).less(before)
    predicted = replay_comparison.expected(replay.counts, settings, tariff)
    return ReplayResult(replay.counts, predicted, found)


def own_url(url: str, *, own_host: bool) -> URL:
    """The URL of a proxy that requests may be sent to.

    Args:
        url: ``http://127.0.0.1:8080``, for example.
        own_host: Whether the user says that a proxy on another machine is theirs.

    Raises:
        ConfigError: It is none, or of another machine.
    """
    try:
        parts = URL(url)
    except ValueError:  # a port of six digits, for example
        parts = URL()
    if parts.scheme not in {"http", "https"} or not parts.host or parts != parts.origin():
        raise ConfigError(f"--replay {url}: not the URL of a proxy; write http://127.0.0.1:8080")
    if not own_host and not _is_loopback(parts.host):
        raise ConfigError(
            f"--replay {url}: requests are sent to this machine only; if the proxy there is yours, "
            "add --i-own-this-host"
        )
    return parts.origin()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class TrafficReplay:
    """Sends requests and counts the answers.

    Attributes:
        counts: The counts so far.
    """

    def __init__(self, url: URL, trust: Trust, expectation: Expectation) -> None:
        """Prepare.

        Args:
            url: The proxy.
            trust: How the proxy's configuration finds a client's address.
            expectation: Says what is expected.

        Raises:
            ConfigError: The configuration does not let this machine name a client.
        """
        self.counts = ReplayCounts()
        self._trouble = ""
        self._url, self._trust, self._expectation = url, trust, expectation
        _refuse_distrust(url, trust)

    async def run(
        self,
        requests: Iterable[SentRequest],
        rate: float,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Send all requests, in order.

        Args:
            requests: The requests.
            rate: Requests a second.
            progress: Told of the number of requests that were sent, now and then.

        Raises:
            OriginError: The proxy does not answer.
        """
        loop, free = asyncio.get_running_loop(), asyncio.Semaphore(MOST_AT_ONCE)
        begin = loop.time()
        async with _session() as session, asyncio.TaskGroup() as tasks:
            for number, request in enumerate(requests):
                if (wait := begin + number / rate - loop.time()) > 0:
                    await asyncio.sleep(wait)
                await free.acquire()
                if self._silent(_ENOUGH):
                    break
                expected = self._expectation.answer(request)
                self.counts.expect(expected, self._expectation.bytes_saved(request))
                task = tasks.create_task(self._send(session, request, expected))
                task.add_done_callback(lambda _: free.release())
                progress(number + 1)
        if self._silent(1):
            raise OriginError(_BAD_GATEWAY, f"--replay {self._url}: the proxy {self._trouble}")

    def _silent(self, least: int) -> bool:
        """Whether none of so many requests was answered."""
        return self.counts.sent >= least and self.counts.unanswered == self.counts.sent

    async def _send(
        self, session: aiohttp.ClientSession, request: SentRequest, expected: ExpectedAnswer
    ) -> None:
        try:
            url = URL(f"{self._url}{request.target}", encoded=True)
            async with session.request(
                request.method, url, headers=self._headers(request), allow_redirects=False
            ) as answer:
                given = _words(answer.headers.get("x-nearbucket", ""), answer.status)
                if (answer.content_length or 0) <= _SMALL_BODY:
                    await answer.read()
                else:
                    answer.close()
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            given, self._trouble = NO_ANSWER, complaint(error)
        self.counts.answer(request, expected, given)

    def _headers(self, request: SentRequest) -> dict[str, str]:
        address, trust = request.client, self._trust
        if trust.source.encode() == VIEWER_ADDRESS:
            address += ":443"
        found = {
            "host": request.host,
            "user-agent": request.agent,
            "cookie": request.cookie,
            "range": request.range,
            trust.source: address,
        }
        if trust.secret_header is not None:
            found[trust.secret_header.decode()] = trust.secret_values[0].decode()
        return {name: value for name, value in found.items() if value}


def _refuse_distrust(url: URL, trust: Trust) -> None:
    if trust.source == "peer":
        raise ConfigError(
            "--replay: the configuration takes the client's address from the connection "
            "(client_address.from: peer); write x-forwarded-for, and trust loopback"
        )
    client = "198.51.100.1"
    headers = {trust.source.encode(): client.encode() + b":443"}
    if trust.secret_header is not None:
        headers[trust.secret_header] = trust.secret_values[0]
    local = _is_loopback(url.host or "")
    if local and trust.client(Request("GET", "/", headers, _LOOPBACK)).address != client:
        cure = (
            f"it is one hop, and client_address.trusted_hops is {trust.hops}; write 1"
            if trust.hops
            else "add loopback to client_address.trusted_proxies"
        )
        raise ConfigError(
            f"--replay: the configuration does not let this machine name a client; {cure}"
        )


def _session() -> aiohttp.ClientSession:
    """No headers, cookies or decoding of its own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=trusted()),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=_TIMEOUT),
        skip_auto_headers=("user-agent", "accept", "accept-encoding"),
        auto_decompress=False,
    )


def _words(told: str, status: int) -> str:
    """An answer in the words of its ``X-Nearbucket``: action, reason, region."""
    action, *rest = (part.strip() for part in told.split(";"))
    values = dict(part.partition("=")[::2] for part in rest)
    if "reason" not in values:
        return f"status {status} without X-Nearbucket"
    return f"{action} {values['reason']} {values.get('region', '')}"
