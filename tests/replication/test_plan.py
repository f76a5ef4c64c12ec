"""Which targets are brought up to date with which origins, and what is refused."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from nearbucket.errors import ConfigError
from nearbucket.policy.selection import chooser
from nearbucket.replication.plan import steps_of
from tests.build import settings

ORIGIN = {"bucket": "downloads", "region": "us-east-1"}
WEST = {"bucket": "west"}
FAILOVER = {"bucket": "west", "region": "us-west-2"}


def plan(site: dict[str, Any], *more: dict[str, Any], delete: bool = False, **asked: Any) -> Any:
    sites = [{"origin": ORIGIN, **each} for each in (site, *more)]
    chosen = {"sites": (), "regions": (), **asked}
    return steps_of(settings(sites=sites), **chosen, delete=delete)


def shape(steps: Any) -> list[tuple[str, tuple[str, ...], str]]:
    return [(step.site, step.regions, str(step.target)) for step in steps]


TWO = {"us-east-1": {"bucket": "downloads"}, "us-west-2": WEST, "eu-west-1": {"bucket": "ireland"}}


def test_every_target_but_the_origin_itself_is_a_step() -> None:
    found = plan({"targets": TWO})
    assert shape(found) == [("*", ("us-west-2",), "west"), ("*", ("eu-west-1",), "ireland")]
    assert [step.target.name for step in found] == [
        "sites.*.targets.us-west-2",
        "sites.*.targets.eu-west-1",
    ]


def test_regions_that_share_a_bucket_share_a_step() -> None:
    targets = {"us-west-2": WEST, "us-west-1": {"bucket": "west", "region": "us-west-2"}}
    assert shape(plan({"targets": targets})) == [("*", ("us-west-2", "us-west-1"), "west")]


@pytest.mark.parametrize("sites", [["a"], ["other.example"], ["Other.EXAMPLE.", "a"]])
def test_any_host_of_a_site_names_it(sites: list[str]) -> None:
    first = {"hosts": ["a", "other.example"], "targets": {"us-west-2": WEST}}
    second = {"hosts": ["b"], "targets": {"us-west-2": WEST}}
    assert shape(plan(first, second, sites=sites)) == [("a", ("us-west-2",), "west")]


def test_a_target_is_filled_before_those_that_have_it_as_their_origin() -> None:
    west = {**WEST, "region": "us-west-2"}
    last = {"hosts": ["b"], "origin": west, "targets": {"eu-west-1": {"bucket": "ireland"}}}
    first = {"hosts": ["a"], "targets": {"us-west-2": WEST}}
    assert [step.site for step in plan(last, first)] == ["a", "b"]


def test_buckets_that_are_copied_to_each_other_are_refused() -> None:
    """Of an object that differs, the run does not know which one is newer."""
    east, west = {**ORIGIN}, {**WEST, "region": "us-west-2"}
    one = {"hosts": ["a"], "targets": {"us-west-2": WEST}}
    two = {"hosts": ["b"], "origin": west, "targets": {"us-east-1": east}}
    more = {"hosts": ["c"], "origin": east, "targets": {"eu-west-1": {"bucket": "ireland"}}}
    says = r"sites\.b\.targets\.us-east-1 and sites\.a\.targets\.us-west-2: downloads and west are"
    with pytest.raises(ConfigError, match=says):
        plan(more, two, one)
    assert [step.site for step in plan(more, two, one, sites=["a", "c"])] == ["c", "a"]


@pytest.mark.parametrize(
    ("paths", "steps"), [(["eu/*"], 2), (["eu/*", "us/old/*"], None), (["*.iso"], None)]
)
def test_buckets_that_are_copied_to_each_other_in_folders_of_their_own_are_not_refused(
    paths: list[str], steps: int | None
) -> None:
    west = {**WEST, "region": "us-west-2"}
    one = {"targets": {"us-west-2": WEST}, "redirect": {"paths": ["us/*"]}}
    two = {"origin": west, "targets": {"us-east-1": {**ORIGIN}}, "redirect": {"paths": paths}}
    with nullcontext() if steps else pytest.raises(ConfigError):
        assert len(plan({**one, "hosts": ["a"]}, {**two, "hosts": ["b"]})) == steps


def test_folders_of_one_bucket_that_hold_each_other_are_no_circle_if_the_objects_differ() -> None:
    west, east = {**WEST, "region": "us-west-2"}, {**ORIGIN}
    one = {"hosts": ["a"], "targets": {"us-west-2": WEST}, "redirect": {"paths": ["us/*"]}}
    two = {"hosts": ["b"], "origin": west | {"prefix": "eu"}, "targets": {"us-east-1": east}}
    assert [step.site for step in plan(one, two | {"redirect": {"paths": ["eu/*"]}})] == ["a", "b"]


OTHERS = {"bucket": "others", "region": "us-east-1"}


@pytest.mark.parametrize(
    ("one", "two", "refused"),
    [
        pytest.param({}, {}, True, id="any keys"),
        pytest.param({"paths": ["a/*"]}, {"paths": ["b/*", "a/x/*"]}, True, id="a folder of both"),
        pytest.param({"paths": ["a/*"]}, {"paths": ["b/*"]}, False, id="folders of their own"),
        pytest.param({"paths": ["*.deb"]}, {"paths": ["*.rpm", "a/*.iso"]}, False, id="endings"),
        pytest.param({"paths": ["*.gz"]}, {"paths": ["*.tar.gz"]}, True, id="endings of both"),
        pytest.param({"paths": ["*.gz"]}, {"paths": ["*.g[xz]"]}, True, id="a set of characters"),
        pytest.param({"prefix": "a"}, {"prefix": "b"}, False, id="a prefix each"),
        pytest.param({"prefix": "a"}, {"prefix": "a/x"}, False, id="a prefix in the other one"),
        pytest.param({"prefix": "a", "paths": ["x/y/*"]}, {"prefix": "a/x"}, True,
                     id="a prefix in the other one, and paths that lead there"),
    ],
)  # fmt: skip
def test_objects_that_would_replace_each_other_in_a_target_are_refused(
    one: dict[str, Any], two: dict[str, Any], *, refused: bool
) -> None:
    def site(host: str, origin: dict[str, str], **more: Any) -> dict[str, Any]:
        target = WEST | {name: more.pop(name) for name in ("prefix",) if name in more}
        return {
            "hosts": [host], "origin": origin, "targets": {"us-west-2": target}, "redirect": more
        }  # fmt: skip

    sites = [site("a", ORIGIN, **one), site("b", OTHERS, **two)]
    says = (
        r"sites\.(a|b)\.targets\.us-west-2 and sites\.(?!\1)[ab]\.targets\.us-west-2: objects of "
        r"\w+ and \w+ are copied to west.*give each of these targets a prefix of its own"
    )
    with pytest.raises(ConfigError, match=says) if refused else nullcontext():
        assert len(plan(*sites)) == 2
    assert plan(*sites, sites=["a"])


def test_a_bucket_and_copies_of_it_may_be_copied_to_one_target() -> None:
    both = {"us-west-2": WEST, "eu-west-1": {"bucket": "ireland"}}
    west = {**WEST, "region": "us-west-2"}
    copies = {"hosts": ["b"], "origin": west, "targets": {"eu-west-1": {"bucket": "ireland"}}}
    assert [step.site for step in plan(copies, {"hosts": ["a"], "targets": both})] == [
        "a", "b", "a"
    ]  # fmt: skip


def test_copies_over_several_buckets_may_be_copied_to_one_target_too() -> None:
    west, east = {"bucket": "west"}, {"bucket": "ohio"}
    first = {"hosts": ["a"], "targets": {"us-west-2": west, "us-east-2": east}}
    ireland = {"eu-west-1": {"bucket": "ireland"}}
    of_west = {"hosts": ["b"], "origin": {**west, "region": "us-west-2"}, "targets": ireland}
    of_ohio = {"hosts": ["c"], "origin": {**east, "region": "us-east-2"}, "targets": ireland}
    assert len(plan(first, of_west, of_ohio)) == 4
    chain = {**of_west, "targets": {"us-east-2": east}}
    direct = {"hosts": ["a"], "targets": {"us-west-2": west} | ireland}
    assert len(plan(direct, chain, of_ohio)) == 4
    with pytest.raises(ConfigError, match="would replace each other"):
        plan({**first, "origin": OTHERS, "targets": ireland}, chain, of_ohio)


def test_site_and_region_narrow_the_choice() -> None:
    first = {"hosts": ["a"], "targets": TWO}
    second = {"hosts": ["b"], "targets": {"us-west-2": {"bucket": "other"}}}
    assert shape(plan(first, second, sites=["b"])) == [("b", ("us-west-2",), "other")]
    assert shape(plan(first, second, regions=["us-west-2"])) == [
        ("a", ("us-west-2",), "west"),
        ("b", ("us-west-2",), "other"),
    ]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"sites": ["b"]}, r"--site b: not configured; choose from: \*"),
        ({"sites": ["*", "b"]}, r"--site b: not configured; choose from: \*"),
        (
            {"regions": ["eu-west-2"]},
            "--region eu-west-2: not configured; choose from: us-east-1 us-west-2 eu-west-1",
        ),
    ],
)
def test_an_unknown_name_is_answered_with_the_known(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plan({"targets": TWO}, **asked)


def test_a_region_of_several_sites_is_named_once() -> None:
    sites = [{"hosts": [host], "targets": {"us-west-2": WEST}} for host in ("a", "b")]
    with pytest.raises(
        ConfigError, match=r"--region eu-west-2: not configured; choose from: us-west-2$"
    ):
        plan(*sites, regions=["eu-west-2"])


OTHER = "https://s3.other.example"


@pytest.mark.parametrize(
    ("site", "says"),
    [
        pytest.param({"targets": {"us-west-2": {**WEST, "endpoint": OTHER}}},
                     "west is on https://s3.other.example, its origin downloads on aws; S3 copies "
                     "within one server only. Copy with rclone instead", id="two servers"),
        pytest.param({"targets": {"us-west-2": {"bucket": "downloads", "prefix": "west"}}},
                     "downloads/west and its origin downloads hold each other's objects",
                     id="a folder of the origin"),
        pytest.param({"origin": {**ORIGIN, "prefix": "releases"},
                      "targets": {"us-west-2": {"bucket": "downloads"}}},
                     "hold each other's objects", id="the folder above"),
        pytest.param({"origin": {**ORIGIN, "credentials": "anonymous"},
                      "targets": {"us-west-2": WEST}}, "anonymous cannot write to west",
                     id="no right to write"),
        pytest.param({"origin": {"bucket": "downloads", "region": "cn-north-1"},
                      "targets": {"us-west-2": WEST}}, "west is on aws, its origin downloads on "
                     "aws-cn", id="two partitions"),
    ],
)  # fmt: skip
def test_copies_that_cannot_be_are_refused(site: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as error:
        plan(site)
    assert str(error.value).startswith("sites.*.targets.us-west-2: ")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        pytest.param(None, OTHER, id="not AWS"),
        pytest.param("https://s3.us-east-1.amazonaws.com", None, id="AWS by its endpoint"),
        pytest.param("https://bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com", None, id="a VPC's"),
        pytest.param("https://s3.example.com", "HTTPS://S3.example.com:443", id="the same URL"),
    ],
)
def test_the_endpoints_of_one_server_are_known(one: str | None, two: str | None) -> None:
    site = {
        "origin": {**ORIGIN, "endpoint": one},
        "targets": {"us-west-2": {**WEST, "endpoint": two}},
    }
    if two == OTHER:
        with pytest.raises(ConfigError, match="one server only"):
            plan(site)
    else:
        assert shape(plan(site)) == [("*", ("us-west-2",), "west")]


SHARED = {"hosts": ["b"], "origin": OTHERS, "redirect": {"paths": ["b/*"]}}


@pytest.mark.parametrize(
    ("second", "named"),
    [
        pytest.param({"targets": {"us-west-2": WEST}}, "sites.b.targets.us-west-2", id="a target"),
        pytest.param({"targets": {"us-west-2": {**WEST, "prefix": "x"}}},
                     "sites.b.targets.us-west-2", id="a folder in it"),
        pytest.param({"origin": {"bucket": "west", "region": "us-west-2"}}, "sites.b.origin",
                     id="an origin"),
        pytest.param({"failover": [FAILOVER]}, "sites.b.failover.0", id="a failover bucket"),
    ],
)  # fmt: skip
def test_nothing_is_deleted_where_another_site_keeps_its_objects(
    second: dict[str, Any], named: str
) -> None:
    first = {"hosts": ["a"], "targets": {"us-west-2": WEST}, "redirect": {"paths": ["a/*"]}}
    sites = [first, SHARED | second]
    assert plan(*sites)
    with pytest.raises(ConfigError, match=f"could delete objects of {named}"):
        plan(*sites, delete=True)


@pytest.mark.parametrize("one", ["", "x"])
def test_nothing_is_deleted_where_one_target_is_a_folder_of_another(one: str) -> None:
    """The objects of one would count as missing at the origin for the other."""
    other = "x" if one == "" else ""
    targets = {"us-west-2": WEST | {"prefix": one}, "eu-west-1": WEST | {"prefix": other}}
    assert len(plan({"targets": targets})) == 2
    with pytest.raises(ConfigError, match=r"could delete objects of sites\.\*\.targets\.eu-west-1"):
        plan({"targets": targets}, delete=True, regions=["us-west-2"])


def test_sites_with_the_same_origin_and_target_may_delete() -> None:
    site = {"targets": {"us-west-2": WEST}, "failover": [FAILOVER]}
    assert plan({"hosts": ["a"], **site}, {"hosts": ["b"], **site}, delete=True)


@pytest.mark.parametrize(
    ("key", "size", "chosen"),
    [
        pytest.param("a/b.tar.gz", 1024, True, id="chosen by a pattern"),
        pytest.param("a/b.txt", 1024, False, id="not chosen"),
        pytest.param("old/b.tar.gz", 1024, False, id="excluded"),
        pytest.param("latest/b.tar.gz", 1024, False, id="mutable"),
        pytest.param("a/b.tar.gz", 1023, False, id="too small"),
        pytest.param("a+b c%/ü.tar.gz", 1024, True, id="odd but fine"),
        pytest.param("a/../b.tar.gz", 1024, False, id="dot segments, which no URL names"),
        pytest.param("a\\b.tar.gz", 1024, False, id="a backslash, which no URL names"),
        pytest.param("x" * 1015 + ".tar.gz", 1024, True, id="as long as a key may be"),
        pytest.param("x" * 1016 + ".tar.gz", 1024, False, id="too long behind the prefix"),
        pytest.param("dir.tar.gz/", 1024, False, id="a folder's key, which stands for its index"),
    ],
)
def test_sync_chooses_what_the_policy_would_redirect(key: str, size: int, *, chosen: bool) -> None:
    site = settings(
        site={
            "origin": ORIGIN,
            "targets": {"us-west-2": {**WEST, "prefix": "c"}},
            "index": "index.html",
            "redirect": {
                "paths": ["*.tar.gz*"],
                "exclude": ["old/*"],
                "mutable": ["latest/*"],
                "min_size": "1KiB",
            },
        }
    ).sites[0]
    assert chooser(site)(key, size) is chosen


def test_each_site_of_one_origin_is_compared_with_the_others() -> None:
    targets = {"targets": {"us-west-2": WEST}}
    archives = targets | {"redirect": {"paths": ["*.tar.gz"]}}
    packages = targets | {"redirect": {"paths": ["*.deb"]}}
    others = packages | {"hosts": ["c"], "origin": OTHERS}
    with pytest.raises(ConfigError, match=r"sites\.b\.targets.*sites\.c\.targets"):
        plan({"hosts": ["a"], **archives}, {"hosts": ["b"], **packages}, others)
    assert len(plan({"hosts": ["a"], **archives}, others)) == 2
