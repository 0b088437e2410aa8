"""A container becomes a template whole or not at all, and goes on whatever becomes of it."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from oms.agent.guests.containers import ContainerSettings, NewContainer
from oms.agent.rootfs import handlers
from oms.contract.errors import AlreadyThere, FuncManError, JobCancelled, NoSpace, NoSuchContainer, NotThere
from oms.contract.ovz import templates
from tests.agent.rootfs.rig import Rig, Steady
from tests.agent.tarballs.trees import FIRST, seen, wild
from tests.hosts.kvm_job import Crash, RehearsedJob

SETTINGS = ContainerSettings("old", 256 * 1024, vcpus=1)


async def holding(directory: Path) -> Rig:
    """It has a container 119 with all that a system may have."""
    rig = Rig(directory)
    place = await rig.containers.prepare("1" * 32, 0)
    place.rmdir()
    wild(place)
    await rig.containers.create("1" * 32, NewContainer("119", SETTINGS))
    return rig


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return await holding(tmp_path / "rig")


async def rootfs(rig: Rig, ctid: str) -> Path:
    found = (await rig.containers.find(ctid)).rootfs
    assert found is not None
    return found


async def test_a_container_made_of_a_containers_template_is_equal_to_it(rig: Rig) -> None:
    job = RehearsedJob()
    assert await rig.pack("119", "mine", job=job) == {}
    made = rig.shelf / "mine.tar.zst"
    assert job.notes["sha256"] == hashlib.sha256(made.read_bytes()).hexdigest()
    assert oct(made.stat().st_mode) == "0o100600"
    assert await rig.deploy({}, "mine", "new") == {}
    assert seen(await rootfs(rig, "101")) == seen(await rootfs(rig, "119"))
    assert rig.left() == []


async def test_the_answer_has_the_documents_settings_and_what_they_say_is_declared(rig: Rig) -> None:
    shown = await handlers.parse_vm_for_template(templates.ParseVmForTemplate("119", "mine"), rig.host())
    named = {name: getattr(shown, name) for name in shown.__struct_fields__}
    assert list(named.items())[:7] == [
        ("vm_id", "119"), ("template_name", "mine"), ("domain_type", "openvz"), ("vcpu", "1"), ("min_vcpu", "1"),
        ("memory", "256"), ("min_memory", "256"),
    ]  # fmt: skip
    assert await rig.pack("119", "mine", {**named, "memory": "300", "max_memory": "400", "vcpu": 2}) == {}
    settings = await rig.parse("mine")
    assert (settings.memory, settings.min_memory, settings.max_memory) == ("300", "256", "400")
    assert (settings.vcpu, settings.min_vcpu) == ("2", "1")


async def test_every_refused_setting_is_told_at_once_and_nothing_is_made(rig: Rig) -> None:
    given = {"memory": "0", "vcpu": "x", "vm_id": "1", "domain_type": "kvm", "nothing": 1, "description": "\x07"}
    assert set(await rig.pack("119", "mine", given)) == set(given)
    assert list(rig.shelf.iterdir()) == []
    with pytest.raises(NoSuchContainer):
        await rig.pack("120", "mine")


async def test_a_container_that_runs_stands_still_meanwhile_and_goes_on(rig: Rig) -> None:
    await rig.containers.start("119")
    states = []
    rig.containers.on_change(lambda change: states.append(change.what))
    assert await rig.pack("119", "mine") == {}
    assert states == ["paused", "resumed"]
    assert (await rig.containers.find("119")).state == "running"


async def test_one_that_stood_still_before_stands_still_after(rig: Rig) -> None:
    await rig.containers.start("119")
    await rig.containers.pause("119")
    assert await rig.pack("119", "mine") == {}
    assert (await rig.containers.find("119")).state == "paused"


async def test_a_name_that_is_taken_in_whatever_form_is_refused(rig: Rig) -> None:
    rig.template("mine")
    with pytest.raises(AlreadyThere):
        await rig.pack("119", "mine")
    assert [path.name for path in rig.shelf.iterdir() if path.name != ".staging"] == ["mine.tar.gz"]


async def test_wherever_it_is_broken_off_it_is_finished_and_the_container_runs(tmp_path: Path) -> None:
    steps = 0
    for point in range(1, 100):
        rig = await holding(tmp_path / str(point))
        await rig.containers.start("119")
        job = Steady(break_at=point)
        op = templates.CreateTemplateFromVm("119", "mine", {})
        try:
            await handlers.create_template_from_vm(op, rig.host(job, crashy=True))
            break
        except Crash:
            steps = point
        assert await handlers.create_template_from_vm(op, rig.host(Steady(job.records))) == {}
        assert (await rig.containers.find("119")).state == "running"
        assert await handlers.list_templates(templates.ListTemplates(), rig.host()) == ["mine"]
        assert rig.left() == []
    assert steps > 7


async def test_cancelled_it_leaves_nothing_and_the_container_runs(rig: Rig) -> None:
    await rig.containers.start("119")
    job = RehearsedJob()
    told = job.progress

    def cancelling(percent: float) -> None:
        told(percent)
        job.cancel()

    job.progress = cancelling  # type: ignore[method-assign]
    with pytest.raises(JobCancelled):
        await rig.pack("119", "mine", job=job)
    assert (await rig.containers.find("119")).state == "running"
    assert not [path for path in rig.shelf.iterdir() if path.name != ".staging"]
    assert rig.left() == []


async def test_a_full_disk_leaves_nothing_and_the_container_runs(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.containers.start("119")
    monkeypatch.setattr("oms.agent.host.space.free_bytes", lambda _directory: 0)
    monkeypatch.setattr("oms.agent.host.space.LOOK_SECONDS", 0.001)
    with pytest.raises(NoSpace):
        await rig.pack("119", "mine")
    assert (await rig.containers.find("119")).state == "running"
    assert rig.left() == []


async def test_what_is_not_the_containers_is_not_packed(rig: Rig) -> None:
    place = await rootfs(rig, "119")
    (place / "the hosts").touch()
    with pytest.raises(FuncManError, match="whom the container does not have"):
        await rig.pack("119", "mine")
    assert rig.left() == []


async def test_links_in_a_container_lead_nowhere(rig: Rig) -> None:
    """What they lead to outside is not in the template."""
    place = await rootfs(rig, "119")
    (place / "out").symlink_to("/etc")
    os.chown(place / "out", FIRST, FIRST, follow_symlinks=False)
    assert await rig.pack("119", "mine") == {}
    assert await rig.deploy({}, "mine", "new") == {}
    assert str((await rootfs(rig, "101") / "out").readlink()) == "/etc"


async def test_a_template_is_deleted_with_all_that_is_beside_it(rig: Rig) -> None:
    rig.template()
    (rig.shelf / "tiny.ovf").write_bytes(b"")
    rig.template("tiny2")
    (rig.shelf / "tiny.ovf").unlink()
    await rig.parse()
    await rig.parse("tiny2")
    op = templates.DeleteTemplate("tiny")
    assert await handlers.delete_template(op, rig.host(RehearsedJob())) == 0
    assert await handlers.list_templates(templates.ListTemplates(), rig.host()) == ["tiny2"]
    assert [path.name[:6] for path in (rig.shelf / ".judged").iterdir()] == ["tiny2."]
    with pytest.raises(NotThere):
        await handlers.delete_template(op, rig.host(RehearsedJob()))


async def test_a_deletion_that_was_broken_off_takes_nothing_that_came_since(tmp_path: Path) -> None:
    for point in range(1, 5):
        rig = Rig(tmp_path / str(point))
        rig.template()
        job = Steady(break_at=point)
        op = templates.DeleteTemplate("tiny")
        with pytest.raises(Crash):
            await handlers.delete_template(op, rig.host(job))
        if point > 2:  # it is out of the way
            rig.template()
        assert await handlers.delete_template(op, rig.host(Steady(job.records))) == 0
        expected = ["tiny"] if point > 2 else []
        assert await handlers.list_templates(templates.ListTemplates(), rig.host()) == expected
        assert rig.left() == []


async def test_a_template_is_not_deleted_under_a_deployment(rig: Rig) -> None:
    rig.template()
    deleting = RehearsedJob()
    deleting.id = "2" * 32
    both = rig.deploy({}), handlers.delete_template(templates.DeleteTemplate("tiny"), rig.host(deleting))
    done, _ = await asyncio.gather(*both, return_exceptions=True)
    assert done == {} or isinstance(done, NotThere)
    assert len(await rig.ids()) == (2 if done == {} else 1)
