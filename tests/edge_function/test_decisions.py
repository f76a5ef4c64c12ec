"""The function decides as the engine does: 10,000 addresses, and 100,000 for each rule if long."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.regions.prefixes import BITS
from tests.build import EAST, EAST_V6, WEST, ranges, settings
from tests.edge_function.node_runs import EdgeRun, Outcome, Viewer, outcomes
from tests.ranges_lists import RangesList, each_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nearbucket.config.settings import Settings
    from nearbucket.regions.ip_ranges import Ranges

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-2", "ap-southeast-2")
TARGETS: dict[str, dict[str, Any]] = {
    region: {"bucket": f"{region}-downloads"} for region in REGIONS
}
CDN = {"mode": "redirect", "to": "https://cdn.example.com/files"}


def of(*, sections: Mapping[str, Any] | None = None, **site: Any) -> Settings:
    """A configuration with five targets; ``site`` and ``sections`` replace what they name."""
    return settings(site={"targets": TARGETS, **site}, **(sections or {}))


def with_redirect(**keys: Any) -> Settings:
    return of(redirect=keys)


NETWORKS = ["198.19.0.0/17", "52.0.0.0/9", "3fff::/24", "2600:1f00::/25", "192.0.2.7/32"]
OVERRIDES = {
    "198.19.209.1/32": "eu-west-1", "203.0.113.0/24": "us-east-1", "2001:db8::7/128": "us-west-2",
    "198.19.0.0/20": "none", "52.95.0.0/16": "none", "2600:9000:5201::/65": "eu-west-1",
}  # fmt: skip

SETTINGS: dict[str, Settings] = {
    "percent": with_redirect(percent=37.5),
    "a small percent": with_redirect(percent=12.34),
    "shadow": with_redirect(mode="shadow"),
    "off": with_redirect(mode="off"),
    "one target off": of(targets={**TARGETS, "us-east-1": {"bucket": "downloads", "mode": "off"}}),
    "cdn": of(bypass=CDN),
    "no target": of(targets={}),
    "opt-out networks": of(opt_out={"networks": NETWORKS}),
    "overrides": of(sections={"regions": {"overrides": OVERRIDES}}),
    "another service": of(sections={"regions": {"services": ["AMAZON"]}}),
    "two services": of(sections={"regions": {"services": ["S3", "CODEBUILD"]}}),
    "status": with_redirect(status=307),
    "no reason header": of(sections={"log": {"reason_header": False}}),
    "all paths": with_redirect(paths=["*"]),
    "buckets of all kinds": of(targets={
        "us-east-1": {"bucket": "with.dots"}, "us-west-2": {"bucket": "bucket", "prefix": "a b/é"},
        "eu-west-1": {"bucket": "bucket", "endpoint": "https://s3.example:9000"},
        "ap-northeast-2": {"bucket": "bucket", "public_url": "https://x.example/eu-west-1"},
        "ap-southeast-2": {"bucket": "bucket", "region": "us-west-1"},
    }),
}  # fmt: skip
"""What is set for all requests."""

PLAIN = of(
    redirect={"mutable": ["latest/*"], "cookies": ["session*", "[a-c]?"]},
    opt_out={"user_agents": ["Old*", "*/2.?"]},
    origin={"bucket": "downloads", "region": "us-east-1", "query": ["versionId"]},
)
REQUESTS: dict[str, Viewer] = {
    name: Viewer(
        "", method, target, {"host": "dl.example", **{k.replace("_", "-"): v for k, v in fields}}
    )
    for name, method, target, fields in (
        ("GET", "GET", "/a.tar.gz", ()),
        ("HEAD", "HEAD", "/a.tar.gz", ()),
        ("POST", "POST", "/a.tar.gz", ()),
        ("path", "GET", "/a.txt", ()),
        ("excluded", "GET", "/a.tar.gz.sha256", ()),
        ("mutable", "GET", "/latest/a.tar.gz", ()),
        ("opt-out query", "GET", "/a.tar.gz?x=1&redirect=no", ()),
        ("opt-out header", "GET", "/a.tar.gz", (("x_no_redirect", ""),)),
        ("opt-out agent", "GET", "/a.tar.gz", (("user_agent", "curl/2.x"),)),
        ("agent", "GET", "/a.tar.gz", (("user_agent", "curl/8.5"),)),
        ("authorization", "GET", "/a.tar.gz", (("authorization", "Basic x"),)),
        ("cookie", "GET", "/a.tar.gz", (("cookie", "x=1; session_id=2"),)),
        ("other cookie", "GET", "/a.tar.gz", (("cookie", "_ga=1; d=2"),)),
        ("signed", "GET", "/a.tar.gz?a=b&X-Amz-Signature=1", ()),
        ("signed by CloudFront", "GET", "/a.tar.gz?Key-Pair-Id=K", ()),
        ("argument of the origin", "GET", "/a.tar.gz?a&version%49d=3", ()),
        ("range", "GET", "/a.tar.gz", (("range", "bytes=5-"),)),
        ("conditions", "GET", "/a.tar.gz", (("if_none_match", '"x"'), ("if_range", '"x"'))),
        ("browser", "GET", "/a.tar.gz", (("origin", "https://a.example"),)),
        ("forged address", "GET", "/a.tar.gz", (("x_forwarded_for", "3.5.140.1"),)),
    )
}
"""What a request has, with one configuration."""

RULES = {name: (chosen, REQUESTS["GET"]) for name, chosen in SETTINGS.items()} | {
    name: (PLAIN, viewer) for name, viewer in REQUESTS.items()
}

STREAMED = {
    "shadow", "off", "no target", "HEAD", "POST", "path", "excluded", "mutable", "opt-out query",
    "opt-out header", "opt-out agent", "authorization", "cookie", "signed", "signed by CloudFront",
    "argument of the origin",
}  # fmt: skip
"""The rules that redirect no address; under each of the others some addresses are redirected."""


def addresses(listed: Ranges, number: int) -> Iterator[str]:
    """Edges of prefixes and addresses beside them, addresses inside, and any others; all differ."""
    chance = random.Random(20260729)  # noqa: S311
    counted = [row for row in listed.rows if row.service == "EC2"]
    seen = set[str]()
    while len(seen) < number:
        kind = chance.randrange(12)
        family, first, length, *_ = chance.choice(counted if kind < 8 else listed.rows)
        bits = BITS[family]
        last = first + (1 << bits - length) - 1
        value = (first, last, first - 1, last + 1, chance.randint(first, last))[kind % 5]
        if kind == 11:
            value = chance.getrandbits(bits)
        four = family == 4
        text = str(IPv4Address(value & 2**32 - 1) if four else IPv6Address(value & 2**128 - 1))
        if four and chance.random() < 0.1:
            text = f"::ffff:{text}"
        if text not in seen:
            seen.add(text)
            yield text


def run_of(rule: str, listed: Ranges, ips: Iterable[str]) -> EdgeRun:
    chosen, viewer = RULES[rule]
    return EdgeRun(chosen, listed, [viewer._replace(ip=ip) for ip in ips])


def differences(run: EdgeRun, found: list[Outcome]) -> list[object]:
    decided = run.decided()
    assert len(decided) == len(found)
    return [
        each for each in zip(run.viewers, decided, found, strict=True) if each[1] != each[2].answer
    ]


@each_list
def test_the_function_decides_as_the_engine_does(ranges_list: RangesList) -> None:
    chosen = list(addresses(ranges_list.ranges, 10_000))
    share = len(chosen) // len(RULES)
    runs = [
        run_of(rule, ranges_list.ranges, chosen[number * share :][:share])
        for number, rule in enumerate(RULES)
    ]
    results = outcomes(runs)
    assert sum(map(len, results)) > 9_900
    for rule, run, found in zip(RULES, runs, results, strict=True):
        assert differences(run, found)[:3] == [], rule
    redirecting = {
        rule
        for rule, found in zip(RULES, results, strict=True)
        if any(each.answer is not None for each in found)
    }
    assert redirecting == RULES.keys() - STREAMED


@pytest.mark.long
@pytest.mark.parametrize("rule", RULES)
@each_list
def test_the_function_decides_100_000_addresses_as_the_engine_does(
    ranges_list: RangesList, rule: str
) -> None:
    run = run_of(rule, ranges_list.ranges, addresses(ranges_list.ranges, 100_000))
    (found,) = outcomes([run])
    assert differences(run, found)[:3] == []
    reads = [each.reads for each in found]
    assert max(reads) <= 4
    assert sum(reads) / len(reads) < 1.3


ODD_ADDRESSES = (
    "", "unknown", "1.2.3", "192.0.2.07", "192.0.2.256", "192.0.2.7.1", " 192.0.2.7",
    "192.0.2.7:80", "::", "::1", "::2:0", "::192.0.2.7", "::ffff:192.0.2.7", "::FFFF:c000:207",
    "2001:db8:1::7", "2001:DB8:1:0:0:0:0:7", "2001:db8:1::7%eth0", "2001:db8:1:0:0:0:7",
    "2001:db8:1:0:0:0:0:0:7", "2001:db8:1::0::7", "2001:db8:1:0:0:0:192.0.2.7",
    "2001:db8:1:2:3:4:5::", "2001:db8:1:2:3:4:5:6::", "2001:db8:1::2:3:4:5:6", "::2:3:4:5:6:7:8",
    ":2001:db8:1::7", "2001:db8:1::7:", "[2001:db8:1::7]", "12001:db8:1::7", "2001:db8:1::g",
    "2001:db8:1:0:1:0:0:7", "2001:db8:1:0:0:1:0:0", "2001:db8:1:1:1:1:0:7", ":::", ":", "1::2:",
    "0xc0.0.2.7", "3232235777", "192.0.2.7\0", "::ffff:0:192.0.2.7", "fe80::1", "203.0.113.130",
)  # fmt: skip

ODD_TARGETS = (
    "/", "//a.tar.gz", "/a//b.tar.gz", "/d/", "/d//", "/d", "/a%2Fb.tar.gz", "/a%2fb.tar.gz",
    "/%61.tar.gz", "/a+b.tar.gz", "/a%2Bb.tar.gz", "/a%25b.tar.gz", "/a%20b.tar.gz", "/a b.tar.gz",
    "/a%b.tar.gz", "/a%zz.tar.gz", "/a%0a.tar.gz", "/a%00.tar.gz", "/a%7f.tar.gz", "/a%5Cb.tar.gz",
    "/a\\b.tar.gz", "/./a.tar.gz", "/../a.tar.gz", "/%2e%2e/a.tar.gz", "/a/..", "/a/.",
    "/.a.tar.gz", "/..a.tar.gz", "/a/...", "/a..tar.gz", "/!'()*[]:@&=$,;~-_.tar.gz",
    "/%21%27%28%29%2A.tar.gz", '/"a".tar.gz', "/<a>|^`{}.tar.gz", "/a#b.tar.gz",
    "/a%23b%3F.tar.gz", "/%C3%A9.tar.gz", "/%c3%a9.tar.gz", "/e%CC%81.tar.gz",
    "/%F0%9F%98%80.tar.gz", "/é.tar.gz", "/%E9.tar.gz", "/%ED%A0%80.tar.gz", "/%C0%AF.tar.gz",
    "/%E2%80%A8.tar.gz", "/%F4%90%80%80.tar.gz", "/A.TAR.GZ", "/a.tar.", "/.tar.z", "/a.tar.gz/",
    "/a.tar.gz/.tar.", "/x20.tar.gz", "/x-1.zip", "/x-b.zip", "/x-%C3%A9.zip", "/xyz", "/x%C3%A9z",
    "/x%F0%9F%98%80z", "/xz", "/xyyz", "/a-%5D", "/a-!", "/a-b", "/[ab]", "/a", "/~b",
    "/.well-known/nearbucket-hosts.json", "/.well-known/x.tar.gz",
    "/%2Ewell-known/nearbucket-hosts.json", "/" + "a" * 1016 + ".tar.gz",
    "/" + "a" * 1017 + ".tar.gz", "/" + "%C3%A9" * 508 + ".tar.gz",
    "/" + "%C3%A9" * 509 + ".tar.gz", "/" + "é" * 9, "/" + "a.tar." * 160 + "y",
    "/" + "*" * 1015 + ".tar.gz", "a.tar.gz", "*", "/constructor", "/__proto__.tar.gz",
)  # fmt: skip

ODD_HOSTS = (
    "dl.example", "DL.example", "dl.example:443", "DL.EXAMPLE.:8080", "dl.example.",
    "dl.example..", "dl.example:", "dl.example:x", "dl.example:1:2", "user@dl.example",
    "dl.example,dl.example", "", "other.example", "*", "[::1]", "[::1]:80", "[::1", "::1",
    "[::1]]:80", "]:80", "constructor", "__proto__", "hasOwnProperty:80", "cdn.example.com",
    "CDN.example.com", "cdn.example.com:443", "dl.example:٣",
)  # fmt: skip

ODD_QUERIES = (
    "", "?", "?&", "?redirect=no", "?redirect=no&", "?Redirect=no", "?redirect=NO", "?redirect",
    "?redirect=", "?redirect=no=1", "?xredirect=no", "?a&redirect=no", "?redirect=yes&redirect=no",
    "?redirect=n%6F", "?x-amz-", "?X-AMZ-Date", "?a=x-amz-date", "?signature=1", "?Signature",
    "?a&Signature=", "?awsaccesskeyid=", "?key-pair-id=1", "?Expires=1", "?versionId=1",
    "?versionid=1", "?versionId", "?a=1&versionId=", "?version+Id=1", "?version%49d=1",
    "?%76ersionId=1", "?%ff=1", "?%=1", "?versionId%=1", "?=versionId", "?a;versionId=1",
    "?response-content-type=a", "?a?versionId=1", "?__proto__=1", "?a=1&a=2&a=redirect=no",
    "?&&&a",
)  # fmt: skip

ODD_FIELDS = (
    {"cookie": "a"}, {"cookie": "=a"}, {"cookie": ";"}, {"cookie": "x=1,session=2"},
    {"cookie": "x=1, ab=2"}, {"cookie": "sessionx"}, {"cookie": " session = 1"},
    {"cookie": "Session=1"}, {"cookie": "a%20b=1"}, {"cookie": "ab=1"}, {"cookie": "dd=1"},
    {"cookie": "__proto__=1"}, {"cookie": "a=1; a=2"}, {"cookie": "é=1"}, {"cookie": "aé=1"},
    {"user-agent": ""}, {"user-agent": "Old"}, {"user-agent": "old"}, {"user-agent": "x/2.é"},
    {"user-agent": "x/2.%"}, {"user-agent": "Ol/2.!"}, {"user-agent": "x/2.10"},
    {"user-agent": "Mozilla/5.0 (X; Y) 'a' * x/2.\""}, {"authorization": ""},
    {"x-no-redirect": "1"}, {"constructor": "1"}, {"origin": ""}, {"range": "junk"},
)  # fmt: skip

ODD_SITES = settings(
    site={
        "hosts": ["dl.example", "[::1]"],
        "index": "x.tar.gz",
        "redirect": {
            "paths": ["*.tar.*z*", "x-[0-9].zip", "x-[!0-9].zip", "x?z", "a-[]!]", "[[]ab]",
                      "*20*", "[~a]", "*é*"],
            "exclude": ["*.sha256", "b*"],
            "percent": 60,
            "cookies": ["session*", "[ab]?"],
        },
        "opt_out": {"user_agents": ["Old*", "*/2.?", "*[!a-z]'*"]},
        "origin": {"bucket": "downloads", "region": "us-east-1", "prefix": "é",
                   "query": ["versionId", "response-content-type"]},
        "bypass": {"mode": "redirect", "to": "https://cdn.example.com"},
    },
    more=[{
        "hosts": ["*"], "origin": {"bucket": "other", "region": "us-east-1"},
        "targets": {"us-east-1": {"bucket": "other"}},
        "redirect": {"paths": ["*"], "head": "redirect"},
        "opt_out": {"query": None, "header": None},
    }],
)  # fmt: skip


def odd_viewers() -> Iterator[Viewer]:
    host = {"host": "dl.example"}
    yield from (Viewer(ip) for ip in ODD_ADDRESSES)
    for ip in (EAST, EAST_V6, "192.0.2.8", WEST):
        yield from (
            Viewer(ip, "GET", target, {"host": name})
            for target in ODD_TARGETS
            for name in ("dl.example", "other.example")
        )
        yield from (Viewer(ip, "GET", "/a.tar.gz", {"host": name}) for name in ODD_HOSTS)
        yield from (
            Viewer(ip, method, f"/a.tar.gz{query}", host)
            for query in ODD_QUERIES
            for method in ("GET", "HEAD")
        )
        yield from (Viewer(ip, "GET", "/a.tar.gz", host | fields) for fields in ODD_FIELDS)
        yield from (
            Viewer(ip, method, "/a.tar.gz", {"host": name})
            for method in ("HEAD", "OPTIONS", "PUT", "get", "")
            for name in ("dl.example", "other.example")
        )


def test_odd_requests_are_decided_as_by_the_engine() -> None:
    viewers = list(odd_viewers())
    runs = [
        EdgeRun(chosen, ranges(), viewers)
        for chosen in (ODD_SITES, settings(site={"redirect": {"paths": ["*"]}}), PLAIN)
    ]
    for run, found in zip(runs, outcomes(runs), strict=True):
        assert differences(run, found) == []
        assert sum(each.answer is not None for each in found) > 100


def test_an_event_without_the_raw_query_is_decided_by_the_parsed_one() -> None:
    queries = [query for query in ODD_QUERIES if "redirect=" in query or "=" not in query]
    viewers = [Viewer(EAST, "GET", f"/a.tar.gz{query}") for query in queries]
    run = EdgeRun(settings(), ranges(), viewers, raw=False)
    (found,) = outcomes([run])
    for want, each in zip(run.decided(), found, strict=True):
        # where ?x cannot be told from ?x= the request goes on
        assert each.answer in (None, want)
    assert {each.answer is None for each in found} == {True, False}


def test_a_share_of_clients_is_the_same_whatever_their_addresses_look_like() -> None:
    chosen = settings(
        site={"redirect": {"percent": 50}},
        regions={"overrides": {"::/32": "us-east-1", "2001:db8::/32": "us-west-2"}},
    )
    chance = random.Random(1)  # noqa: S311
    groups = ["0", "0", "0", "1", "f00d", "00ab"]
    starts = ["0:0", "2001:db8"]
    ips = [
        ":".join([chance.choice(starts), *(chance.choice(groups) for _ in range(6))])
        for _ in range(600)
    ]
    ips += ["::1", "::", "::1.2.3.4", "::1:2", "::ffff:0:1", "2001:db8::", "2001:db8:0:0:2::3"]
    run = EdgeRun(chosen, ranges(), [Viewer(ip) for ip in ips])
    (found,) = outcomes([run])
    assert differences(run, found) == []


def test_a_network_that_ends_with_the_last_of_all_addresses_opts_out() -> None:
    regions = {"overrides": {"240.1.0.0/16": "us-east-1", "ff01::/32": "us-east-1"}}
    viewers = [Viewer("240.1.0.7"), Viewer("ff01::7")]
    opted_out = {"128.0.0.0/1": [0], "192.0.0.0/2": [0], "e000::/3": [1], "ff01::/32": [1]}
    runs = [
        EdgeRun(
            settings(site={"opt_out": {"networks": [network]}}, regions=regions), ranges(), viewers
        )
        for network in opted_out
    ]
    for numbers, run, found in zip(opted_out.values(), runs, outcomes(runs), strict=True):
        assert differences(run, found) == []
        assert [number for number, each in enumerate(found) if each.answer is None] == numbers


def test_a_request_for_another_path_reads_nothing() -> None:
    viewers = [Viewer(EAST, "GET", "/a.txt"), Viewer(EAST, "HEAD"), Viewer(EAST)]
    (found,) = outcomes([EdgeRun(settings(), ranges(), viewers)])
    assert [each.reads for each in found] == [0, 0, 1]
