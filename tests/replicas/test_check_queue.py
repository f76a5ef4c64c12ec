"""Checks get their turn by networks of clients, and too many are refused where most wait."""

from __future__ import annotations

import pytest

from nearbucket.replicas.check_queue import NO_CLIENT, CheckQueue, Ticket

GREEDY, OTHER, THIRD = b"g", b"o", b"t"


def entered(queue: CheckQueue, network: bytes, count: int) -> list[Ticket]:
    """So many checks of a network, none of which is refused."""
    tickets = [queue.enter(network) for _ in range(count)]
    assert None not in tickets
    return [ticket for ticket in tickets if ticket is not None]


def has_turn(ticket: Ticket | None) -> bool | None:
    """Whether a check may run; None while it waits."""
    assert ticket is not None
    return ticket.turn.result() if ticket.turn.done() else None


async def test_networks_get_their_turn_one_after_the_other() -> None:
    queue = CheckQueue(2, 100)
    greedy = entered(queue, GREEDY, 10)
    others = [*entered(queue, OTHER, 2), *entered(queue, THIRD, 1)]
    order = []
    for _ in range(len(greedy) + len(others) - 2):
        waiting = [each for each in (*greedy, *others) if has_turn(each) is None]
        queue.leave()
        (ran,) = (each for each in waiting if has_turn(each))
        order.append("g" if ran in greedy else "o" if ran in others[:2] else "t")
    assert "".join(order) == "gotgogggggg"
    assert queue.waiting == 0
    queue.leave()
    queue.leave()
    assert has_turn(queue.enter(GREEDY))


@pytest.mark.parametrize("refusable", [True, False])
async def test_over_the_bound_a_network_waits_for_itself_alone(*, refusable: bool) -> None:
    queue = CheckQueue(1, 5)
    greedy = entered(queue, GREEDY, 6)
    assert (queue.enter(GREEDY, refusable=refusable) is None) is refusable
    (other,) = entered(queue, OTHER, 1)
    assert has_turn(other) is None
    if refusable:
        assert has_turn(greedy[-1]) is False
        assert queue.waiting == 5
    queue.leave()
    queue.leave()
    assert has_turn(other)


async def test_checks_that_no_client_waits_for_are_not_given_up() -> None:
    queue = CheckQueue(1, 5)
    own = entered(queue, NO_CLIENT, 6)
    assert queue.enter(OTHER) is None
    assert [has_turn(each) for each in own] == [True, None, None, None, None, None]


async def test_a_check_that_two_networks_want_takes_the_first_turn_of_both() -> None:
    queue = CheckQueue(1, 100)
    greedy = entered(queue, GREEDY, 10)
    queue.join(greedy[-1], OTHER)
    queue.join(greedy[-1], OTHER)
    queue.leave()
    queue.leave()
    assert has_turn(greedy[-1])
    for _ in range(7):
        queue.leave()
    assert all(has_turn(each) for each in greedy)
    assert queue.waiting == 1  # the second place of one that has had its turn
    queue.leave()
    assert queue.waiting == 0
    assert has_turn(queue.enter(THIRD))


async def test_a_check_that_is_given_up_in_one_queue_keeps_its_place_in_another() -> None:
    queue = CheckQueue(1, 5)
    greedy = entered(queue, GREEDY, 5)
    queue.join(greedy[-1], OTHER)
    entered(queue, THIRD, 1)
    assert has_turn(greedy[-1]) is None
    queue.leave()
    queue.leave()
    assert has_turn(greedy[-1])


async def test_one_that_is_cancelled_leaves_its_turn_to_the_next() -> None:
    queue = CheckQueue(1, 5)
    first, second, third = entered(queue, GREEDY, 3)
    second.turn.cancel()
    queue.leave()
    assert has_turn(first)
    assert has_turn(third)


async def test_a_network_whose_only_check_is_given_up_takes_no_turn() -> None:
    queue = CheckQueue(1, 4)
    entered(queue, GREEDY, 1)
    (given_up,) = entered(queue, OTHER, 1)
    own = [queue.enter(NO_CLIENT, refusable=False) for _ in range(3)]
    (third,) = entered(queue, THIRD, 1)
    assert has_turn(given_up) is False
    for _ in range(4):
        queue.leave()
    assert all(has_turn(each) for each in (third, *own))
