"""Real hypervisors for tests: a libvirtd of the run's own, and guests on it."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

import libvirt
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from oms.agent.guests.libvirt import LibvirtMachines
from tests.gui.gui import Gui
from tests.hosts import examples, guest_agent
from tests.hosts.browser import browser
from tests.hosts.guest_agent import with_agent
from tests.hosts.guest_image import GuestImage
from tests.hosts.guest_image import guest_image as built_image
from tests.hosts.guests import Guest, domain_xml
from tests.hosts.kvm_machines import connected, emptied
from tests.hosts.libvirtd import PrivateLibvirtd, why_not
from tests.hosts.ordeal import Ordeal, left_behind, prepared
from tests.hosts.stack import Caller, Stack

expect.set_options(timeout=60_000)  # a busy machine may take its time


class MakeDomain(Protocol):
    """What the fixture `make_domain` is."""

    def __call__(
        self,
        name: str,
        memory_mb: int = 96,
        vcpu: int = 1,
        disk: Path | None = None,
        *,
        boot: bool = True,
        agent: bool = False,
        words: tuple[str, ...] = (),
    ) -> Guest:
        """Define a guest, which is removed when the test ends; nothing is started.

        `boot`: once started it boots the tiny guest (96 MB is the least that takes), else its firmware finds
        nothing to boot and idles. `disk`: a qcow2 (by its suffix) or raw file, its first virtio disk. `agent`:
        with qemu-guest-agent in it (128 MB is the least then). `words`: what else the guest is to do, see
        `guest_image`.
        """


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for a real libvirtd carries the mark, so that `-m "not hosts"` leaves all of it out."""
    for item in items:
        if {"libvirtd", "second_libvirtd", "make_libvirtd", "ordeal"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("hosts")


_skipped: set[str] = set()
"""Files of which a test was skipped."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what did not run."""
    if report.skipped:
        _skipped.add(Path(report.location[0]).name)


@pytest.fixture(scope="module", autouse=True)
def examples_are_made_here(request: pytest.FixtureRequest) -> Iterator[None]:
    """The reference's examples that name this file are calls which its tests make, where all of them ran well."""
    file, failed = request.path.name, request.session.testsfailed
    examples.WITNESS.file = file
    yield
    words = request.config.args
    if (
        request.session.testsfailed > failed
        or request.config.option.keyword
        or any("::" in word for word in words)
    ):
        return
    if examples.REWRITE:
        examples.WITNESS.rewrite(file)
    assert list(examples.WITNESS.faults(file, examples.load())) == []


@pytest.fixture(scope="session")
def real_parts() -> None:
    """Skips, saying why, where no hypervisor can be started."""
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def libvirtd(real_parts: None) -> Iterator[PrivateLibvirtd]:
    """One libvirtd for the whole run. A test that kills its libvirtd asks for `make_libvirtd` instead."""
    # Not tmp_path: a socket's path has 107 bytes, and a long test name would eat them.
    with tempfile.TemporaryDirectory(prefix="oms-libvirtd-") as root, PrivateLibvirtd(Path(root)) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def second_libvirtd(real_parts: None) -> Iterator[PrivateLibvirtd]:
    """That of another host, for machines that move."""
    with tempfile.TemporaryDirectory(prefix="oms-libvirtd-") as root, PrivateLibvirtd(Path(root)) as daemon:
        yield daemon


@pytest.fixture
def make_libvirtd(real_parts: None) -> Iterator[Callable[[], PrivateLibvirtd]]:
    """Start further private libvirtds; the end of the test ends them and their guests."""
    with ExitStack() as ends:

        def make() -> PrivateLibvirtd:
            root = ends.enter_context(tempfile.TemporaryDirectory(prefix="oms-libvirtd-"))
            return ends.enter_context(PrivateLibvirtd(Path(root)))

        yield make


@pytest.fixture(scope="session")
def guest_image(real_parts: None) -> GuestImage:
    """The kernel and initramfs of the tiny guest."""
    return built_image()


@pytest.fixture
def make_domain(libvirtd: PrivateLibvirtd, guest_image: GuestImage, tmp_path: Path) -> Iterator[MakeDomain]:
    """Define guests on the run's libvirtd."""
    with ExitStack() as ends:
        connection = libvirtd.connect()
        ends.callback(connection.close)

        def make(
            name: str,
            memory_mb: int = 96,
            vcpu: int = 1,
            disk: Path | None = None,
            *,
            boot: bool = True,
            agent: bool = False,
            words: tuple[str, ...] = (),
        ) -> Guest:
            console = tmp_path / f"{name}.console"
            image = guest_image if boot else None
            xml = domain_xml(
                name,
                memory_mb=memory_mb,
                vcpu=vcpu,
                console=console,
                disk=disk,
                image=with_agent(guest_image) if agent else image,
                words=words,
                devices=guest_agent.DEVICE if agent else "",
            )
            guest = Guest(connection.defineXML(xml), console)
            ends.callback(guest.remove)
            return guest

        yield make


@pytest.fixture
def virt(libvirtd: PrivateLibvirtd) -> Iterator[libvirt.virConnect]:
    """A connection to the run's libvirtd; whatever machines it has when the test ends are removed."""
    with emptied(libvirtd.uri) as connection:
        yield connection


@pytest.fixture
async def machines(libvirtd: PrivateLibvirtd) -> AsyncIterator[LibvirtMachines]:
    """The run's libvirtd as an agent has it."""
    async with connected(libvirtd.uri) as port:
        yield port


@pytest.fixture(scope="module")
def oms(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A whole OMS with the run's libvirtd for its host, as it is where nobody has set anything. A module that
    wants another one makes its own, by this name."""
    with Stack(tmp_path_factory.mktemp("oms"), libvirtd.uri) as stack:
        yield stack


@pytest.fixture
def caller(oms: Stack) -> Iterator[Caller]:
    """A client of that OMS, logged in as its administrator."""
    with closing(oms.caller()) as made:
        yield made


@pytest.fixture(scope="module")  # its event loop stands in the way of other tests
def chromium() -> Iterator[BrowserContext]:
    """A browser of the module's own."""
    with browser(width=1280, height=800) as context:
        yield context


@pytest.fixture
def page(chromium: BrowserContext) -> Iterator[Page]:
    """A tab with nothing in it yet."""
    made = chromium.new_page()
    yield made
    made.close()


@pytest.fixture
def gui(oms: Stack, chromium: BrowserContext) -> Iterator[Gui]:
    """A tab of the GUI of the module's OMS. Whatever the browser complains of fails the test."""
    tab = Gui(oms.port, chromium.new_page())
    tab.page.set_default_timeout(60_000)
    yield tab
    tab.page.close()
    assert tab.complaints == []


@pytest.fixture(scope="session")
def ordeal(real_parts: None) -> Iterator[Ordeal]:
    """The OMS that trouble is tried on."""
    with tempfile.TemporaryDirectory(prefix="oms-faults-") as name:
        with prepared(Path(name)) as it:
            yield it
        assert left_behind(Path(name)) == []
