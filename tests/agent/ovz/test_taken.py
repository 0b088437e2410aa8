"""What only one container of a host can have."""

import pytest

from oms.agent.guests.containers import (
    Container,
    ContainerChange,
    ContainerSettings,
    Network,
)
from oms.agent.ovz.limits import plain
from oms.agent.ovz.taken import Taken, Wish, asked

OTHERS = Taken(
    ids=frozenset({"101", "102"}),
    names={"web": "101", "soon": "", "": "102"},
    addresses={"10.0.0.5": "101", "fd00::5": "101", "10.0.0.9": ""},
)


@pytest.mark.parametrize(
    ("wish", "refusals"),
    [
        (Wish("103", "mail", ("10.0.0.6",)), {}),
        (Wish("103"), {}),
        (Wish(hostname="web"), {"hostname": "Container 101 is called 'web' already: choose another name"}),
        (
            Wish(hostname="soon"),
            {"hostname": "A container is just being given the name 'soon': choose another name"},
        ),
        (
            Wish(addresses=("10.0.0.6", "10.0.0.5/24")),
            {"ip_address": "IP address 10.0.0.5 is that of container 101: choose another"},
        ),
        (
            Wish(addresses=("fd00:0:0::0005",)),
            {"ip_address": "IP address fd00::5 is that of container 101: choose another"},
        ),
        (
            Wish(addresses=("10.0.0.9",)),
            {"ip_address": "IP address 10.0.0.9 is just being given to a container: choose another"},
        ),
    ],
)
def test_what_another_has_is_refused_with_its_id(wish: Wish, refusals: dict[str, str]) -> None:
    assert OTHERS.refusals(wish) == refusals
    assert OTHERS.allows(wish) is not bool(refusals)


def test_an_id_is_one_containers() -> None:
    assert not OTHERS.allows(Wish("102"))
    assert OTHERS.allows(Wish("103"))


def test_what_a_container_has_is_not_asked_for_again() -> None:
    now = ContainerSettings(hostname="web", addresses=("10.0.0.5/24", "fd00::5"))
    container = Container("101", "shutdown", now, None, None, (), Network("routed"), "")
    same = ContainerChange(hostname="web", addresses=("fd00:0::5", "10.0.0.5"))
    assert asked(same, container) == Wish()
    more = ContainerChange(hostname="www", addresses=("10.0.0.5", "10.0.0.6/16"))
    assert asked(more, container) == Wish(hostname="www", addresses=("10.0.0.6",))
    assert asked(ContainerChange(memory_kb=1), container) == Wish()
    assert asked(ContainerChange(addresses=()), container) == Wish()


def test_what_others_wrote_is_left_as_it_is() -> None:
    assert plain(("no address/24", "10.0.0.1", "FD00::A/64")) == ("no address", "10.0.0.1", "fd00::a")
