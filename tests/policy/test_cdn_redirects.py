"""Which bypasses are redirected to the CDN, and which are streamed all the same."""

from __future__ import annotations

import pytest

from nearbucket.policy.model import Reason, RedirectTo, ReplicaStatus, Request, Stream
from tests.build import EAST, OUTSIDE, engine, request, settings

CDN_OF = settings(site={"bypass": {"mode": "redirect", "to": "https://CDN.example:8443/files"}})


@pytest.mark.parametrize("host", ["cdn.example:8443", "CDN.Example:8443"])
def test_what_the_cdn_itself_asks_is_never_sent_back_to_it(host: str) -> None:
    asked = request("/a.txt", peer=OUTSIDE, host=host)
    assert isinstance(engine(CDN_OF).decide(asked), Stream)


def test_what_is_mutable_is_not_sent_to_the_cdn_either() -> None:
    bypass = {"mode": "redirect", "to": "https://cdn.example"}
    deciding = engine(settings(site={"bypass": bypass, "redirect": {"mutable": ["a.*"]}}))
    for peer, reason in ((EAST, Reason.MUTABLE), (OUTSIDE, Reason.OUTSIDE_AWS)):
        decision = deciding.decide(request("/a.tar.gz", peer=peer))
        assert isinstance(decision, Stream)
        assert decision.reason is reason
        assert isinstance(deciding.decide(request("/b.tar.gz", peer=OUTSIDE)), RedirectTo)


class _Copies:
    """Stands for what is known of the copies: all have one version."""

    def __init__(self, *, back: bool) -> None:
        """``back``: whether the client was redirected to its object a moment ago."""
        self._back = back

    def replica_status(self, _site: str, _region: str, _key: str) -> ReplicaStatus:
        return ReplicaStatus(etags=("e",))

    def came_back(
        self, _site: str, _region: str, _client: str, _key: str, _request: Request
    ) -> bool:
        return self._back


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        pytest.param(request(), Reason.CAME_BACK, id="a client that came back"),
        pytest.param(request(if_none_match='"e"'), Reason.NOT_MODIFIED, id="unchanged"),
        pytest.param(request("/", peer=OUTSIDE), Reason.OUTSIDE_AWS, id="no object"),
    ],
)
def test_what_the_cdn_is_of_no_use_for_is_not_sent_to_it(asked: Request, reason: Reason) -> None:
    copies = _Copies(back=reason is Reason.CAME_BACK)
    decision = engine(CDN_OF).decide(asked, copies)
    assert isinstance(decision, Stream)
    assert decision.reason is reason


class _Against:
    """Stands for copies that are all not to be used, for one reason."""

    def __init__(self, reason: Reason) -> None:
        self._reason = reason

    def replica_status(self, _site: str, _region: str, _key: str) -> ReplicaStatus:
        return ReplicaStatus(self._reason)

    def came_back(
        self, _site: str, _region: str, _client: str, _key: str, _request: Request
    ) -> bool:
        return False


@pytest.mark.parametrize(
    "reason",
    [
        Reason.NOT_REPLICATED, Reason.UNREADABLE, Reason.ABSENT, Reason.UNVERIFIED,
        Reason.TARGET_DOWN, Reason.SMALL,
    ],
)  # fmt: skip
def test_what_depends_on_the_buckets_is_not_sent_to_the_cdn(reason: Reason) -> None:
    decision = engine(CDN_OF).decide(request(), _Against(reason))
    assert isinstance(decision, Stream)
    assert decision.reason is reason


def test_what_others_ask_is_sent_to_the_cdn() -> None:
    decision = engine(CDN_OF).decide(request("/a.txt", peer=OUTSIDE, host="cdn.example"))
    assert isinstance(decision, RedirectTo)
    assert decision.location.lower() == "https://cdn.example:8443/files/a.txt"
