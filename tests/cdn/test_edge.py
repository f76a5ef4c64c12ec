"""CloudFront's rules of caching, forwarding and ranges, played over real connections."""

from __future__ import annotations

import asyncio

import pytest

from tests.cdn.distribution import (
    ALL_VIEWER_AND_CLOUDFRONT,
    CACHING_DISABLED,
    Behaviour,
    CachePolicy,
    OriginRequestPolicy,
)
from tests.cdn.origin import BODY, Viewer, viewing

UNCACHED = Behaviour("origin", "*.gz", CACHING_DISABLED, ALL_VIEWER_AND_CLOUDFRONT)
ETAG = {"ETag": '"one"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}


# ---- "Understanding the cache key"


async def test_the_key_has_neither_the_client_nor_the_host_nor_query_headers_or_cookies() -> None:
    async with viewing() as viewer:
        await viewer.get(address="192.0.2.1")
        others = [
            await viewer.get(address="198.51.100.1"),
            await viewer.get("/a?b=c"),
            await viewer.get(Host="other.example", Cookie="a=b", User_Agent="x"),
        ]
    assert [each.cache for each in others] == ["Hit"] * 3
    assert len(viewer.origin.asked) == 1


async def test_the_key_has_what_the_cache_policy_names() -> None:
    policy = CachePolicy(query=True, headers=("X-Class",), cookies=True)
    async with viewing(Behaviour("origin", cache=policy)) as viewer:
        others = ("", "a", "c=1"), ("?q", "a", "c=1"), ("", "b", "c=1"), ("", "a", "c=2")
        for query, kind, cookie in others:
            for cache in ("Miss", "Hit"):
                assert (await viewer.get(f"/a{query}", X_Class=kind, Cookie=cookie)).cache == cache


async def test_vary_makes_no_key() -> None:
    async with viewing() as viewer:
        viewer.origin.fields = {"Vary": "X-Forwarded-For, User-Agent"}
        await viewer.get()
        assert (await viewer.get(address="198.51.100.1", User_Agent="x")).cache == "Hit"


# ---- "Expiration"


async def test_a_redirect_is_kept_like_an_object_and_given_to_all() -> None:
    async with viewing() as viewer:
        viewer.origin.status, viewer.origin.fields = 301, {"Location": "https://near.example/a"}
        await viewer.get(address="192.0.2.1")
        other = await viewer.get(address="198.51.100.1")
    assert (other.status, other.cache) == (301, "Hit")
    assert other.fields["Location"] == "https://near.example/a"


async def test_what_is_private_is_kept_for_the_minimum_ttl() -> None:
    async with viewing(Behaviour("origin", cache=CachePolicy(1, 1, 1))) as viewer:
        viewer.origin.fields = {"Cache-Control": "private, no-store"}
        assert [(await viewer.get()).cache for _ in range(2)] == ["Miss", "Hit"]
        viewer.now = 1.0
        assert (await viewer.get()).cache == "Miss"


async def test_cache_control_of_a_viewer_is_ignored() -> None:
    async with viewing() as viewer:
        await viewer.get()
        assert (await viewer.get(Cache_Control="no-cache", Pragma="no-cache")).cache == "Hit"


async def test_age_says_for_how_long_an_answer_was_kept() -> None:
    async with viewing() as viewer:
        assert "Age" not in (await viewer.get()).fields
        viewer.now = 7.5
        assert (await viewer.get()).fields["Age"] == "7"


async def test_what_is_expired_is_revalidated_by_its_etag_and_date() -> None:
    async with viewing(Behaviour("origin", cache=CachePolicy(0, 60, 60))) as viewer:
        viewer.origin.fields, viewer.origin.ranges = dict(ETAG), True
        await viewer.get()
        viewer.now = 60.0
        renewed = await viewer.get()
        asked = viewer.origin.last
        assert (renewed.status, renewed.cache, renewed.body) == (200, "RefreshHit", BODY)
        assert (asked["If-None-Match"], asked["If-Modified-Since"]) == tuple(ETAG.values())
        assert (await viewer.get()).cache == "Hit"
        viewer.now, viewer.origin.fields, viewer.origin.body = 120.0, {"ETag": '"two"'}, b"new"
        assert (await viewer.get()).body == b"new"


async def test_a_revalidation_that_is_redirected_is_passed_on() -> None:
    async with viewing(Behaviour("origin", cache=CachePolicy(0, 60, 60))) as viewer:
        viewer.origin.fields = dict(ETAG)
        await viewer.get()
        viewer.now, viewer.origin.status = 60.0, 301
        viewer.origin.fields = {"Location": "/b", "Cache-Control": "private, no-store"}
        assert [(await viewer.get()).status for _ in range(2)] == [301, 301]


# ---- "HTTP 4xx and 5xx status codes"


async def test_an_error_is_given_to_all_whatever_it_says_also_where_caching_is_disabled() -> None:
    async with viewing(UNCACHED) as viewer:
        viewer.origin.status, viewer.origin.fields = 502, {"Cache-Control": "no-store"}
        await viewer.get("/a.gz", address="192.0.2.1")
        viewer.origin.status = 200
        other = await viewer.get("/a.gz", address="198.51.100.1")
        assert (other.status, other.cache) == (502, "Error")
        viewer.now = 10.0
        assert (await viewer.get("/a.gz")).status == 200


async def test_an_error_with_an_error_caching_ttl_of_0_is_not_kept() -> None:
    async with viewing(UNCACHED, errors={502: 0}) as viewer:
        viewer.origin.status = 502
        await viewer.get("/a.gz")
        viewer.origin.status = 200
        assert (await viewer.get("/a.gz")).status == 200


@pytest.mark.parametrize("down", [False, True], ids=["503", "no answer"])
async def test_what_is_expired_is_given_while_the_origin_fails(*, down: bool) -> None:
    async with viewing(Behaviour("origin", cache=CachePolicy(0, 60, 60))) as viewer:
        await viewer.get()
        viewer.now, viewer.origin.status = 60.0, 503
        if down:
            await viewer.origin.close()
        got = await viewer.get()
        assert (got.status, got.body) == (200, BODY)


async def test_an_origin_that_does_not_answer_is_a_502() -> None:
    async with viewing() as viewer:
        await viewer.origin.close()
        assert (await viewer.get()).status == 502


# ---- request collapsing, as in "Simultaneous requests for the same object"


async def _at_once(viewer: Viewer, number: int) -> list[str]:
    viewer.origin.gate.clear()
    tasks = [
        asyncio.create_task(viewer.get("/a.gz", address=f"192.0.2.{n}")) for n in range(number)
    ]
    async with asyncio.timeout(10):
        while viewer.edge.requests < number:  # noqa: ASYNC110  # a plain integer
            await asyncio.sleep(0)
        viewer.origin.gate.set()
        return [each.cache for each in await asyncio.gather(*tasks)]


async def test_requests_at_once_share_one_answer_that_may_be_kept() -> None:
    async with viewing() as viewer:
        assert sorted(await _at_once(viewer, 5)) == ["Hit"] * 4 + ["Miss"]
        assert len(viewer.origin.asked) == 1


@pytest.mark.parametrize("said", ["private", "no-store", "no-cache", "max-age=0"])
async def test_requests_at_once_share_no_answer_that_may_not_be_kept(said: str) -> None:
    async with viewing() as viewer:
        viewer.origin.fields = {"Cache-Control": said}
        assert await _at_once(viewer, 5) == ["Miss"] * 5
        assert len(viewer.origin.asked) == 5


async def test_requests_at_once_share_what_is_private_where_there_is_a_minimum_ttl() -> None:
    async with viewing(Behaviour("origin", cache=CachePolicy(1, 1, 1))) as viewer:
        viewer.origin.fields = {"Cache-Control": "private"}
        assert sorted(await _at_once(viewer, 5)) == ["Hit"] * 4 + ["Miss"]


async def test_requests_at_once_do_not_wait_where_caching_is_disabled() -> None:
    async with viewing(UNCACHED) as viewer:
        assert await _at_once(viewer, 3) == ["Miss"] * 3


# ---- ranges, as in "How CloudFront processes partial requests for an object"


async def test_a_range_is_widened_and_later_ranges_are_answered_from_it() -> None:
    async with viewing(block=256) as viewer:
        viewer.origin.fields, viewer.origin.ranges = dict(ETAG), True
        first = await viewer.get(Range="bytes=300-309")
        assert viewer.origin.last["Range"] == "bytes=256-511"
        assert (first.status, first.body) == (206, BODY[300:310])
        assert first.fields["Content-Range"] == f"bytes 300-309/{len(BODY)}"
        later = await viewer.get(Range="bytes=500-511")
        assert (later.cache, later.body) == ("Hit", BODY[500:512])
        assert (await viewer.get(Range="bytes=500-512")).cache == "Miss"
        joined = await viewer.get(Range="bytes=256-700")
        assert (joined.cache, joined.body) == ("Hit", BODY[256:701])


async def test_ranges_are_answered_from_an_object_that_is_kept_whole() -> None:
    async with viewing() as viewer:
        viewer.origin.fields = dict(ETAG)
        await viewer.get()
        parts = [await viewer.get(Range=f"bytes={span}") for span in ("0-9", "-10", "1020-")]
        assert [each.body for each in parts] == [BODY[:10], BODY[-10:], BODY[1020:]]
        assert (await viewer.get(Range="bytes=2000-")).status == 416
        whole = await viewer.get(Range="bytes=0-9", If_Range='"other"')
        assert (whole.status, whole.body) == (200, BODY)


@pytest.mark.parametrize("etags", [('"one"', '"two"'), ("", "")], ids=["two", "none"])
async def test_parts_of_two_versions_are_not_put_together(etags: tuple[str, str]) -> None:
    async with viewing(block=256) as viewer:
        viewer.origin.fields, viewer.origin.ranges = {"ETag": etags[0]}, True
        await viewer.get(Range="bytes=0-255")
        viewer.origin.fields, viewer.origin.body = {"ETag": etags[1]}, BODY[::-1]
        await viewer.get(Range="bytes=256-511")
        again = await viewer.get(Range="bytes=0-255")
        assert (again.cache, again.body) == ("Miss", BODY[::-1][:256])


async def test_a_private_part_is_not_kept_and_is_what_the_viewer_asked_for() -> None:
    async with viewing(block=256) as viewer:
        viewer.origin.fields, viewer.origin.ranges = {"Cache-Control": "private"}, True
        for _ in range(2):
            got = await viewer.get(Range="bytes=300-309")
            assert (got.cache, got.body) == ("Miss", BODY[300:310])


# ---- HEAD and conditions


async def test_head_is_answered_from_a_kept_get_and_a_kept_head_is_no_object() -> None:
    async with viewing() as viewer:
        viewer.origin.fields = dict(ETAG)
        assert (await viewer.get(method="HEAD")).cache == "Miss"
        got = await viewer.get()
        assert (got.cache, got.body) == ("Miss", BODY)
        head = await viewer.get(method="HEAD")
        assert (head.cache, head.body, head.fields["Content-Length"]) == ("Hit", b"", "1024")


async def test_a_condition_of_a_viewer_is_no_condition_of_a_revalidation() -> None:
    async with viewing(Behaviour("origin", cache=CachePolicy(0, 60, 60))) as viewer:
        viewer.origin.fields, viewer.origin.ranges = {"ETag": '"one"'}, True
        await viewer.get()
        viewer.now = 60.0
        later = {"If_None_Match": '"other"', "If_Modified_Since": "Fri, 02 Jan 2026 00:00:00 GMT"}
        got = await viewer.get(**later)
        assert (got.status, got.cache, got.body) == (200, "RefreshHit", BODY)
        assert viewer.origin.last["If-None-Match"] == '"one"'
        assert "If-Modified-Since" not in viewer.origin.last


async def test_a_redirect_of_a_head_answers_a_get() -> None:
    async with viewing() as viewer:
        viewer.origin.status, viewer.origin.fields = 302, {"Location": "/b"}
        await viewer.get(method="HEAD")
        got = await viewer.get()
        assert (got.status, got.cache, got.fields["Location"]) == (302, "Hit", "/b")


@pytest.mark.parametrize(
    "fields",
    [{"If_None_Match": '"x", W/"one"'}, {"If_Modified_Since": "Fri, 02 Jan 2026 00:00:00 GMT"}],
)
async def test_conditions_are_answered_from_what_is_kept(fields: dict[str, str]) -> None:
    async with viewing() as viewer:
        viewer.origin.fields = dict(ETAG)
        await viewer.get()
        got = await viewer.get(**fields)
        assert (got.status, got.cache) == (304, "Hit")


async def test_a_304_for_what_only_the_viewer_has_is_passed_on_and_not_kept() -> None:
    async with viewing() as viewer:
        viewer.origin.fields, viewer.origin.ranges = dict(ETAG), True
        assert (await viewer.get(If_None_Match='"one"')).status == 304
        got = await viewer.get()
        assert (got.status, got.cache) == (200, "Miss")


# ---- "Request and response behavior for custom origins"


async def test_without_an_origin_request_policy_the_origin_learns_little_of_the_viewer() -> None:
    secret = {"x-origin-verify": "secret"}
    async with viewing(secret=secret) as viewer:
        await viewer.get(
            "/a?q=1", Host="dl.example", Cookie="a=b", X_Any="y", X_Forwarded_For="10.0.0.1",
            Authorization="Basic a", X_Origin_Verify="forged",
        )  # fmt: skip
        asked, target = viewer.origin.last, viewer.origin.asked[-1].raw_path
    assert target == "/a"
    assert asked["Host"] == f"127.0.0.1:{viewer.origin.port}"
    assert asked["User-Agent"] == "Amazon CloudFront"
    assert asked["X-Forwarded-For"] == "10.0.0.1, 192.0.2.1"
    assert asked.getall("X-Origin-Verify") == ["secret"]
    assert {"Via", "X-Amz-Cf-Id"} <= asked.keys()
    assert not {"Cookie", "X-Any", "Authorization", "CloudFront-Viewer-Address"} & asked.keys()


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
async def test_the_managed_policy_for_all_viewer_headers_adds_the_viewers_address(
    address: str,
) -> None:
    async with viewing(UNCACHED, secret={"x-origin-verify": "secret"}) as viewer:
        await viewer.get(
            "/a.gz?q=1", address=address, Host="dl.example", Cookie="a=b", X_Any="y",
            CloudFront_Viewer_Address="10.0.0.1:1", User_Agent="curl", X_Origin_Verify="forged",
        )  # fmt: skip
        asked, target = viewer.origin.last, viewer.origin.asked[-1].raw_path
    assert target == "/a.gz?q=1"
    assert asked.getall("X-Origin-Verify") == ["secret"]
    (named,) = asked.getall("CloudFront-Viewer-Address")
    assert named.rpartition(":")[0] == address
    assert [asked[name] for name in ("Host", "User-Agent", "Cookie", "X-Any")] == [
        "dl.example", "curl", "a=b", "y",
    ]  # fmt: skip


async def test_a_policy_may_name_header_fields_without_cookies() -> None:
    policy = OriginRequestPolicy(("Host", "X-Any"), query=True, viewer_address=True)
    async with viewing(Behaviour("origin", request=policy)) as viewer:
        await viewer.get(Host="dl.example", Cookie="a=b", X_Any="y", X_Other="z")
        asked = viewer.origin.last
    assert (asked["Host"], asked["X-Any"]) == ("dl.example", "y")
    assert not {"Cookie", "X-Other"} & asked.keys()


async def test_methods_that_a_distribution_does_not_allow_are_refused_at_the_edge() -> None:
    async with viewing() as viewer:
        assert (await viewer.get(method="PUT")).status == 403
        assert viewer.origin.asked == []
