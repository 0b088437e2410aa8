"""What a host is, found from what its agent says of it: its type (tag level 1) and its tags of level 2."""

import re

from oms.contract.internal import HostFacts

MOST_HYPERVISORS = 8
DEFAULT_TYPES = ("OpenNode", "KVM", "OpenVZ", "physical")
_BY_HYPERVISORS = {
    frozenset({"kvm", "openvz"}): "OpenNode",
    frozenset({"kvm"}): "KVM",
    frozenset({"openvz"}): "OpenVZ",
}


def host_type(facts: HostFacts) -> str:
    """One of DEFAULT_TYPES; `physical` where no hypervisor was found."""
    return _BY_HYPERVISORS.get(frozenset(facts.hypervisors), "physical")


def automatic_tags(facts: HostFacts) -> tuple[str, ...]:
    """Hypervisors, architecture and distribution as tags. Facts are an agent's words: each is made a legal tag."""
    words = (*facts.hypervisors[:MOST_HYPERVISORS], facts.architecture, facts.distribution)
    return tuple(tag for word in words if (tag := _legal(word)))


def _legal(word: str) -> str:
    return re.sub(r"[^A-Za-z0-9 ._:+-]", "-", word).lstrip(" ._:+-")[:63].rstrip()
