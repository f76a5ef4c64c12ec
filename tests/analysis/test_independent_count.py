"""The count that reports are compared with, and the traffic it is taken of."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from tests.analysis.independent_count import Key, Regions, count, size_class
from tests.analysis.log_writers import FIELDS, KINDS, records_of, write
from tests.analysis.made_logs import HEADER, JOINED, MadeObject, Mixed, Record, mixed
from tests.analysis.made_story import Story
from tests.analysis.made_traffic import BURST
from tests.ranges_lists import MADE

if TYPE_CHECKING:
    from pathlib import Path

OBJECT = MadeObject("a b.iso", "/a%20b.iso", "/a%2520b.iso", 1000)
WHOLE = Record(
    1_793_577_600, "IAD89-C1", 1000 + HEADER, "203.0.113.9", "GET", "downloads.example.com",
    OBJECT, 200, "curl/8.5.0", 1, "", "", "Hit", 1000, -1, -1, 3320,
)  # fmt: skip


def _range(time: int, start: int, end: int, **changes: object) -> Record:
    length = end - start + 1
    return WHOLE._replace(
        time=WHOLE.time + time, status=206, start=start, end=end, length=length,
        bytes=length + HEADER,
    )._replace(**changes)  # type: ignore[arg-type]  # fmt: skip


def test_ranges_of_one_client_are_one_download_until_ten_minutes_pass() -> None:
    ranges = [_range(0, 0, 99), _range(JOINED - 1, 100, 199), _range(1, 50, 80)]
    assert count(ranges, asn=False).total.downloads == 1
    assert count([*ranges, _range(2 * JOINED - 1, 200, 299)], asn=False).total.downloads == 2


def test_ranges_of_another_client_agent_or_object_are_another_download() -> None:
    other = MadeObject("other", "/other", "/other", 1000)
    changes: list[dict[str, object]] = [
        {},
        {"client": "203.0.113.8"},
        {"agent": "Wget/1.21.3"},
        {"object": other},
    ]
    ranges = [_range(1, 0, 99, **change) for change in changes]
    assert count(ranges, asn=False).total.downloads == 4


def test_a_response_that_broke_off_is_no_download() -> None:
    broken = [WHOLE._replace(result="Error"), WHOLE._replace(bytes=949), WHOLE._replace(bytes=950)]
    found = count(broken, asn=False)
    assert (found.total.requests, found.total.downloads, found.aborted) == (3, 1, 2)


def test_the_size_of_an_object_is_its_content_length_or_else_the_end_of_its_ranges() -> None:
    key = Key(WHOLE.host, OBJECT.key)
    ranges = [_range(0, 0, 99), _range(0, 500, 699), _range(0, -1, 5000)]
    assert count(ranges, asn=False).known_sizes == {key: 700}
    assert count([*ranges, WHOLE], asn=False).known_sizes == {key: 1000}


def test_amazon_without_region_and_no_address_are_lines_of_their_own() -> None:
    records = [
        WHOLE,
        WHOLE._replace(client=MADE.seoul, asn=16509),
        WHOLE._replace(asn=16509),
        WHOLE._replace(client="", asn=16509),
    ]
    assert {name: each.requests for name, each in count(records, asn=True).regions.items()} == {
        "UNKNOWN": 1, "ap-northeast-2": 1, "AMAZON-NO-REGION": 1, "NO-ADDRESS": 1,
    }  # fmt: skip
    assert count(records, asn=False).regions["UNKNOWN"].requests == 2


def test_regions_are_those_of_the_longest_prefix() -> None:
    regions = Regions(MADE.path)
    known = (MADE.east, MADE.west, MADE.seoul, MADE.sydney)
    assert [regions.of(each) for each in known] == [
        "us-east-1",
        "us-west-2",
        "ap-northeast-2",
        "ap-southeast-2",
    ]
    assert [regions.of(each) for each in MADE.outside] == [None] * len(MADE.outside)


def test_size_classes_are_powers_of_two() -> None:
    assert [size_class(size) for size in (1, 2, 3, 4, 1023, 1024, None)] == [
        1, 2, 2, 4, 512, 1024, None,
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_requests_and_another_seed_gives_others() -> None:
    spec = Mixed(lines=3000, files=3)
    first, again = ([list(mixed(spec, file)) for file in range(3)] for _ in range(2))
    assert first == again
    assert [len(each) for each in first] == [1000, 1000, 1000]
    assert list(mixed(Mixed(lines=3000, files=3, seed=17), 0)) != first[0]


def test_mixed_traffic_has_everything_that_is_hard_to_count() -> None:
    spec = Mixed(lines=4000, files=3)
    records = [record for file in range(3) for record in mixed(spec, file)]
    found = count(records, asn=True)
    assert {0, 200, 206, 304, 404} <= {record.status for record in records}
    assert {"UNKNOWN", "AMAZON-NO-REGION", "NO-ADDRESS", "us-east-1"} <= set(found.regions)
    assert found.aborted > 0
    assert None in found.sizes
    assert any(":" in each.network for each in found.networks)
    objects = [record.object for record in records]
    assert any(each.logged == each.sent != f"/{each.key}" for each in objects)
    apart = [count(mixed(spec, file), asn=True).total.downloads for file in range(3)]
    assert sum(apart) > found.total.downloads  # ranges over the end of a file


def test_w3c_json_and_parquet_have_the_same_values(tmp_path: Path) -> None:
    spec = Mixed(lines=500, files=2)
    paths = {kind: write(tmp_path / kind, spec, kind)[1] for kind in KINDS}
    names = [*FIELDS, "asn"]
    lines = gzip.decompress(paths["w3c-asn"].read_bytes()).decode().splitlines()[2:]
    rows = [line.split("\t") for line in lines]
    assert len(rows) == 250
    standard = gzip.decompress(paths["w3c"].read_bytes()).decode().splitlines()[2:]
    assert [line.split("\t") for line in standard] == [row[:-1] for row in rows]
    of_json = gzip.decompress(paths["json"].read_bytes()).decode().splitlines()
    assert [json.loads(line) for line in of_json] == [
        dict(zip(names, row, strict=True)) for row in rows
    ]
    columns = pq.read_table(paths["parquet"]).to_pydict().values()
    assert [list(row) for row in zip(*columns, strict=True)] == rows


def test_the_story_has_a_burst_on_one_day_and_a_trickle() -> None:
    spec = Story(first=4, days=2)
    days = [count(records_of(spec, day), asn=False).regions for day in range(spec.files)]
    burst = [day["ap-southeast-1"].bytes for day in days]
    assert burst[BURST - 4] > 1.5e12
    assert sum(burst) == burst[BURST - 4]
    trickle, total = (sum(day[name].bytes for day in days) for name in ("ap-south-1", "us-east-1"))
    assert 0 < trickle < total / 50
