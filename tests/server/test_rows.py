"""The guests of all hosts stay in the order of their names, whatever hosts tell."""

import random

import pytest

from oms.contract.internal import GuestLine
from oms.server.rules.rows import BY_NAME, FEW, Rows
from tests.server.rosters import line

NAMES = ["web", "Web", "db", "alpha", "omega", "web10", "\u00e4rger"]


@pytest.mark.parametrize("at_a_time", [1, FEW, FEW + 1])
def test_guests_that_come_change_and_go_leave_the_others_in_their_order(at_a_time: int) -> None:
    chance = random.Random(at_a_time)
    hosts = [f"h{number:02}" for number in range(2 * FEW)]
    rows, guests = Rows(), dict[str, list[GuestLine]]()
    for _ in range(200):
        changed = chance.sample(hosts, at_a_time)
        lines = {
            host: [
                line(number, chance.choice(NAMES), kind=chance.choice(["kvm", "openvz"]))
                for number in range(chance.randrange(6))
            ]
            for host in changed
            if chance.random() < 0.8
        }
        before, as_it_was = rows, list(rows.every)
        rows = rows.anew(changed, lines)
        assert before.every == as_it_was, "whoever looks at it sees one moment"
        guests = {host: those for host, those in guests.items() if host not in changed} | dict(lines)
        found = [(row.host_id, row.line) for row in rows.every]
        expected = sorted((row for host in rows.of.values() for row in host), key=BY_NAME)
        assert [BY_NAME(row) for row in rows.every] == [BY_NAME(row) for row in expected]
        assert sorted(map(repr, found)) == sorted(repr((host, guest)) for host in guests for guest in guests[host])
