"""Container templates come whole and looked at, or not at all."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from oms.agent.host import files
from oms.agent.rootfs import arriving, catalogue
from oms.agent.transfer import incoming
from oms.contract.errors import AlreadyThere, NotFetched, Unusable
from oms.contract.incoming import Upload
from oms.contract.ovz import arrivals
from tests.agent.rootfs.rig import Rig, Steady
from tests.agent.templates.packages import member
from tests.agent.transfer.parts import Brings, Script, gives
from tests.hosts.kvm_job import Crash, RehearsedJob


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "FIRST_PAUSE_SECONDS", 0.0)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def made(rig: Rig, *members: bytes) -> bytes:
    path = rig.template("made", *members)
    content = path.read_bytes()
    path.unlink()
    return content


async def upload(rig: Rig, content: bytes, job: RehearsedJob | None = None, name: str = "a") -> Upload:
    host = replace(rig.host(job), relay=Brings(Script(gives(content, piece=65_536))))
    op = arrivals.UploadTemplate(name, len(content), hashlib.sha256(content).hexdigest())
    return await arriving.upload_template(op, host)


def left_in(rig: Rig) -> list[str]:
    return sorted(path.name for path in files.regular_files(rig.shelf))


async def test_one_that_is_uploaded_is_listed_and_deployed(rig: Rig) -> None:
    job = RehearsedJob()
    answer = await upload(rig, made(rig), job)
    assert job.answers == [answer]
    assert left_in(rig) == ["a.tar"]
    assert catalogue.names(rig.shelf) == ["a"]
    assert await rig.deploy({}, "a") == {}


async def test_a_hostile_one_is_refused_in_words_and_nothing_of_it_is_kept(rig: Rig) -> None:
    for content in (made(rig, member(b"/etc/cron.d/evil", b"x")), b"an HTML page that says: not found"):
        with pytest.raises(Unusable, match=r"named from the root|packed by none"):
            await upload(rig, content)
        assert left_in(rig) == []


async def test_a_name_that_is_taken_in_whatever_form_is_refused_before_a_byte_comes(rig: Rig) -> None:
    content = made(rig)
    rig.template("a")
    with pytest.raises(AlreadyThere, match="There is a template 'a' already"):
        await upload(rig, content)
    assert left_in(rig) == ["a.tar.gz"]


async def test_what_comes_by_http_needs_a_checksum(rig: Rig) -> None:
    with pytest.raises(NotFetched):
        await arriving.fetch_template(arrivals.FetchTemplate("a", "http://192.0.2.1/a"), rig.host())


async def test_it_is_finished_wherever_it_was_broken_off(tmp_path: Path) -> None:
    point = 0
    for point in range(1, 100):
        rig = Rig(tmp_path / str(point))
        content, job = made(rig), Steady(break_at=point)
        try:
            await upload(rig, content, job)
            break
        except Crash:
            await upload(rig, content, Steady(job.records))
        assert left_in(rig) == ["a.tar"]
    assert point > 4
