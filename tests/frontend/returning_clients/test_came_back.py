"""Crowds are redirected, and clients that cannot use redirects are streamed to."""

from __future__ import annotations

import pytest

from bench.redirect.returning import SIZE, crowd, day, lone
from nearbucket.frontend.returning_clients.came_back import (
    COMPLETE,
    GET,
    HEAD,
    HOLDS,
    MANY,
    MOST_PASSED,
    OUTAGE_BEGAN,
    SAME_MOMENT,
    TRIES,
    Outcome,
    Try,
)
from nearbucket.frontend.returning_clients.recent_redirects import (
    CAME_BACK,
    STUCK,
    RecentRedirects,
    SharedTable,
)

ASKER, A, B, C = 1 << 40, 1, 2, 3
WINDOW = 300.0


class Asker:
    """One asker in front of the table, and the bytes that count as saved."""

    def __init__(self) -> None:
        self.redirects = RecentRedirects(WINDOW, SharedTable())
        self.now = 1000.0
        self.saved = 0

    def asks(self, asked: int, after: float = 10.0, *, head: bool = False) -> str:
        """What one request gets, so many seconds after the one before."""
        self.now += after
        verdict = self.redirects.verdict(ASKER, asked, self.now, HEAD if head else GET)
        if verdict is STUCK:
            self.saved -= self.redirects.stuck(ASKER, asked, self.now) or 0
            if not head:
                self.saved += self.redirects.stream_began(ASKER, asked, self.now)
            return "stream"
        self.redirected(asked, head=head)
        return "again" if verdict is CAME_BACK else "redirect"

    def redirected(self, asked: int, *, head: bool = False) -> Outcome:
        size = 0 if head else 100
        request = Try(asked, HEAD if head else GET, size, self.now)
        outcome = self.redirects.after_redirect(ASKER, request)
        self.saved += size - outcome.taken_back
        return outcome

    def falls(self, asked: int, after: float = 1.0) -> None:
        """An object is streamed because the target is down."""
        self.now += after
        self.saved -= self.redirects.target_down(ASKER, asked, self.now)

    def gets(self, asked: int) -> None:
        """A stream is complete."""
        self.saved += self.redirects.stream_completed(ASKER, asked, self.now)


def stuck() -> Asker:
    asker = Asker()
    assert [asker.asks(A) for _ in range(TRIES)] == ["redirect", "again", "stream"]
    return asker


@pytest.mark.parametrize("pause", [1.0, 11.0, 21.0, 30.0, WINDOW - 1])
def test_a_client_that_does_not_get_through_has_its_object_at_the_third_try(pause: float) -> None:
    asker = Asker()
    tries = [asker.asks(A, pause) for _ in range(TRIES)]
    assert tries == ["redirect", "again", "stream"]
    assert [asker.asks(each, pause) for each in (B, C, A)] == ["stream"] * 3


def test_redirects_of_a_target_that_is_found_to_be_down_are_no_tries() -> None:
    asker = Asker()
    assert [asker.asks(A), asker.asks(A)] == ["redirect", "again"]
    asker.falls(A)
    assert asker.saved == 0
    assert [asker.asks(A) for _ in range(TRIES)] == ["redirect", "again", "stream"]
    asker.falls(A, 59)
    assert [asker.asks(A) for _ in range(TRIES)] == ["redirect", "again", "stream"]
    asker.falls(A, 61)
    assert asker.asks(A) == "stream"  # it was stuck before the target failed


def test_a_redirect_before_the_target_may_have_failed_counts_as_saved() -> None:
    asker = Asker()
    asker.asks(A)
    asker.falls(A, OUTAGE_BEGAN - 0.1)
    assert asker.saved == 0
    asker.asks(A)
    asker.falls(A, OUTAGE_BEGAN)
    assert asker.saved == 100


def test_a_crowd_stays_a_crowd_while_its_target_is_down() -> None:
    asker = Asker()
    asker.asks(A)
    asker.asks(A, 0.1)
    asker.falls(A)
    assert {asker.asks(A, 10.0) for _ in range(5)} == {"redirect"}


def test_a_redirect_for_another_object_than_the_one_that_is_streamed_counts_as_saved() -> None:
    asker = Asker()
    asker.asks(A)
    asker.falls(B)
    assert asker.saved == 100


def test_after_an_hour_it_is_tried_again() -> None:
    asker = stuck()
    assert asker.asks(B, HOLDS - 0.1) == "stream"
    assert asker.asks(C, 0.2) == "redirect"


