"""All that OMS keeps brought from SQLite into PostgreSQL: whole, or not at all."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from oms.contract.kvm import StopVm
from oms.server.rules.chain import Verdict
from oms.server.store import Store, audit, meta, move, servers
from oms.server.store.tables import metadata
from tests.server.postgresql import Cluster
from tests.server.rig import Oms, Person, Seed, answering


def sqlite(oms: Oms) -> Store:
    return Store(oms.config.database_url)


def counted(store: Store) -> dict[str, int]:
    return store.transaction(
        lambda tx: {
            table.name: tx.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }
    )


def chain(store: Store) -> Verdict:
    return store.transaction(audit.verify)


async def used(oms: Oms) -> Person:
    """A server that has something of everything, and somebody who is logged in there; it is stopped."""
    await oms.sign_in_double("h1", {StopVm: answering(0)})
    admin = await oms.as_admin()
    await admin.ask("kvmservices.stop_vm", 0, "h1", "vm1")
    await admin.ask("tagservices.add_tag", 0, "blue", "h1")
    await admin.ask("userservices.create_token", 0, "x", "viewer")
    await oms.enrol("h2")
    await oms.stop()
    return admin


async def test_what_was_in_sqlite_is_in_postgresql_and_goes_on_there(
    oms: Oms, seed: Seed, folder: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move, "AT_ONCE", 2)
    admin = await used(oms)
    old, url = sqlite(oms), cluster.made()
    new = Store(url)
    before = counted(old)
    assert {name for name, rows in before.items() if not rows} == {"removed_keys", "guests", "guest_tags"}
    told: dict[str, int] = {}
    move.move(old, new, "there", told.__setitem__)
    assert told == counted(new) == before
    assert chain(new) == chain(old)
    assert old.transaction(lambda tx: meta.get(tx, move.MOVED)) == "there"
    assert new.transaction(lambda tx: meta.get(tx, move.MOVED)) is None
    old.close()
    new.close()
    async with Oms(seed, folder / "moved", database=url) as moved:
        person = Person(moved, admin.sessid)
        assert [host["name"] for host in await person.ask("funcservices.list_signed", 0)] == ["h1"]
        await person.ask("userservices.add_user", 0, "anna", "seven purple whales at noon", "viewer")
        assert (await moved.store.read(audit.verify)).broken == 0


async def test_a_database_at_which_a_server_works_is_left_alone(oms: Oms, cluster: Cluster, template: str) -> None:
    old, new = sqlite(oms), Store(cluster.made())
    with pytest.raises(move.NotMoved, match="A server works on this database: stop it first"):
        move.move(old, new, "there")
    near = Store(cluster.made(template))
    near.transaction(lambda tx: servers.begin(tx, "", "node1 0.0.0.0:8000"))
    with pytest.raises(move.NotMoved, match=r"database: node1 0\.0\.0\.0:8000\. Stop it first"):
        move.move(near, new, "there")
    near.close()
    old.close()
    new.close()


async def test_nothing_is_brought_to_where_something_is(oms: Oms, cluster: Cluster, template: str) -> None:
    await used(oms)
    old, new = sqlite(oms), Store(cluster.made(template))
    with pytest.raises(move.NotMoved, match="not empty"):
        move.move(old, new, "there")
    assert old.transaction(lambda tx: meta.get(tx, move.MOVED)) is None
    old.close()
    new.close()


async def test_what_is_broken_off_has_left_nothing_and_is_begun_again(oms: Oms, cluster: Cluster) -> None:
    await used(oms)
    old, new = sqlite(oms), Store(cluster.made())

    def break_off(table: str, _rows: int) -> None:
        if table == "jobs":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move.move(old, new, "there", break_off)
    move.move(old, new, "there")
    assert counted(new) == counted(old) | {"meta": counted(old)["meta"] - 1}
    old.close()
    new.close()
