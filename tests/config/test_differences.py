"""What a reload writes to the log of two configurations."""

from __future__ import annotations

from nearbucket.config.differences import change_texts
from tests.build import settings

WEST = {"bucket": "west", "expected_owner": "123456789012"}


def test_a_target_under_another_name_is_one_line_removed_and_one_added() -> None:
    before = settings(site={"hosts": ["dl.example"], "targets": {"us-west-2": WEST}})
    after = settings(site={"hosts": ["dl.example"], "targets": {"us-west-1": WEST}})
    assert change_texts(before, after) == [
        "sites.dl.example.targets.us-west-2: removed",
        "sites.dl.example.targets.us-west-1: added",
    ]


def test_a_changed_setting_of_a_target_is_shown_with_both_values() -> None:
    before = settings(site={"targets": {"us-west-2": WEST}})
    after = settings(site={"targets": {"us-west-2": WEST | {"mode": "off"}}})
    assert change_texts(before, after) == ["sites.*.targets.us-west-2.mode: on -> off"]


def test_values_are_shown_as_they_are_written_in_the_file() -> None:
    before = settings(site={"redirect": {"presign": "15m", "came_back": "off", "percent": 100}})
    after = settings(
        site={"redirect": {"came_back": "1.5h", "percent": 2.5, "verify_ttl": "500ms"}}
    )
    assert change_texts(before, after) == [
        "sites.*.redirect.percent: 100 -> 2.5",
        "sites.*.redirect.verify_ttl: 10m -> 500ms",
        "sites.*.redirect.came_back: off -> 90m",
        "sites.*.redirect.presign: 15m -> -",
    ]
