"""A template becomes a container whole or not at all, and every refused setting is told at once."""

import asyncio
from pathlib import Path

import pytest

from oms.agent.context import Host
from oms.agent.guests.containers import Containers
from oms.agent.guests.fake import FakeContainers
from oms.agent.rootfs import conditions, handlers, proposal
from oms.agent.rootfs.proposal import Conditions
from oms.agent.templates import ovf_writing
from oms.agent.templates.appliance import Amount, Appliance
from oms.contract.errors import AlreadyThere, FuncManError, JobCancelled, NoSpace, NotThere, Unusable
from oms.contract.ovz import templates
from tests.agent.rootfs.rig import Rig, Steady
from tests.agent.tarballs.trees import seen
from tests.agent.templates.packages import member
from tests.hosts.kvm_job import Crash, RehearsedJob

NEEDS = ovf_writing.written(Appliance("x", Amount(2, 2, 3), Amount(256, 128, 1024), disks=(), nics=()))

DOCUMENTED = """
    template_name vm_name vm_id domain_type memory min_memory max_memory vcpu min_vcpu max_vcpu vcpulimit
    min_vcpulimit max_vcpulimit disk min_disk max_disk ip_address nameserver passwd
"""


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    made.template()
    return made


async def test_what_is_proposed_is_accepted_and_becomes_a_container(rig: Rig) -> None:
    shown = await rig.parse()
    job = RehearsedJob()
    assert await rig.deploy(proposal_of(shown), job=job) == {}
    made = await rig.containers.find("101")
    assert (made.settings.hostname, made.settings.memory_kb, made.settings.vcpus) == ("web", 512 * 1024, 1)
    assert made.rootfs is not None
    assert (made.rootfs / "etc/hostname").read_text() == "packed\n"
    assert job.notes["vm_id"] == "101"
    assert rig.left() == []


def proposal_of(shown: templates.ContainerTemplateSettings) -> dict[str, str]:
    return {name: str(getattr(shown, name)) for name in shown.__struct_fields__}


async def test_the_answer_has_the_documents_settings_in_its_order(rig: Rig) -> None:
    shown = proposal_of(await rig.parse())
    assert list(shown)[:19] == DOCUMENTED.split()
    assert (shown["vm_id"], shown["domain_type"], shown["max_memory"], shown["max_vcpulimit"]) == (
        "101", "openvz", "4096", "400",
    )  # fmt: skip


async def test_what_the_template_declares_is_narrowed_by_what_the_host_has(rig: Rig) -> None:
    (rig.shelf / "tiny.ovf").write_bytes(NEEDS)
    shown = await rig.parse()
    assert (shown.memory, shown.min_memory, shown.max_memory) == ("256", "128", "1024")
    assert (shown.vcpu, shown.min_vcpu, shown.max_vcpu) == ("2", "2", "3")
    refused = await rig.deploy({"memory": "0", "vcpu": 1})
    assert refused == {
        "memory": "Memory must be between 128 and 1024 MB, got no limit",
        "vcpu": "Virtual CPU count must be between 2 and 3, got 1",
    }


async def test_what_the_host_cannot_give_is_said(rig: Rig) -> None:
    (rig.shelf / "tiny.ovf").write_bytes(
        ovf_writing.written(Appliance("x", Amount(1, 8), Amount(9000, 8000), disks=(), nics=()))
    )
    assert await rig.deploy({}) == {
        "memory": "Memory: the template needs 8000 MB at least, this host can give 4096 MB",
        "vcpu": "Virtual CPU count: the template needs 8 at least, this host can give 4",
    }


async def test_every_refused_setting_is_told_at_once_and_nothing_is_made(rig: Rig) -> None:
    await rig.deploy({"ip_address": "10.0.0.5"}, vm_name="first")
    await rig.containers.start("101")
    given = {
        "memory": "lots", "vcpu": 0, "vcpulimit": "401", "disk": "1", "ip_address": "10.0.0.5", "nameserver": "x",
        "searchdomain": "-", "onboot": "perhaps", "hostname": "a_b", "vm_id": "101", "domain_type": "kvm",
        "template_name": "other", "passwd": "tab\t", "swap": "-1", "nothing": "1", "min_memory": "what it was",
    }  # fmt: skip
    refused = await rig.deploy(given)
    assert set(refused) == set(given) - {"min_memory"}
    assert refused["memory"] == "Memory must be between 16 and 4096 MB, or 0 for no limit, got 'lots'"
    assert refused["vm_id"] == "There is a container 101 already; the next free id is 102"
    assert refused["ip_address"] == "IP address 10.0.0.5 is that of container 101: choose another"
    assert await rig.ids() == ["101"]


