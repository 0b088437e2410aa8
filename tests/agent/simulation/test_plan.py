"""What simulated hosts are like."""

from collections import Counter

from oms.agent.simulation import plan
from oms.agent.simulation.plan import Wanted


def test_a_seed_makes_one_fleet_however_large() -> None:
    few, many = (list(plan.hosts(Wanted(hosts, slow=2))) for hosts in (5, 50))
    assert many[:5] == few
    assert plan.guests(Wanted(50), many[3]) == plan.guests(Wanted(5), few[3])
    assert list(plan.hosts(Wanted(5, slow=2, seed=2))) != few


def test_names_keys_and_addresses_are_each_hosts_and_guests_own() -> None:
    wanted = Wanted(600, 20)
    hosts = list(plan.hosts(wanted))
    assert len({host.name for host in hosts}) == len({host.address for host in hosts}) == 600
    machines = [guest for host in hosts for guest in plan.guests(wanted, host)[0]]
    assert len({guest.key for guest in machines}) == len({guest.name for guest in machines}) == 600 * 15
    assert all(len({guest.key for guest in plan.guests(wanted, host)[1]}) == 5 for host in hosts)
    every = [guest.address for host in hosts for kind in plan.guests(wanted, host) for guest in kind]
    assert len(set(every)) == 600 * 20


def test_so_many_have_trouble_as_are_wanted() -> None:
    wanted = Wanted(20, slow=1, hung=2, flapping=3, expired=4)
    counted = Counter(host.conduct for host in plan.hosts(wanted))
    assert counted == {"slow": 1, "hung": 2, "flapping": 3, "expired": 4, "well": 10}
