"""Since when targets are up or down."""

from __future__ import annotations

from nearbucket.supervisor.admin.target_times import KEPT, Outage, TargetTimes

WEST, EUROPE = ("dl", "us-west-2"), ("dl", "eu-west-1")
ORIGIN = ("dl", "failover.0")


def test_an_outage_begins_when_it_is_seen_and_ends_when_it_is_over() -> None:
    times = TargetTimes()
    times.look(10.0, {WEST: 1.0, EUROPE: 1.0}, {})
    times.look(20.0, {WEST: 0.0, EUROPE: 1.0}, {WEST: "timeout"})
    times.look(30.0, {WEST: 0.0, EUROPE: 1.0}, {WEST: "HTTP 503"})
    assert (times.since(*WEST), times.since(*EUROPE)) == (20.0, 10.0)
    assert list(times.outages) == [Outage(WEST, 20.0, None, "HTTP 503")]
    times.look(40.0, {WEST: 1.0, EUROPE: 1.0}, {})
    assert times.since(*WEST) == 40.0
    assert list(times.outages) == [Outage(WEST, 20.0, 40.0, "HTTP 503")]


def test_the_reason_may_come_later_and_stays() -> None:
    times = TargetTimes()
    times.look(10.0, {WEST: 0.0}, {})
    assert next(times.outages).why == ""
    times.look(11.0, {WEST: 0.0}, {WEST: "timeout"})
    times.look(12.0, {WEST: 0.0}, {})
    assert next(times.outages) == Outage(WEST, 10.0, None, "timeout")


def test_outages_of_now_come_first_the_longest_at_the_top() -> None:
    times = TargetTimes()
    times.look(1.0, {}, {ORIGIN: "refused"})
    times.look(2.0, {WEST: 0.0}, {WEST: "timeout", ORIGIN: "refused"})
    times.look(3.0, {WEST: 0.0, EUROPE: 0.0}, {WEST: "timeout"})
    assert [(each.name, each.until) for each in times.outages] == [
        (WEST, None), (EUROPE, None), (ORIGIN, 3.0),
    ]  # fmt: skip


def test_a_target_that_is_no_longer_configured_is_not_down() -> None:
    times = TargetTimes()
    times.look(1.0, {WEST: 0.0}, {WEST: "timeout"})
    times.look(2.0, {EUROPE: 1.0}, {})
    assert times.since(*WEST) is None
    assert next(times.outages).until == 2.0


def test_ended_outages_are_bounded() -> None:
    times = TargetTimes()
    for at in range(100):
        times.look(float(at), {WEST: float(at % 2)}, {})
    outages = list(times.outages)
    assert len(outages) == KEPT
    assert (outages[0].since, outages[0].until) == (98.0, 99.0)


def test_it_is_plain_data_for_the_admin_port() -> None:
    assert Outage(WEST, 0.0, None, "<timeout>").as_json() == {
        "site": "dl", "target": "us-west-2", "since": "1970-01-01T00:00:00+00:00", "until": None,
        "why": "<timeout>",
    }  # fmt: skip