@pytest.mark.parametrize("ctid", ["0", "-1", "007", "abc", "2147483648", "1.5", "", "٣"])
async def test_an_id_is_a_whole_number(rig: Rig, ctid: str) -> None:
    assert list(await rig.deploy({"vm_id": ctid})) == ["vm_id"]


async def test_the_id_is_the_callers_choice(rig: Rig) -> None:
    assert await rig.deploy({"vm_id": 4711}) == {}
    assert await rig.ids() == ["4711"]


async def test_a_password_is_set_and_written_down_nowhere(rig: Rig) -> None:
    job = RehearsedJob()
    assert await rig.deploy({"passwd": "s3cret!"}, job=job) == {}
    assert isinstance(rig.containers, FakeContainers)
    assert rig.containers._kept["101"].files["password"] == "s3cret!"
    assert "s3cret" not in str(job.records) + str(job.notes)


async def test_a_name_is_one_containers(rig: Rig) -> None:
    await rig.deploy({})
    with pytest.raises(AlreadyThere, match="Container 101 is called 'web' already"):
        await rig.deploy({})


async def test_two_at_once_get_two_ids_or_one_is_refused(rig: Rig) -> None:
    both = (rig.deploy({}, vm_name=name, job=_job(number)) for number, name in enumerate("ab"))
    assert await asyncio.gather(*both) == [{}, {}]
    assert await rig.ids() == ["101", "102"]
    answers = await asyncio.gather(
        *(rig.deploy({"vm_id": "500"}, vm_name=name, job=_job(number)) for number, name in enumerate("cde"))
    )
    assert sorted(map(len, answers)) == [0, 1, 1]
    assert await rig.ids() == ["101", "102", "500"]
    assert rig.left() == []


@pytest.mark.parametrize("given", [{"hostname": "same"}, {"ip_address": "10.0.0.9"}])
async def test_two_at_once_of_one_name_or_address_are_one_container(rig: Rig, given: dict[str, str]) -> None:
    both = (rig.deploy(given, vm_name=name, job=_job(number)) for number, name in enumerate("ab"))
    answers = await asyncio.gather(*both)
    assert sorted(map(len, answers)) == [0, 1]
    (refused,) = filter(None, answers)
    assert "just being given" in refused[next(iter(given))]
    assert await rig.ids() == ["101"]
    await rig.containers.start("101")
    assert "container 101" in (await rig.deploy(given, vm_name="c"))[next(iter(given))].lower()
    assert rig.left() == []


async def test_a_name_that_another_is_just_given_by_its_settings_is_taken(rig: Rig) -> None:
    calls = (rig.deploy({"hostname": "web"}, vm_name="a", job=_job(1)), rig.deploy({}, vm_name="web", job=_job(2)))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    (lost,) = (outcome for outcome in outcomes if outcome != {})
    assert "A container is just being given the name 'web': choose another name" in str(lost)
    assert await rig.ids() == ["101"]


async def test_a_job_that_is_taken_up_again_holds_what_it_was_given(rig: Rig) -> None:
    job = Steady(break_at=2)  # right after the plan is written down
    with pytest.raises(Crash):
        await rig.deploy({"hostname": "web", "ip_address": "10.0.0.9"}, vm_name="a", job=job)
    again = RehearsedJob(job.records)
    given = {"ip_address": "10.0.0.9"}
    calls = (rig.deploy({}, vm_name="a", job=again), rig.deploy(given, vm_name="b", job=_job(1)))
    first, second = await asyncio.gather(*calls)
    assert (first, list(second)) == ({}, ["ip_address"])


async def test_an_id_that_a_quick_job_took_meanwhile_is_not_taken_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, quick = conditions.now, [rig.deploy({}, vm_name="a", job=_job(0))]

    async def now(host: Host, containers: Containers) -> Conditions:
        here = await looked(host, containers)
        if quick:
            assert await quick.pop() == {}
        return here

    monkeypatch.setattr(conditions, "now", now)
    assert await rig.deploy({}, vm_name="b", job=_job(1)) == {}
    assert await rig.ids() == ["101", "102"]


def _job(number: int) -> RehearsedJob:
    job = RehearsedJob()
    job.id = f"{number:032x}"
    return job


