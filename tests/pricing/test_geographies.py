"""Which price list an edge location and a region belong to."""

from __future__ import annotations

from collections import Counter

import pytest

from nearbucket.config.aws_endpoints import known_regions
from nearbucket.pricing import geographies
from nearbucket.pricing.geographies import (
    GEOGRAPHIES,
    UNKNOWN_GEOGRAPHY,
    geography_of_edge,
    geography_of_region,
)

EDGES = {
    "north-america": "IAD89-P3 ATL56-C1 HIO50-C1 YTO50-P1 YUL62-C1 QRO51-P2 JFK50-P10",
    "europe": "FRA56-P2 LHR61-C2 TLV50-C1 IST50-C1 PMO50-C1 CDG50-C1 TXL50-P1",
    "africa-middle-east": "JNB51-C1 CPT52-C1 NBO50-C1 LOS50-C1 DXB50-C1 FJR50-C1 BAH52-C1 CAI50-P1",
    "south-america": "GRU50-C1 GIG51-C1 FOR50-P1 EZE50-P1 SCL51-C1 BOG50-C1 LIM50-C1",
    "japan": "NRT57-P1 KIX50-C1",
    "oceania": "SYD62-P1 MEL50-C1 PER50-C1 AKL50-C1 BNE50-P1",
    "asia": "SIN52-P1 HKG54-C1 ICN57-P1 TPE52-C1 BKK50-P1 KUL50-P1 CGK50-P1 MNL50-C1 HAN50-P1",
    "india": "BOM78-P1 DEL54-P1 BLR50-P1 MAA50-P1 HYD57-P1 CCU50-P1 PNQ50-P1",
}


@pytest.mark.parametrize("geography", EDGES)
def test_the_first_three_letters_of_an_edge_tell_its_geography(geography: str) -> None:
    assert {geography_of_edge(edge) for edge in EDGES[geography].split()} == {geography}
    assert geography in GEOGRAPHIES


@pytest.mark.parametrize("location", ["", "-", "XX", "PEK50-P1", "ZHY50-P1", "QQQ1-C1", "123"])
def test_an_edge_that_is_not_known_has_no_geography(location: str) -> None:
    assert geography_of_edge(location) == UNKNOWN_GEOGRAPHY


def test_the_case_of_a_code_does_not_matter() -> None:
    assert geography_of_edge("fra2") == "europe"


def test_no_code_is_in_two_geographies() -> None:
    codes = Counter(code for codes in geographies._EDGES.values() for code in codes.split())
    assert [code for code, count in codes.items() if count > 1] == []
    assert all(len(code) == 3 and code.isupper() for code in codes)


def test_every_region_outside_china_has_a_geography() -> None:
    without = {region for region in known_regions() if geography_of_region(region) == "unknown"}
    assert without == {"cn-north-1", "cn-northwest-1"}


@pytest.mark.parametrize(
    ("region", "geography"),
    [
        ("us-east-1", "north-america"), ("us-gov-west-1", "north-america"),
        ("ca-west-1", "north-america"), ("mx-central-1", "north-america"),
        ("eu-north-1", "europe"), ("il-central-1", "europe"), ("eusc-de-east-1", "europe"),
        ("af-south-1", "africa-middle-east"), ("me-central-1", "africa-middle-east"),
        ("sa-east-1", "south-america"), ("ap-northeast-1", "japan"), ("ap-northeast-3", "japan"),
        ("ap-northeast-2", "asia"), ("ap-southeast-1", "asia"), ("ap-southeast-2", "oceania"),
        ("ap-southeast-6", "oceania"), ("ap-south-2", "india"), ("ap-east-2", "asia"),
        ("UNKNOWN", "unknown"), ("other-aws", "unknown"),
    ],
)  # fmt: skip
def test_a_region_has_the_geography_of_the_edges_near_it(region: str, geography: str) -> None:
    assert geography_of_region(region) == geography
