"""The hosts and guests of an OMS as an inventory of Ansible."""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

DOCUMENTATION = """
name: fleet
short_description: Hosts and guests of an OpenNode Management Server
description:
  - All signed hosts, and all machines and containers on them, as OMS knows them now. No host is asked.
  - Hosts are in the group C(oms_hosts), guests in C(oms_guests). There are groups C(state_...) and C(tag_...) of
    both, C(type_...) of hosts, and C(kind_...) and C(host_...) of guests.
  - A guest whose name another host or guest has too is called NAME.HOST.
requirements:
  - opennode-oms[client]
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: The name of this plugin.
    required: true
    choices: [opennode.oms.fleet]
  url:
    description: OMS's address, or several of one OMS, which are tried in turn.
    type: list
    elements: str
    required: true
    env:
      - name: OMS_URL
  ca_sha256:
    description: The fingerprint that OMS prints.
    default: ""
    env:
      - name: OMS_CA_SHA256
  ca_file:
    description: OMS's CA itself, instead of its fingerprint.
    default: ""
    env:
      - name: OMS_CA_FILE
  token:
    description: A program's token. The role viewer will do.
    required: true
    env:
      - name: OMS_TOKEN
  tag:
    description: Only what bears this tag.
    default: ""
  guests:
    description: Whether guests are listed too.
    type: bool
    default: true
"""

EXAMPLES = """
plugin: opennode.oms.fleet
url: https://oms:8000
ca_sha256: 9b1d...
tag: web
"""

MOST = 1000
"""In one answer of OMS."""


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """The inventory plugin."""

    NAME = "opennode.oms.fleet"

    def verify_file(self, path: str) -> bool:
        """Whether a file is for this plugin: its name ends in `oms.yml`."""
        return bool(super().verify_file(path)) and path.endswith(("oms.yml", "oms.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill the inventory. Raises AnsibleError."""
        super().parse(inventory, loader, path)
        self._read_config_data(path)
        self.load_cache_plugin()
        key = self.get_cache_key(path)
        found = self._cache.get(key) if cache and self.get_option("cache") else None
        if found is None:
            found = self._asked()
            if self.get_option("cache"):
                self._cache[key] = found
        names = {host["name"] for host in found["hosts"]}
        for host in found["hosts"]:
            self._add(host["name"], "oms_hosts", host, {"type": host["type"], "state": host["state"]})
        several = _several(guest["name"] for guest in found["guests"]) | names
        for guest in found["guests"]:
            name = f"{guest['name']}.{guest['host']}" if guest["name"] in several else guest["name"]
            self._add(name, "oms_guests", guest, {part: guest[part] for part in ("kind", "state", "host")})

    def _asked(self) -> dict[str, list[dict[str, Any]]]:
        """Hosts and guests as OMS tells of them."""
        try:
            import msgspec

            from oms.client import ClientError, NotOurs
            from oms.client.sync import Client
            from oms.contract import fleet
            from oms.contract.errors import AuthError, OmsError
        except ImportError as missing:
            raise AnsibleParserError(f"Ansible's Python needs opennode-oms[client]: {missing}") from missing
        # What Ansible read from a file is a text of its own kind, which knows where it stood.
        url = [str(one) for one in self.get_option("url")]
        tag, file, sha256, token = (
            str(self.get_option(name)) for name in ("tag", "ca_file", "ca_sha256", "token")
        )
        found: dict[str, list[Any]] = {"hosts": [], "guests": []}
        try:
            with Client(url, ca_sha256=sha256, ca_file=Path(file) if file else None, token=token) as oms:
                while page := oms.call(fleet.ListHosts(tag=tag, offset=len(found["hosts"]), most=MOST)).hosts:
                    found["hosts"] += page
                while self.get_option("guests") and (
                    page := oms.call(fleet.ListGuests(tag=tag, offset=len(found["guests"]), most=MOST)).guests
                ):
                    found["guests"] += page
        except AuthError as refused:
            why = "the token is not valid any more; `oms users create-token ansible viewer` makes another"
            raise AnsibleError(f"OMS does not tell of its hosts: {why}") from refused
        except (ClientError, NotOurs, OmsError, OSError, ValueError) as failure:
            raise AnsibleError(f"OMS does not tell of its hosts: {failure}") from failure
        plain: dict[str, list[dict[str, Any]]] = msgspec.to_builtins(found)
        return plain

    def _add(self, name: str, group: str, thing: dict[str, Any], by: dict[str, str]) -> None:
        """Put a host or guest into its groups, what is known of it as variables `oms_...`."""
        self.inventory.add_host(name)
        for into in (
            group,
            *(f"{part}_{word}" for part, word in by.items() if word),
            *map(_of_tag, thing["tags"]),
        ):
            self.inventory.add_group(self._sanitize_group_name(into))
            self.inventory.add_child(self._sanitize_group_name(into), name)
        for part, value in thing.items():
            self.inventory.set_variable(name, f"oms_{part}", value)
        variables = self.inventory.get_host(name).get_vars()
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict)


def _of_tag(tag: Any) -> str:
    return f"tag_{tag['tag'] if isinstance(tag, dict) else tag}"


def _several(names: Any) -> set[str]:
    """What stands there more than once."""
    seen: set[str] = set()
    twice: set[str] = set()
    for name in names:
        (twice if name in seen else seen).add(name)
    return twice
