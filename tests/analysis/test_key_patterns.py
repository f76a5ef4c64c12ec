"""Groups of object keys, and the patterns that are proposed for them."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from nearbucket.analysis.recommending.key_patterns import (
    KeyGroup,
    KeyGrouping,
    coverage,
    finest_group,
    first_match,
    patterns_for,
)


def grouped(weights: dict[str, float]) -> dict[str, KeyGroup]:
    grouping = KeyGrouping()
    for key, weight in weights.items():
        grouping.weigh(finest_group(key), weight)
    return {key: grouping.group(finest_group(key)) for key in weights}


@pytest.mark.parametrize(
    ("key", "folder", "suffix"),
    [
        ("a.tar.xz", "", ".tar.xz"),
        ("app-1.2.3.tar.xz", "", ".tar.xz"),
        ("lib-1.el9.x86_64.rpm", "", ".rpm"),
        ("x.7z", "", ".7z"),
        ("x.tar.xz.sha256", "", ".tar.xz.sha256"),
        ("README", "", ""),
        ("v1.2", "", ""),
        ("archive/2012/dump.bin", "archive/*/", ".bin"),
        ("v1.13/2026-11-29/a", "v*/*/", ""),
        ("a/b/c/d/e/f.zip", "a/b/c/d/", ".zip"),
        ("we[i]rd*/f?/x", "we[[]i]rd[*]/f[?]/", ""),
        ("dir.d/file", "dir.d/", ""),
    ],
)
def test_a_key_has_a_folder_and_suffixes(key: str, folder: str, suffix: str) -> None:
    assert finest_group(key) == KeyGroup(folder, suffix)


def test_only_a_folder_with_much_of_the_bytes_is_divided_into_its_folders() -> None:
    found = grouped({"big/a/x.iso": 50, "big/b/x.iso": 20, "small/a/x.iso": 15, "other/x.iso": 15})
    assert {key: group.folder for key, group in found.items()} == {
        "big/a/x.iso": "big/a/", "big/b/x.iso": "big/b/", "small/a/x.iso": "small/",
        "other/x.iso": "other/",
    }  # fmt: skip


def test_rare_folders_and_suffixes_are_not_told_apart() -> None:
    keys = {f"{number}x/y.a{number}z": 1.0 for number in range(500)} | {"z/y.iso": 500.0}
    weights = {f"r{chr(97 + number % 26)}{chr(97 + number // 26)}/f.q{chr(97 + number % 26)}"
               f"{chr(97 + number // 26)}": 1.0 for number in range(600)}  # fmt: skip
    assert set(grouped(weights).values()) == {KeyGroup("", "")}
    assert grouped(keys)["z/y.iso"] == KeyGroup("z/", ".iso")


def test_leading_parts_of_suffixes_that_make_them_rare_are_dropped() -> None:
    found = grouped({f"a.rev{number}.deb": 1.0 for number in range(600)})
    assert {group.suffix for group in found.values()} == {".deb"}


def test_patterns_are_for_suffixes_for_folders_and_for_both() -> None:
    assert patterns_for([KeyGroup("a/b/", ".tar.xz")]) == [
        "*.tar.xz", "a/*", "a/b/*", "*.xz", "a/*.xz", "a/*.tar.xz", "a/b/*.xz", "a/b/*.tar.xz",
    ]  # fmt: skip


@pytest.mark.parametrize("folder", ["{a,b}/", "(a|b)/", "/", "x\\y/"])
def test_patterns_that_a_configuration_refuses_are_not_proposed(folder: str) -> None:
    assert patterns_for([KeyGroup(folder, "")]) == []


def test_a_pattern_covers_the_groups_of_which_it_matches_all_examples() -> None:
    examples = {0: ["a/x.tar.xz"], 1: ["a/y.zip", "a/z.zip"], 2: ["b/x.tar.xz"], 3: ["v1/c", "w"]}
    patterns = ["*.tar.xz", "*.xz", "a/*", "v*/*", "b/*"]
    assert coverage(patterns, examples) == {
        "*.tar.xz": {0, 2},  # and so does *.xz, which comes later
        "a/*": {0, 1},
        "b/*": {2},
    }
    for pattern, groups in coverage(patterns, examples).items():
        for group, keys in examples.items():
            assert (group in groups) == all(fnmatchcase(key, pattern) for key in keys)


def test_the_first_pattern_that_matches_is_told() -> None:
    first = first_match(("*.xz", "a/*"))
    assert [first(key) for key in ("a/b.xz", "a/b", "b")] == ["*.xz", "a/*", ""]
