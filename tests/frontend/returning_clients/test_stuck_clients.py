"""Clients whose redirects fail are kept while they are stuck, and no more than a hundred."""

from __future__ import annotations

from nearbucket.frontend.returning_clients.came_back import HOLDS
from nearbucket.frontend.returning_clients.recent_redirects import RecentRedirects, SharedTable
from nearbucket.frontend.returning_clients.stuck_clients import MOST, StuckClient, StuckClients

NOW = 1000.0


def client(number: int) -> StuckClient:
    found = StuckClient.of("*", "us-west-2", f"192.0.2.{number}", "a.tar.gz", b"curl/8")
    return found._replace(since=NOW)


def test_clients_are_kept_while_they_are_stuck() -> None:
    redirects, kept = RecentRedirects(300.0, SharedTable()), StuckClients()
    of_sites = {"*": redirects}
    for asker in (1, 2):
        redirects.stuck(asker, 7, NOW + asker)
        kept.add(asker, client(asker))
    assert kept.current(of_sites, NOW + 3) == (client(1), client(2))
    redirects.stream_began(1, 7, NOW + 3)
    redirects.stream_began(1, 7, NOW + 3.1)  # a crowd
    assert kept.current(of_sites, NOW + 4) == (client(2),)
    assert kept.current(of_sites, NOW + HOLDS + 2) == ()


def test_the_last_hundred_are_kept() -> None:
    redirects, kept = RecentRedirects(300.0, SharedTable()), StuckClients()
    for asker in range(1, MOST + 3):
        redirects.stuck(asker, 7, NOW)
        kept.add(asker, client(asker))
    kept.add(5, client(5))  # again, so it is the last one now
    found = kept.current({"*": redirects}, NOW)
    assert (len(found), found[0], found[-1]) == (MOST, client(3), client(5))


def test_a_line_of_the_log_quotes_what_the_client_sent() -> None:
    found = StuckClient.of("*", "us-west-2", "192.0.2.7", "a\nb", b"x\r\n\x1b[31m" + b"y" * 9000)
    line = found.warning()
    assert line.isprintable()
    assert len(line) < 600
