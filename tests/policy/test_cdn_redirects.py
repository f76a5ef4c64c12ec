"""Which bypasses are redirected to the CDN, and which are streamed all the same."""

from __future__ import annotations

import pytest

from nearbucket.policy.engine import FixedKnowledge
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


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        pytest.param(request(), Reason.CAME_BACK, id="a client that came back"),
        pytest.param(request(if_none_match='"e"'), Reason.NOT_MODIFIED, id="unchanged"),
        pytest.param(request("/", peer=OUTSIDE), Reason.OUTSIDE_AWS, id="no object"),
    ],
)
def test_what_the_cdn_is_of_no_use_for_is_not_sent_to_it(asked: Request, reason: Reason) -> None:
    copies = FixedKnowledge(ReplicaStatus(etags=("e",)), came_back=reason is Reason.CAME_BACK)
    decision = engine(CDN_OF).decide(asked, copies)
    assert isinstance(decision, Stream)
    assert decision.reason is reason


@pytest.mark.parametrize(
    "reason",
    [
        Reason.NOT_REPLICATED, Reason.UNREADABLE, Reason.ABSENT, Reason.UNVERIFIED,
        Reason.TARGET_DOWN, Reason.SMALL,
    ],
)  # fmt: skip
def test_what_depends_on_the_buckets_is_not_sent_to_the_cdn(reason: Reason) -> None:
    decision = engine(CDN_OF).decide(request(), FixedKnowledge(ReplicaStatus(reason)))
    assert isinstance(decision, Stream)
    assert decision.reason is reason


def test_what_others_ask_is_sent_to_the_cdn() -> None:
    decision = engine(CDN_OF).decide(request("/a.txt", peer=OUTSIDE, host="cdn.example"))
    assert isinstance(decision, RedirectTo)
    assert decision.location.lower() == "https://cdn.example:8443/files/a.txt"
