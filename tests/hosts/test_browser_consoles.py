"""Consoles as a person has them: the documented addresses, opened in a real browser."""

import contextlib
import random
import re
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from tests.hosts.browser import browser
from tests.hosts.guests import domain_xml
from tests.hosts.impostor import in_place_of, screen_socket
from tests.hosts.kvm_machines import emptied
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.sshd import PrivateSshd
from tests.hosts.stack import NAME, Caller, Stack
from tests.waiting import until

pytestmark = pytest.mark.hosts
SCREEN = "<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>"
MENU = "<os><bootmenu enable='yes' timeout='65535'/>"
LIT = """() => {
  const canvas = document.querySelector("#view canvas");
  if (!canvas || !canvas.width) return 0;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let lit = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i] + data[i + 1] + data[i + 2] > 200) lit++;
  return lit;
}"""
"""How many points of the screen are not dark."""


@pytest.fixture(scope="module")
def sshd(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    with PrivateSshd(tmp_path_factory.mktemp("sshd"), libvirtd) as made:
        yield made


class Everywhere(Stack):
    """At addresses of IPv6 too."""

    def __init__(self, directory: Path, libvirt_uri: str, **agent_settings: str) -> None:
        super().__init__(directory, libvirt_uri, **agent_settings)
        self._others["server"] = {
            "OMS_LISTEN": f"[::]:{self.port}",
            "OMS_CONSOLES_LISTEN": f"[::]:{self.pages_port}",
        }


@pytest.fixture(scope="module")
def oms(libvirtd: PrivateLibvirtd, sshd: PrivateSshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Everywhere(tmp_path_factory.mktemp("oms"), libvirtd.uri, **sshd.agent_settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def chromium() -> Iterator[BrowserContext]:
    with browser() as context:
        yield context


@pytest.fixture
def caller(oms: Stack) -> Iterator[Caller]:
    with contextlib.closing(oms.caller()) as made:
        yield made
        made.call("authservices", "deauthenticate", made.sessid)


@pytest.fixture(scope="module")
def machine(libvirtd: PrivateLibvirtd, oms: Stack) -> Iterator[libvirt.virDomain]:
    """A machine whose firmware waits for a key, and shows a menu then."""
    with emptied(libvirtd.uri) as virt:
        disk = oms.directory / "empty.img"
        disk.write_bytes(bytes(1024 * 1024))
        console = oms.directory / "console"
        xml = domain_xml("winxp2", memory_mb=64, vcpu=1, console=console, disk=disk, image=None, devices=SCREEN)
        made = virt.defineXML(xml.replace("<os>", MENU))
        made.create()
        yield made


def set_up(caller: Caller) -> str:
    port: str = caller.call("kvmservices", "set_up_vnc_connection", caller.sessid, 0, NAME, "winxp2")
    return port


def test_the_documented_address_shows_the_screen_and_takes_keys(
    oms: Stack, caller: Caller, page: Page, machine: libvirt.virDomain, tmp_path: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    port = set_up(caller)
    page.goto(f"https://127.0.0.1:{oms.pages_port}/vnc.html?SESSID={caller.sessid}&host=127.0.0.1&port={port}")
    until(lambda: page.evaluate(LIT) > 500)  # the firmware's words
    assert caller.sessid not in page.url
    expect(page).to_have_title(f"winxp2 on {NAME}")
    before = page.evaluate(LIT)
    page.locator("#view canvas").click()
    page.keyboard.press("Escape")
    until(lambda: page.evaluate(LIT) > before * 1.5)  # its menu
    page.screenshot(path=tmp_path / "screen.png")
    sockets = [url for url in asked if url.startswith("wss:")]
    assert len(sockets) == 1
    assert sockets[0].startswith(f"wss://127.0.0.1:{port}/?ticket=")
    assert [url for url in asked[1:] if caller.sessid in url] == []


def test_it_does_so_at_an_address_of_ipv6(
    oms: Stack, caller: Caller, page: Page, machine: libvirt.virDomain
) -> None:
    port = set_up(caller)
    with page.expect_websocket() as socket:
        page.goto(f"https://[::1]:{oms.pages_port}/vnc.html?SESSID={caller.sessid}&host=[::1]&port={port}")
    assert socket.value.url.startswith(f"wss://[::1]:{port}/?ticket=")
    until(lambda: page.evaluate(LIT) > 500)


@pytest.mark.parametrize(
    "said", ["host=evil.example&port={}", "host=127.0.0.1&port=443", "host=127.0.0.1&port=22"]
)
def test_an_address_of_somebody_elses_making_connects_to_nothing(
    oms: Stack, caller: Caller, page: Page, machine: libvirt.virDomain, said: str
) -> None:
    """S-WS-4."""
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    port = set_up(caller)
    page.goto(f"https://127.0.0.1:{oms.pages_port}/vnc.html?SESSID={caller.sessid}&{said.format(port)}")
    expect(page.locator("#notice")).to_contain_text("This ")
    assert sockets == []
    assert caller.sessid not in page.url


def test_a_terminal_takes_commands_and_survives_a_reload(
    oms: Stack, caller: Caller, page: Page, tmp_path: Path
) -> None:
    port = caller.call("sshservices", "set_up_ssh_connection", caller.sessid, 0, NAME)
    page.goto(f"https://127.0.0.1:{port}/?SESSID={caller.sessid}")
    rows = page.locator(".xterm-rows")
    expect(rows).to_contain_text("#", timeout=60_000)
    assert caller.sessid not in page.url
    page.keyboard.type("echo $((6*7))-häh; stty size\n")
    expect(rows).to_contain_text("42-häh", timeout=60_000)
    page.screenshot(path=tmp_path / "terminal.png")
    page.reload()
    expect(rows).to_contain_text("42-häh", timeout=60_000)
    caller.call("sshservices", "remove_session_ssh_connections", caller.sessid, 0)
    expect(page.locator("#notice")).to_contain_text("removed")


def test_both_go_through_the_one_port_too(
    oms: Stack, caller: Caller, page: Page, machine: libvirt.virDomain
) -> None:
    port = set_up(caller)
    page.goto(f"https://127.0.0.1:{oms.port}/console/vnc.html?SESSID={caller.sessid}&port={port}")
    until(lambda: page.evaluate(LIT) > 100)
    shell = caller.call("sshservices", "set_up_ssh_connection", caller.sessid, 0, NAME)
    page.goto(f"https://127.0.0.1:{oms.port}/console/terminal.html?SESSID={caller.sessid}&port={shell}")
    expect(page.locator(".xterm-rows")).to_contain_text("#", timeout=60_000)


def test_a_connection_that_keeps_breaking_is_made_anew_less_and_less_often_and_then_when_asked(
    oms: Stack, caller: Caller, page: Page
) -> None:
    """Each is open for a moment, so that none of them failed by itself."""
    tries: list[WebSocketRoute] = []
    breaks = True

    def come(line: WebSocketRoute) -> None:
        if breaks:
            tries.append(line)
            line.close(code=3000, reason="broken")
        else:
            line.connect_to_server()

    page.clock.install()
    page.route_web_socket("**/*ticket=*", come)
    shell = caller.call("consoleservices", "open_console", caller.sessid, 0, NAME, "ssh")
    page.goto(f"https://127.0.0.1:{oms.port}{shell['page']}&SESSID={caller.sessid}")
    notice, again = page.locator("#notice"), page.get_by_role("button", name="Try again")
    minutes = 0.0
    counted = []
    while not again.is_visible():
        page.clock.run_for(2500)
        minutes += 2.5 / 60
        counted.append(len(tries))
        expect(notice).not_to_contain_text("Connecting …", timeout=30_000)
    assert 1.5 < minutes < 5
    assert len(tries) == 10
    assert counted[len(counted) // 4] > 5  # most of them soon
    expect(page.locator("body")).to_have_attribute("data-state", "closed")
    page.clock.run_for(600_000)
    assert len(tries) == 10  # nobody asked
    breaks = False
    again.click()
    expect(page.locator(".xterm-rows")).to_contain_text("#", timeout=30_000)
    expect(page.locator("body")).to_have_attribute("data-state", "open")
    expect(notice).to_be_hidden()
    caller.call("consoleservices", "close_console", caller.sessid, 0, shell["id"])


def test_who_is_logged_out_is_shown_the_way_to_log_in(oms: Stack, page: Page) -> None:
    page.goto(f"https://127.0.0.1:{oms.port}/console/terminal.html?console={'0' * 32}&SESSID=nobody")
    expect(page.locator("#notice")).to_contain_text("Your session has ended", timeout=30_000)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/ui/**", timeout=30_000)


def test_a_text_and_a_chord_are_typed_key_by_key(
    oms: Stack, caller: Caller, page: Page, machine: libvirt.virDomain
) -> None:
    sent = bytearray()

    def hear(frame: bytes | str) -> None:
        data = frame if isinstance(frame, bytes) else frame.encode()
        if data[0] in (KEY_KIND, KEY_OF_QEMU_KIND):  # the screen is asked for anew between keys
            sent.extend(data)

    page.on("websocket", lambda line: line.on("framesent", hear))
    port = set_up(caller)
    page.goto(f"https://127.0.0.1:{oms.pages_port}/vnc.html?SESSID={caller.sessid}&port={port}")
    until(lambda: page.evaluate(LIT) > 100)
    page.set_viewport_size({"width": 1000, "height": 700})
    page.mouse.move(960, 5)  # where the handle of the toolbar is
    page.get_by_role("button", name="Type text").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("aB\n")
    page.get_by_role("button", name="Type it").click()
    keys: list[tuple[int, str | int]] = [
        (1, "a"),
        (0, "a"),
        (1, SHIFT),
        (1, "B"),
        (0, "B"),
        (0, SHIFT),
        (1, RETURN),
        (0, RETURN),
    ]
    until_told(page, lambda: pressed(*keys) in bytes(sent))
    page.get_by_label("Keys …").select_option("Alt-F4")
    until_told(page, lambda: bytes(sent).endswith(KEY_OF_QEMU.pack(KEY_OF_QEMU_KIND, 0, 0, ALT, ALT_CODE)))
    expect(page.locator("#view canvas")).to_be_focused()


def until_told(page: Page, true: Callable[[], bool]) -> None:
    """Of what a page does the browser tells only while it is asked something."""

    def asked() -> bool:
        page.evaluate("0")
        return true()

    until(asked)


KEY_KIND, KEY_OF_QEMU_KIND = 4, 255
ALT, ALT_CODE, SHIFT, RETURN = 0xFFE9, 0x38, 0xFFE1, 0xFF0D
KEY, KEY_OF_QEMU = struct.Struct(">BBxxI"), struct.Struct(">BBHII")
"""Messages of RFB: a key by its meaning, a key by its place as well."""


def pressed(*keys: tuple[int, str | int]) -> bytes:
    """As a browser says it: down or up, and which."""
    return b"".join(KEY.pack(KEY_KIND, down, ord(key) if isinstance(key, str) else key) for down, key in keys)


def test_letters_of_a_terminal_are_made_larger_and_what_is_selected_is_copied_when_asked(
    oms: Stack, caller: Caller, page: Page
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shell = caller.call("consoleservices", "open_console", caller.sessid, 0, NAME, "ssh")
    page.goto(f"https://127.0.0.1:{oms.port}{shell['page']}&SESSID={caller.sessid}")
    rows = page.locator(".xterm-rows")
    expect(rows).to_contain_text("#", timeout=30_000)
    columns = "stty size | cut -d' ' -f2"
    page.keyboard.type(f"clear; echo wide-$({columns})-\n")
    expect(rows).to_contain_text(re.compile(r"wide-\d+-"), timeout=30_000)
    wide = int(re.findall(r"wide-(\d+)-", rows.inner_text())[0])
    for _ in range(6):
        page.get_by_role("button", name="A+").evaluate("button => button.click()")
    page.keyboard.type(f"clear; echo wider-$({columns})-\n")
    expect(rows).to_contain_text(re.compile(r"wider-\d+-"), timeout=30_000)
    assert int(re.findall(r"wider-(\d+)-", rows.inner_text())[0]) < wide * 0.9
    page.locator(".xterm-screen").dblclick(position={"x": 20, "y": 8})
    page.keyboard.press("Control+Shift+KeyC")
    until(lambda: "wider" in page.evaluate("navigator.clipboard.readText()"))
    caller.call("consoleservices", "close_console", caller.sessid, 0, shell["id"])


HOSTILE_NAME = b'"><script>document.title="owned"</script>'
CLIPBOARD = """
window.pasted = [];
Object.defineProperty(navigator, "clipboard", { value: {
  writeText: async (text) => { window.pasted.push(text); }, write: async (items) => { window.pasted.push(items); },
  readText: async () => "", read: async () => [] } });
"""
"""What a page puts into the clipboard is seen in `pasted`."""


def hostile_screen(sock: socket.socket) -> None:
    """A handshake with a name that is a script; text for the clipboard; then a picture of 16 GiB, and noise."""
    for said, answered in ((b"RFB 003.008\n", 12), (b"\x01\x01", 1), (bytes(4), 1)):
        sock.sendall(said)
        sock.recv(answered, socket.MSG_WAITALL)
    form = b"\x20\x18\x00\x01\x00\xff\x00\xff\x00\xff\x10\x08\x00\x00\x00\x00"
    sock.sendall(b"\x00\x40\x00\x40" + form + len(HOSTILE_NAME).to_bytes(4) + HOSTILE_NAME)
    sock.sendall(b"\x03\x00\x00\x00\x00\x00\x00\x05owned")
    sock.sendall(b"\x00\x00\x00\x01" + bytes(4) + b"\xff\xff\xff\xff" + bytes(4))
    sock.sendall(random.Random(6).randbytes(1024 * 1024))


def noisy_screen(sock: socket.socket) -> None:
    """Noise from the first byte on."""
    sock.sendall(random.Random(7).randbytes(64 * 1024))


def test_a_page_outlives_a_screen_that_says_anything_at_all(
    oms: Stack, caller: Caller, page: Page, machine: libvirt.virDomain, libvirtd: PrivateLibvirtd
) -> None:
    """S-WS-6."""
    page.add_init_script(CLIPBOARD)
    port = set_up(caller)
    for screen in (hostile_screen, noisy_screen):
        with in_place_of(screen_socket(libvirtd, machine), screen):
            page.goto(f"https://127.0.0.1:{oms.pages_port}/vnc.html?SESSID={caller.sessid}&port={port}")
            expect(page.locator("#notice")).not_to_be_empty(timeout=60_000)  # it says that it has ended
            assert page.title() in (f"winxp2 on {NAME}", "Console")
            assert page.evaluate("[window.pasted, document.scripts.length]") == [[], 1]
    page.goto(f"https://127.0.0.1:{oms.pages_port}/vnc.html?SESSID={caller.sessid}&port={port}")
    until(lambda: page.evaluate(LIT) > 100)  # the true one is shown again


def test_a_page_outlives_a_terminal_that_says_anything_at_all(
    oms: Stack, caller: Caller, page: Page, tmp_path: Path
) -> None:
    """S-WS-6: every sequence that there is, with titles and texts for the clipboard among them."""
    page.add_init_script(CLIPBOARD)
    strings = [b"\x1b]%d;<script>owned</script>\x07" % number for number in range(150)]
    strings += [b"\x1b]52;c;b3duZWQ=\x1b\\", b"\x1bPowned\x1b\\", b"\x1b_owned\x1b\\", b"\x9d2;owned\x9c"]
    finals = [b"\x1b[%s%s%c" % (front, what, end) for end in range(0x40, 0x7F) for front, what in FRONTS]
    everything = tmp_path / "everything"
    everything.write_bytes(b"".join([*strings, *finals, random.Random(8).randbytes(4096)]))
    port = caller.call("sshservices", "set_up_ssh_connection", caller.sessid, 0, NAME)
    page.goto(f"https://127.0.0.1:{port}/?SESSID={caller.sessid}")
    rows = page.locator(".xterm-rows")
    expect(rows).to_contain_text("#", timeout=60_000)
    page.keyboard.type(f"cat {everything}; printf '\\033c'; echo alive-$((6*7))\n")
    expect(rows).to_contain_text("alive-42", timeout=60_000)
    assert page.title() == NAME
    assert page.evaluate("[window.pasted, document.scripts.length]") == [[], 1]
    caller.call("sshservices", "remove_session_ssh_connections", caller.sessid, 0)


FRONTS = ((b"", b""), (b"?", b"1"), (b">", b"99999999999"), (b"", b"4294967296;1"))
"""Of a control sequence: what stands before its numbers, and those."""