async def test_a_template_that_is_no_good_is_refused_in_words_before_anything_is_made(rig: Rig) -> None:
    rig.template("bad", member(b"../../etc/cron.d/x", b"x"))
    for call in (rig.parse("bad"), rig.deploy({}, "bad")):
        with pytest.raises(Unusable, match=r"Template 'bad' is refused: its member .* leads out of it"):
            await call
    with pytest.raises(NotThere, match="no template 'none'"):
        await rig.parse("none")
    assert await rig.ids() == rig.left() == []


async def test_a_template_for_another_processor_is_refused(rig: Rig) -> None:
    rig.template("arm", member(b"metadata.yaml", b"architecture: aarch64\n"), member(b"rootfs/etc/x", b""))
    with pytest.raises(Unusable, match="is for aarch64 machines"):
        await rig.deploy({}, "arm")


async def test_only_the_system_in_an_archive_of_incus_is_written(rig: Rig) -> None:
    more = (member(b"rootfs/etc/hostname", b"inner\n"), member(b"templates/x.tpl", b"t"))
    rig.template("incus", member(b"metadata.yaml", b"architecture: x86_64\n"), *more)
    assert await rig.deploy({}, "incus") == {}
    rootfs = (await rig.containers.find("101")).rootfs
    assert rootfs is not None
    assert set(seen(rootfs)) == {".", "etc", "etc/hostname"}
    assert (rootfs / "etc/hostname").read_text() == "inner\n"


async def test_a_directory_of_an_image_server_is_a_template(rig: Rig) -> None:
    (rig.shelf / "debian").mkdir()
    rig.template("x").rename(rig.shelf / "debian/rootfs.tar.xz")
    (rig.shelf / "debian/meta.tar.xz").write_bytes(b"not looked at")
    (rig.shelf / "empty").mkdir()
    op = templates.ListTemplates()
    assert await handlers.list_templates(op, rig.host()) == ["debian", "tiny"]
    assert await rig.deploy({}, "debian") == {}


async def test_a_template_is_read_once_until_it_is_another(rig: Rig) -> None:
    await rig.parse()
    noted = list((rig.shelf / ".judged").iterdir())
    await rig.deploy({})
    assert list((rig.shelf / ".judged").iterdir()) == noted
    rig.template("tiny", member(b"new", b"1"))
    await rig.parse()
    assert len(list((rig.shelf / ".judged").iterdir())) == 1
    assert list((rig.shelf / ".judged").iterdir()) != noted


async def test_a_template_that_was_replaced_after_it_was_judged_is_not_deployed(rig: Rig) -> None:
    job = Steady(break_at=2)  # right after the plan is written down
    with pytest.raises(Crash):
        await rig.deploy({}, job=job)
    rig.template("tiny", member(b"new", b"1"))
    again = RehearsedJob(job.records)
    with pytest.raises(FuncManError, match="replaced by another meanwhile"):
        await rig.deploy({}, job=again)
    assert await rig.ids() == rig.left() == []


async def test_wherever_it_is_broken_off_it_is_finished_or_leaves_nothing(tmp_path: Path) -> None:
    steps = 0
    for point in range(1, 100):
        rig = Rig(tmp_path / str(point))
        rig.template()
        job = Steady(break_at=point)
        op = templates.DeployTemplateForVm("tiny", "web", {"passwd": "x", "vm_id": "7"})
        try:
            await handlers.deploy_template_for_vm(op, rig.host(job, crashy=True))
            break
        except Crash:
            steps = point
        assert await handlers.deploy_template_for_vm(op, rig.host(RehearsedJob(job.records))) == {}
        assert await rig.ids() == ["7"]
        rootfs = (await rig.containers.find("7")).rootfs
        assert rootfs is not None
        assert {"bin/sh", "etc/hostname"} <= set(seen(rootfs))
        assert rig.left() == []
    assert steps > 8


async def test_cancelled_wherever_it_may_be_it_leaves_nothing(rig: Rig) -> None:
    rig.template("large", *(member(b"file%d" % number, b"x" * 4000) for number in range(300)))
    await rig.parse("large")
    job = RehearsedJob()
    told = job.progress

    def cancelling(percent: float) -> None:
        told(percent)
        job.cancel()

    job.progress = cancelling  # type: ignore[method-assign]
    with pytest.raises(JobCancelled):
        await rig.deploy({}, "large", job=job)
    assert await rig.ids() == rig.left() == []


async def test_a_template_with_no_room_for_it_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.agent.host.space.free_bytes", lambda _directory: 5000)
    with pytest.raises(NoSpace):
        await rig.deploy({})
    assert await rig.ids() == rig.left() == []


def test_the_next_id_is_the_first_that_nobody_has() -> None:
    assert proposal.free_id(frozenset({"101", "102", "104", "web"})) == "103"
