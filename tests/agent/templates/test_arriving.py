"""Templates come whole and looked at, or not at all: a half or hostile package is never listed."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from oms.agent.context import Host
from oms.agent.host import files
from oms.agent.templates import arriving, handlers, package
from oms.agent.transfer import incoming
from oms.contract.errors import AlreadyThere, NotFetched, Unusable
from oms.contract.incoming import Upload
from oms.contract.kvm import arrivals
from oms.contract.kvm.templates import ListTemplates
from tests.agent.templates.packages import header, member, small_template
from tests.agent.transfer.parts import Brings, Script, gives
from tests.hosts import kvm_job
from tests.hosts.kvm_job import Crash, RehearsedJob


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "FIRST_PAUSE_SECONDS", 0.0)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small_template(tmp_path_factory.mktemp("made"), "a").read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("images", "templates"):
        (tmp_path / name).mkdir()
    return tmp_path


def host(folder: Path, content: bytes, job: RehearsedJob | None = None, script: Script | None = None) -> Host:
    relay = Brings(script or Script(gives(content, piece=65_536)))
    return kvm_job.host(None, folder / "images", job, relay=relay)


def upload(content: bytes, name: str = "a") -> arrivals.UploadTemplate:
    return arrivals.UploadTemplate(name, len(content), hashlib.sha256(content).hexdigest())


async def names(folder: Path) -> list[str]:
    return await handlers.list_templates(ListTemplates(), host(folder, b""))


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in files.regular_files(folder / "templates"))


async def test_one_that_is_uploaded_answers_first_and_is_listed_when_it_was_looked_at(
    folder: Path, content: bytes
) -> None:
    job, seen = RehearsedJob(), []
    script = Script(gives(content, piece=65_536, on_read=lambda: seen.append(package.names(folder / "templates"))))
    answer = await arriving.upload_template(upload(content), host(folder, content, job, script))
    assert job.answers == [answer] == [Upload(job.id, f"/transfers/{job.id}")]
    assert seen
    assert all(listed == [] for listed in seen)
    assert await names(folder) == ["a"]
    assert left_in(folder) == ["a.ova"]
    async with package.opened(folder / "templates", "a") as opened:
        assert opened.appliance.name == "small"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        (member(b"a.ovf") + member(b"/etc/cron.d/evil", b"x") + bytes(1024), r"'/etc/cron\.d/evil'"),
        (member(b"evil", kind=b"2", link=b"/etc/shadow") + bytes(1024), "'evil' is a symbolic link"),
        (header(b"evil", raw_size=b"\x80" + (2**63).to_bytes(11)) + bytes(1024), "'evil' has a size"),
        (b"\x1f\x8b\x08" + bytes(600), "packed by gzip"),
        (b"an HTML page that says: not found", "ends in the midst of a member"),
    ],
)
async def test_a_hostile_one_is_refused_by_what_is_wrong_with_it_and_leaves_nothing(
    folder: Path, hostile: bytes, shown: str
) -> None:
    with pytest.raises(Unusable, match=f"Template 'a' is refused: .*{shown}"):
        await arriving.upload_template(upload(hostile), host(folder, hostile))
    assert left_in(folder) == []


async def test_one_whose_disk_is_not_that_of_its_manifest_is_refused(folder: Path, content: bytes) -> None:
    """It has the right checksum as a whole: whoever packed it has it wrong already."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        disk = archive.getmember("disk1.vmdk")
    at = disk.offset_data + disk.size - 1
    damaged = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    with pytest.raises(Unusable, match=r"its file 'disk1\.vmdk' was changed or damaged"):
        await arriving.upload_template(upload(damaged), host(folder, damaged))
    assert left_in(folder) == []


async def test_half_of_one_is_none(folder: Path, content: bytes) -> None:
    half = content[: len(content) // 2]
    with pytest.raises(Unusable, match="not in the archive"):
        await arriving.upload_template(upload(half), host(folder, half))
    assert left_in(folder) == []


async def test_a_name_that_is_a_directorys_is_taken_too(folder: Path, content: bytes) -> None:
    (folder / "templates/a").mkdir()
    job = RehearsedJob()
    with pytest.raises(AlreadyThere, match="There is a template 'a' already"):
        await arriving.upload_template(upload(content), host(folder, content, job))
    assert job.answers == []

    def take() -> None:
        (folder / "templates/b").mkdir(exist_ok=True)

    script = Script(gives(content, piece=65_536, on_read=take))
    with pytest.raises(AlreadyThere, match="There is a template 'b' already"):
        await arriving.upload_template(upload(content, "b"), host(folder, content, script=script))
    assert left_in(folder) == []


async def test_it_may_be_broken_off_anywhere_and_is_gone_on_with(folder: Path, content: bytes) -> None:
    for point in range(1, 60):
        job, name = RehearsedJob(break_at=point), f"t{point}"
        try:
            await arriving.upload_template(upload(content, name), host(folder, content, job))
        except Crash:
            assert name not in await names(folder) or "placed" in "".join(job.records)
            again = RehearsedJob(job.records)
            await arriving.upload_template(upload(content, name), host(folder, content, again))
        else:
            break
        assert (folder / f"templates/{name}.ova").read_bytes() == content
    assert point > 10
    assert await names(folder) == sorted(f"t{number}" for number in range(1, point + 1))
    assert len(left_in(folder)) == point


async def test_plain_http_needs_a_checksum(folder: Path) -> None:
    op = arrivals.FetchTemplate("a", "http://mirror.example/a.ova")
    with pytest.raises(NotFetched, match="give its checksum"):
        await arriving.fetch_template(op, host(folder, b""))
