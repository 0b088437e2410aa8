"""Through haproxy as it is documented: calls while a server is stopped, and consoles wherever they are held."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import libvirt
import pytest
from playwright.sync_api import Page, expect

from tests.hosts.balancer import HAPROXY, Balanced
from tests.hosts.browser_socket import ask_ticket, closed, not_let_in, open_socket, said
from tests.hosts.guests import domain_xml
from tests.hosts.kvm_machines import emptied
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.sshd import PrivateSshd
from tests.hosts.stack import NAME, NO_ANSWER, Caller
from tests.hosts.test_browser_consoles import LIT
from tests.server import postgresql
from tests.waiting import until

pytestmark = pytest.mark.hosts
SCREEN = "<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>"
TICKET, SOCKET = "/console/ticket", "/console/ws"


@pytest.fixture(scope="module")
def sshd(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    with PrivateSshd(tmp_path_factory.mktemp("sshd"), libvirtd) as made:
        yield made


@pytest.fixture(scope="module")
def oms(
    libvirtd: PrivateLibvirtd, sshd: PrivateSshd, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balanced]:
    if not HAPROXY.exists():
        pytest.skip("haproxy is not installed")
    with ExitStack() as parts:
        database = parts.enter_context(postgresql.running("fsync=on")).made()
        root = tmp_path_factory.mktemp("oms")
        running = parts.enter_context(Balanced(root, libvirtd.uri, database, **sshd.agent_settings))
        until(lambda: sshd.keys.exists() and "opennode-oms" in sshd.keys.read_text())
        yield running


@pytest.fixture
def caller(oms: Balanced) -> Iterator[Caller]:
    for name in oms.servers:
        if oms.processes[name].poll() is not None:
            oms.start(name)
            oms.wait_for_server(name)
    until(lambda: oms.taken() == set(oms.servers))
    with contextlib.closing(oms.caller()) as made:
        oms.wait_for_host(made)
        yield made
        with contextlib.suppress(*NO_ANSWER):
            made.call("authservices", "deauthenticate", made.sessid)


@pytest.fixture
def screen(libvirtd: PrivateLibvirtd, oms: Balanced) -> Iterator[libvirt.virDomain]:
    with emptied(libvirtd.uri) as virt:
        console = oms.directory / "winxp2.console"
        xml = domain_xml("winxp2", memory_mb=64, vcpu=1, console=console, disk=None, image=None, devices=SCREEN)
        made = virt.defineXML(xml)
        made.create()
        yield made


def opened(caller: Caller, kind: str, guest: str = "") -> dict[str, str]:
    found: dict[str, str] = caller.call(
        "consoleservices", "open_console", caller.sessid, 0, NAME, kind, *([guest] if guest else [])
    )
    return found


def test_a_console_is_had_through_the_server_that_does_not_hold_it(oms: Balanced, caller: Caller) -> None:
    """As a link that is sent to somebody is opened from elsewhere."""
    console = opened(caller, "ssh")
    holder = oms.holder(caller.sessid)
    (other,) = (name for name in oms.servers if name != holder)
    at, port = oms.addresses[other], oms.port

    def asked(wanted: dict[str, str], sessid: str = "") -> tuple[int, object]:
        return ask_ticket(port, sessid, wanted, path=TICKET, address=at)

    status, given = ask_ticket(port, caller.sessid, {"console": console["id"]}, path=TICKET, address=at)
    assert (status, given["title"], given["view_only"]) == (200, NAME, False)
    with open_socket(port, given["ticket"], pages=port, path=SOCKET, address=at) as typed:
        typed.send(b"echo $((6*7)) through\n")
        said(typed, "42 through")
        with contextlib.closing(Caller(port, address=oms.addresses[holder])) as owner:
            link = owner.call("consoleservices", "share_console", caller.sessid, 0, console["id"])
        share = link["page"].partition("#share=")[2]
        status, seen = ask_ticket(port, "", {"share": share}, path=TICKET, address=at)
        assert (status, seen["view_only"]) == (200, True)
        with open_socket(port, seen["ticket"], pages=port, path=SOCKET, address=at) as looked:
            said(looked, "42 through")
        assert not_let_in(port, given["ticket"], pages=port, path=SOCKET, address=at) == 403  # it was used
        assert asked({"console": console["id"]}, "0" * 40)[0] == 401
        oms.kill(holder)
        assert closed(typed) == 4004

    def is_known_to_be_gone() -> bool:
        status, _ = asked({"console": console["id"]}, caller.sessid)
        assert status in (503, 404)  # at first it may only be slow
        return status == 404

    until(is_known_to_be_gone)


def test_a_terminal_whose_server_is_killed_is_opened_again_when_asked(
    oms: Balanced, caller: Caller, page: Page
) -> None:
    console = opened(caller, "ssh")
    page.goto(f"https://{oms.front}:{oms.port}{console['page']}&SESSID={caller.sessid}")
    rows = page.locator(".xterm-rows")
    expect(rows).to_contain_text("#", timeout=60_000)
    page.keyboard.type("echo first-$((6*7))\n")
    expect(rows).to_contain_text("first-42")
    holder = oms.holder(caller.sessid)
    oms.kill(holder)
    expect(page.locator("#notice")).to_contain_text("This terminal is over", timeout=60_000)
    expect(rows).to_contain_text("first-42")
    page.get_by_role("button", name="Open it again").click()
    expect(page.locator("body")).to_have_attribute("data-state", "open", timeout=60_000)
    page.keyboard.type("echo second-$((7*7))\n")
    expect(rows).to_contain_text("second-49")
    assert oms.holder(caller.sessid) != holder
    page.reload()
    expect(rows).to_contain_text("second-49", timeout=60_000)


def test_a_screen_whose_server_is_stopped_is_shown_again_through_another(
    oms: Balanced, caller: Caller, page: Page, screen: libvirt.virDomain
) -> None:
    console = opened(caller, "vnc", "winxp2")
    page.goto(f"https://{oms.front}:{oms.port}{console['page']}&SESSID={caller.sessid}")
    until(lambda: page.evaluate(LIT) > 100)
    holder = oms.holder(caller.sessid)
    oms.kill(holder, signal.SIGTERM)
    until(lambda: console["id"] not in page.evaluate("location.href"))
    expect(page.locator("body")).to_have_attribute("data-state", "open", timeout=60_000)
    until(lambda: page.evaluate(LIT) > 100)
    assert oms.holder(caller.sessid) != holder
    oms.processes[holder].wait(60)


def test_ports_of_consoles_lead_to_the_server_that_lent_them(oms: Balanced, caller: Caller, page: Page) -> None:
    port = caller.call("sshservices", "set_up_ssh_connection", caller.sessid, 0, NAME)
    page.goto(f"https://{oms.front}:{port}/?SESSID={caller.sessid}")
    rows = page.locator(".xterm-rows")
    expect(rows).to_contain_text("#", timeout=60_000)
    page.keyboard.type("echo port-$((6*7))\n")
    expect(rows).to_contain_text("port-42")


def test_a_call_that_takes_long_is_answered_by_a_server_that_is_being_stopped(
    oms: Balanced, caller: Caller
) -> None:
    answers: list[object] = []
    opened(caller, "ssh")
    holder = oms.holder(caller.sessid)  # where this caller's calls are answered
    with oms.hung("agent"):
        asking = threading.Thread(target=lambda: answers.append(caller.kvm("list_vms_status")))
        asking.start()
        asking.join(0.5)
        oms.kill(holder, signal.SIGTERM)
        asking.join(6)  # haproxy has looked three times since
    asking.join()
    assert answers == [{}]
