"""How many objects one worker streams: in all, and from one origin."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.config.settings import Settings
from nearbucket.frontend.limits import stream_limit
from nearbucket.frontend.limits.stream_limit import MEMORY_OF_STREAM, StreamLimits, automatic_limit
from tests.build import settings

if TYPE_CHECKING:
    from pathlib import Path


def of(*buckets: str, **limits: Any) -> Settings:
    """A configuration with a site for each bucket."""
    (site,) = settings().model_dump(by_alias=True, exclude_unset=True)["sites"]
    sites = [
        {**site, "hosts": [f"{number}.example"], "origin": {"bucket": name, "region": "us-east-1"}}
        for number, name in enumerate(buckets)
    ]
    return Settings.model_validate({"sites": sites, "limits": limits})


def begun(limits: StreamLimits, site: str) -> int:
    """How many further streams a site may have; they begin."""
    count = 0
    while limits.by_site[site].begin():
        count += 1
    return count


def test_a_number_holds_for_each_origin() -> None:
    limits = StreamLimits(1)
    limits.use(of("one", "two", max_streams=5))
    assert [begun(limits, site) for site in ("0.example", "1.example")] == [5, 5]


def test_sites_with_one_origin_share_its_limit() -> None:
    limits = StreamLimits(1)
    limits.use(of("one", "one", max_streams=5))
    assert [begun(limits, site) for site in ("0.example", "1.example")] == [5, 0]


def test_an_origin_that_hangs_leaves_others_a_quarter_of_the_automatic_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_limit, "automatic_limit", lambda _workers: 100)
    limits = StreamLimits(1)
    limits.use(of("one", "two"))
    assert [begun(limits, site) for site in ("0.example", "1.example")] == [75, 25]
    limits.by_site["0.example"].end()
    assert begun(limits, "1.example") == 1


def test_an_only_origin_has_all_of_the_automatic_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_limit, "automatic_limit", lambda _workers: 100)
    limits = StreamLimits(1)
    limits.use(of("one"))
    assert begun(limits, "0.example") == 100


def test_streams_that_run_count_after_a_reload() -> None:
    limits = StreamLimits(1)
    limits.use(of("one", max_streams=5))
    before = limits.by_site["0.example"]
    assert begun(limits, "0.example") == 5
    limits.use(of("two", max_streams=7))
    assert begun(limits, "0.example") == 2, "those of the other origin hold memory, too"
    limits.use(of("one", max_streams=7))
    assert limits.by_site["0.example"] is before
    assert limits.by_site["0.example"].count == 5


def test_a_reload_changes_the_limit_of_an_origin_that_stays() -> None:
    limits = StreamLimits(1)
    limits.use(of("one", max_streams=5))
    assert begun(limits, "0.example") == 5
    limits.use(of("one", max_streams=7))
    assert begun(limits, "0.example") == 2


def test_a_stream_that_another_lane_has_begun_keeps_its_place() -> None:
    limits = StreamLimits(1)
    limits.use(of("one", max_streams=1))
    limit = limits.by_site["0.example"]
    assert limit.begin()
    limit.begin_again()
    limit.end()
    assert not limit.begin()
    limit.end()
    assert limit.begin()


@pytest.mark.parametrize(
    ("memory", "files", "workers", "limit"),
    [
        pytest.param(2 << 30, 65_535, 1, 2048, id="memory"),
        pytest.param(2 << 30, 65_535, 2, 1024, id="memory of two workers"),
        pytest.param(64 << 30, 1024, 1, 384, id="files"),
        pytest.param(64 << 30, resource.RLIM_INFINITY, 1, 65_536, id="no limit of files"),
        pytest.param(64 << 20, 65_535, 64, 16, id="at least"),
    ],
)
def test_the_automatic_limit_is_what_memory_and_open_files_allow(
    monkeypatch: pytest.MonkeyPatch, memory: int, files: int, workers: int, limit: int
) -> None:
    monkeypatch.setattr(stream_limit, "_memory", lambda: memory)
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (files, files))
    assert automatic_limit(workers) == limit


def test_a_control_group_may_have_less_memory_than_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "memory.max").write_text(f"{32 << 20}\n", encoding="ascii")
    (tmp_path / "other").write_text("max\n", encoding="ascii")
    files = tmp_path / "other", tmp_path / "none", tmp_path / "memory.max"
    monkeypatch.setattr(stream_limit, "_CGROUPS", files)
    assert automatic_limit(1) == (16 << 20) // MEMORY_OF_STREAM


def test_a_machine_without_a_limit_of_a_control_group_has_all_its_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So it is on a machine with version 2 outside of containers: the root has no memory.max."""
    (tmp_path / "memory.max").write_text("max\n", encoding="ascii")
    monkeypatch.setattr(stream_limit, "_CGROUPS", (tmp_path / "none", tmp_path / "memory.max"))
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (resource.RLIM_INFINITY,) * 2)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert automatic_limit(1) == machine // 2 // MEMORY_OF_STREAM


def test_it_is_made_of_the_memory_that_there_is() -> None:
    assert 16 <= automatic_limit(1) <= (1 << 50) // MEMORY_OF_STREAM
