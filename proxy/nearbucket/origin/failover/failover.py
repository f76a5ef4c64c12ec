"""The origins of a site: the first, and failover buckets that are asked when it fails.

An origin fails for a request if its response would give the client 502, 503 or 504. 404 and 403 of
the first origin are answers: it has no such object. Those of a failover bucket are not, since it
may lack objects that the origin has; and what it sends is not used if it is another version than
the origin had (``known_versions.py``). Origins whose breaker is open are asked last: only they may
have the object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nearbucket.errors import OriginError
from nearbucket.origin.error_response import ErrorResponse
from nearbucket.origin.failover.known_versions import KnownVersions
from nearbucket.origin.failover.rest_of_body import RestOfBody
from nearbucket.origin.response_headers import private_fields
from nearbucket.s3.sigv4 import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nearbucket.origin.client import OriginClient
    from nearbucket.origin.failover.known_versions import ShownObject
    from nearbucket.origin.object_response import ObjectResponse
    from nearbucket.origin.response_headers import ResponseHead

_FROM_FAILOVER = frozenset({200, 206, 304, 416})
"""Statuses of a failover bucket that are passed on. 412 is not: its ETag may be another one."""
_WITH_OBJECT = frozenset({200, 206, 304})
_OK, _NOT_FOUND = 200, 404


class EarlierAttempt(NamedTuple):
    """A request that the streaming lane has sent.

    Attributes:
        origin: The origin that was asked.
        outcome: Its error response, or the failure; None if it may be asked once more.
    """

    origin: OriginClient
    outcome: ErrorResponse | OriginError | None


class SiteOrigins:
    """The origins of one site in order; most sites have only one.

    Attributes:
        is_private: Whether no shared cache may keep an object, by its key.
        has_failover: Whether there is more than one.
    """

    def __init__(
        self,
        origins: Sequence[OriginClient],
        shared: Callable[[str], ShownObject | None] = lambda _: None,
        is_private: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Take the origins, the first one first; ``shared`` as of ``KnownVersions``."""
        self._origins = tuple(origins)
        self.is_private = is_private
        self.has_failover = len(origins) > 1
        self._versions = KnownVersions(shared) if self.has_failover else None

    async def open(  # noqa: PLR0913  # each is a part of a client's request, but for the last
        self,
        method: str,
        key: str,
        conditions: Mapping[str, str],
        *,
        query: Sequence[tuple[str, str]] = (),
        cors_origin: str | None = None,
        earlier: EarlierAttempt | None = None,
    ) -> ObjectResponse:
        """Request an object.

        Args:
            method: As of ``OriginClient.open``, like those that follow.
            key: Object key, decoded, without a bucket's prefix.
            conditions: Header fields of the client.
            query: Arguments for S3.
            cors_origin: The client's Origin field.
            earlier: What the streaming lane has tried.

        Returns:
            As ``OriginClient.open``; ``failover`` of it names the bucket, if it is a further one.

        Raises:
            OriginError: No origin can answer; with the status of the first one.
        """
        failures: dict[OriginClient, OriginError] = {}
        if earlier is not None and earlier.outcome is not None:
            answer = self._earlier_answer(earlier, key, failures)
            if answer is not None:
                return answer
        order = self._order(query, earlier, failures)
        up = [origin for origin in order if not origin.is_down] or order
        for origin in order:
            again = origin is up[-1] and (earlier is None or earlier.origin is not origin)
            try:
                answer = await origin.open(
                    method, key, conditions, query=query, cors_origin=cors_origin, again=again
                )
            except OriginError as error:
                failures[origin] = error
                continue
            if self._accepts_answer(origin, key, query, answer):
                if self._versions is not None:
                    answer.again = self.rest(origin, key, query)
                if answer.status in _WITH_OBJECT and self.is_private(key):
                    answer.headers = private_fields(answer.headers)
                return answer
            answer.close()
            text = f"failover bucket {origin.failover} has another version of it, or none"
            failures[origin] = OriginError(502, text)
        raise self._failure(failures)

    def _earlier_answer(
        self, earlier: EarlierAttempt, key: str, failures: dict[OriginClient, OriginError]
    ) -> ObjectResponse | None:
        """The answer to the client by what the streaming lane was told, or None and a failure."""
        origin, outcome = earlier
        if isinstance(outcome, ErrorResponse):
            try:
                answer = origin.response_to(outcome)
            except OriginError as error:
                outcome = error
            else:
                self._accepts_answer(origin, key, (), answer)
                return answer
        if outcome is not None:
            failures[origin] = outcome
        return None

    def _order(
        self,
        query: Sequence[tuple[str, str]],
        earlier: EarlierAttempt | None,
        failures: Mapping[OriginClient, OriginError],
    ) -> list[OriginClient]:
        """The origins to ask; those last that are down, or have just failed."""
        origins = self._origins
        if _is_of_one_bucket(query):
            origins = origins[:1]
        failed = None if earlier is None else earlier.origin
        left = (origin for origin in origins if origin not in failures)
        return sorted(left, key=lambda origin: (origin.is_down, origin is failed))

    def _failure(self, failures: Mapping[OriginClient, OriginError]) -> OriginError:
        """The failure of all origins: the status of the first, and what happened at each."""
        first = failures[self._origins[0]]
        others = [error.detail for error in failures.values() if error is not first]
        return OriginError(first.status, "; ".join([first.detail, *others]))

    def _accepts_answer(
        self,
        origin: OriginClient,
        key: str,
        query: Sequence[tuple[str, str]],
        answer: ObjectResponse,
    ) -> bool:
        """Whether an answer may be given to the client; learns from those of the first origin."""
        versions = self._versions
        if versions is None or _is_of_one_bucket(query):
            return True
        if not origin.failover:
            if answer.status == _NOT_FOUND:
                versions.learn_missing(key)
            versions.learn(key, answer.etag, answer.total)
            return True
        whole = answer.status == _OK
        if answer.status not in _FROM_FAILOVER or not versions.allows(
            key, answer.etag, answer.total, whole=whole
        ):
            return False
        origin.on_failover()
        return True

    def accepts(self, origin: OriginClient, key: str, response: ResponseHead) -> bool:
        """The same for a 200 or 206 in the streaming lane, where ``on_status`` counts failovers."""
        if self._versions is None:
            return True
        if not origin.failover:
            self._versions.learn(key, response.etag, response.total)
            return True
        whole = response.status == _OK
        return self._versions.allows(key, response.etag, response.total, whole=whole)

    def rest(
        self, origin: OriginClient, key: str, query: Sequence[tuple[str, str]] = ()
    ) -> RestOfBody:
        """Requests the rest of an object that this origin has begun to send."""
        only = _is_of_one_bucket(query)
        others = [] if only else [each for each in self._origins if each is not origin]
        suffix = f"?{canonical(query)}" if query else ""
        paths = ((each, each.path_of(key)) for each in (origin, *others))
        return RestOfBody([(each, path + suffix) for each, path in paths if path is not None])

    async def preflight(self, key: str, fields: Mapping[str, str]) -> ObjectResponse:
        """Send a browser's CORS preflight to the first origin that answers.

        Args:
            key: Object key, decoded, without a bucket's prefix.
            fields: As of ``OriginClient.preflight``.

        Raises:
            OriginError: No origin could be reached.
        """
        failures: dict[OriginClient, OriginError] = {}
        for origin in self._order((), None, failures):
            try:
                return await origin.preflight(key, fields)
            except OriginError as error:
                failures[origin] = error
        raise self._failure(failures)


def _is_of_one_bucket(query: Sequence[tuple[str, str]]) -> bool:
    """Whether a request names a version of the object, which no other bucket has."""
    return any(name == "versionId" for name, _ in query)