def test_what_comes_again_after_the_window_did_not_come_back() -> None:
    asker = Asker()
    assert {asker.asks(A, WINDOW) for _ in range(5)} == {"redirect"}


def test_two_requests_in_the_same_moment_are_of_a_crowd_for_an_hour() -> None:
    asker = Asker()
    asker.asks(A)
    assert asker.asks(A, SAME_MOMENT - 0.1) == "redirect"
    left = HOLDS - 1
    while left > 10:
        assert asker.asks(A, 10.0) == "redirect"
        left -= 10
    asker.now += left + 1
    assert [asker.asks(A) for _ in range(TRIES)] == ["redirect", "again", "stream"]


def test_the_same_evidence_prolongs_the_hour() -> None:
    asker = Asker()
    for _ in range(3):
        asker.asks(A, HOLDS - 1)
        asker.asks(A, 0.1)
    assert [asker.asks(A) for _ in range(TRIES)] == ["redirect"] * TRIES


def test_many_redirects_a_minute_are_a_crowds() -> None:
    asker = Asker()
    for number in range(MANY + 1):
        assert asker.asks(10 + number, 1.5) == "redirect"
    assert [asker.asks(A) for _ in range(TRIES)] == ["redirect"] * TRIES


def test_fewer_are_not() -> None:
    asker = Asker()
    for number in range(2 * MANY):
        asker.asks(10 + number // 2, 2.1)  # twice each
    assert [asker.asks(A) for _ in range(TRIES)] == ["redirect", "again", "stream"]


def test_a_job_that_gets_several_objects_again_and_again_is_not_stuck() -> None:
    asker = Asker()
    assert {asker.asks(each) for _ in range(20) for each in (A, B, C)} == {"redirect"}


def test_an_asker_that_went_on_to_other_objects_is_given_more_tries() -> None:
    for passed in range(7):
        asker = Asker()
        for number in range(passed):
            asker.asks(10 + number)
        tries = 1
        while asker.asks(A) != "stream":
            tries += 1
        assert tries == TRIES + min(passed, 5)


def test_head_and_get_of_one_object_are_one_try() -> None:
    asker = Asker()
    answers = [(asker.asks(A, head=True), asker.asks(A, 0.1)) for _ in range(TRIES)]
    assert answers == [("redirect", "redirect"), ("again", "redirect"), ("stream", "stream")]
    assert asker.saved == 0


@pytest.mark.parametrize("head", [True, False])
def test_a_client_that_goes_on_with_one_of_the_two_methods_is_stuck_at_its_third_try(
    *, head: bool
) -> None:
    asker = Asker()
    answers = [asker.asks(A, head=head), asker.asks(A, 0.1, head=not head)]
    answers += [asker.asks(A, 11.0, head=not head) for _ in range(2)]
    assert answers == ["redirect", "redirect", "again", "stream"]
    assert asker.saved == 0


def test_a_crowd_that_asks_with_head_first_is_a_crowd() -> None:
    asker = Asker()
    for _ in range(5):
        asker.asks(A, 0.2, head=True)
        asker.asks(A, 0.2)
    assert [asker.asks(A) for _ in range(2 * TRIES)] == ["redirect"] * (2 * TRIES)
    assert asker.saved == 100 * (5 + 2 * TRIES)


def test_a_crowd_is_not_looked_at_for_the_rest_of_a_try() -> None:
    asker = Asker()
    for _ in range(2):
        asker.redirected(A)
    assert asker.redirected(A, head=True).free_until == asker.now + 0.5


def test_head_and_get_of_one_object_count_as_one_redirect_of_a_minute() -> None:
    asker = Asker()
    for number in range(2 * MANY // 3):
        asker.asks(10 + number, 1.0, head=True)
        asker.asks(10 + number, 0.1)
    tries = [asker.asks(A) for _ in range(TRIES + MOST_PASSED)]
    assert tries[-1] == "stream"


def test_a_stuck_asker_that_asks_twice_in_the_same_moment_is_a_crowd() -> None:
    asker = stuck()
    assert asker.asks(A, 0.1) == "stream"
    assert asker.asks(A) == "redirect"
    assert asker.asks(A, SAME_MOMENT) == "redirect"


def test_a_stuck_asker_that_gets_an_object_whole_again_and_again_is_a_crowd() -> None:
    asker = stuck()
    for _ in range(COMPLETE - 1):
        asker.gets(A)
        assert asker.asks(A) == "stream"
    asker.gets(A)
    assert asker.asks(A) == "redirect"


def test_a_stuck_asker_that_gets_other_objects_stays_stuck() -> None:
    asker = stuck()
    for _ in range(5):
        asker.gets(A)
        assert asker.asks(B) == "stream"
        asker.gets(B)
        assert asker.asks(A) == "stream"


def test_complete_streams_are_counted_from_none_when_a_stuck_asker_wants_another_object() -> None:
    asker = stuck()
    assert asker.asks(B) == "stream"
    for _ in range(COMPLETE - 1):
        asker.gets(B)
        assert asker.asks(B) == "stream"


def test_nothing_counts_as_saved_for_a_client_that_does_not_get_through() -> None:
    asker, counted = Asker(), []
    for _ in range(TRIES):
        asker.asks(A)
        counted.append(asker.saved)
    assert counted == [100, 100, 0]  # the first try is taken back at the second


def test_a_slow_crowd_gets_back_what_was_taken() -> None:
    asker = stuck()
    assert asker.saved == 0
    asker.asks(A, 0.1)
    assert asker.saved == 200  # two were redirected, and got it


def test_a_crowd_that_comes_to_light_in_time_gets_back_what_was_taken() -> None:
    asker = Asker()
    asker.asks(A)
    asker.asks(A)
    assert asker.saved == 100
    asker.asks(A, 0.1)
    assert asker.saved == 300


def test_of_an_asker_that_got_other_objects_two_requests_count_until_it_is_stuck() -> None:
    asker = Asker()
    asker.asks(B)
    for _ in range(TRIES):
        asker.asks(A)
    assert asker.saved == 400
    assert asker.asks(A) == "stream"
    assert asker.saved == 100


def test_an_asker_that_goes_on_after_one_redirect_got_through() -> None:
    asker = Asker()
    results = []
    for asked in (A, A, A, B, C):
        asker.now += 10
        results.append(asker.redirected(asked).got_through)
    assert results == [False, False, False, False, True]


def test_a_crowd_is_not_looked_at_again_before_half_a_second() -> None:
    asker = Asker()
    asker.redirected(A)
    asker.now += 0.1
    assert asker.redirected(A).free_until == asker.now + 0.5


# ---- by simulation, as in bench/redirect/returning.py


def redirected(
    machines: int, seconds: float, latency: float, objects: int = 1, *, heads: bool = False
) -> float:
    """The lowest share of ten runs."""
    found = []
    for seed in range(10):
        site = crowd(machines, seconds, latency, objects, seed, heads=heads)
        found.append(site.redirected / (site.redirected + site.streamed))
        assert site.saved <= site.truth
    return min(found)


@pytest.mark.parametrize("latency", [0.01, 0.1, 1.0])
def test_a_hundred_machines_that_boot_in_three_seconds_are_redirected(latency: float) -> None:
    assert redirected(100, 3, latency) >= 0.98
    assert redirected(100, 3, latency, objects=3) >= 0.98


def test_so_are_machines_that_send_head_before_get() -> None:
    assert redirected(100, 3, 0.1, heads=True) >= 0.98
    assert redirected(100, 3, 0.1, objects=3, heads=True) >= 0.98


def test_two_hundred_machines_within_ten_seconds_are_redirected() -> None:
    assert redirected(200, 10, 0.1) >= 0.98


def test_a_crowd_that_comes_slowly_loses_a_few_requests_an_hour() -> None:
    assert redirected(500, 600, 0.1) >= 0.98
    assert redirected(100, 600, 0.1) >= 0.95


@pytest.mark.parametrize("pause", [1.0, 11.0, 30.0, 20.0])
def test_a_lone_client_has_its_first_object_at_the_third_try_and_the_others_at_once(
    pause: float,
) -> None:
    tries, site = lone(pause, 5)
    assert tries == [3, 1, 1, 1, 1]
    assert site.saved == site.truth == 0


@pytest.mark.parametrize("heads", [1, 5])
def test_so_has_one_that_sends_head_before_its_first_get_or_before_each(heads: int) -> None:
    tries, site = lone(11.0, 5, heads)
    assert tries == [3, 1, 1, 1, 1]
    assert site.saved == site.truth == 0


def test_a_days_savings_by_the_counters_are_those_of_the_clients_that_followed() -> None:
    for seed in range(3):
        site = day(seed)
        assert 0.98 * site.truth <= site.saved <= 1.01 * site.truth
        assert site.truth > 1000 * SIZE
