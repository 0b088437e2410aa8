"""Passwords, session ids and keys stand in no log, answer or command line, and in no file that others may read."""

import base64
import contextlib
import json
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.hosts.stack import NAME, PASSWORD
from tests.security.watched import MACHINE, Watched
from tests.security.wire import Connection, request, written

pytestmark = pytest.mark.hosts
RIGHT, WRONG, NEXT, SETTING = (f"marker-{word}-5d1f" for word in ("right", "wrong", "next", "setting"))


def admin(watched: Watched, *words: str, password: str) -> str:
    """What `oms admin` says, given a password on its standard input."""
    command = [sys.executable, "-m", "oms", "admin", *words, "--password", "--data", str(watched.directory)]
    done = subprocess.run(command, input=password + "\n", text=True, check=True, capture_output=True)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def added(watched: Watched) -> str:
    """What was said when the user `marked` was added, with a password that is a marker."""
    return admin(watched, "add-user", "marked", "--role", "admin", password=RIGHT)


def in_an_address(method: str, *params: Any) -> bytes:
    service, _, name = method.rpartition(".")
    return request("GET", f"/?id=7&service={service}&method={name}&params={quote(json.dumps(params))}")


def tried(connection: Connection, sessid: str) -> Iterator[bytes]:
    """The answers to calls, right and wrong, that have a secret in every place where one may stand."""
    secret = {"password": SETTING, "passwd": SETTING, "PassWord": SETTING, "vcpu": SETTING[:5]}
    settings = [sessid, 0, NAME, MACHINE, secret]
    asked = [
        in_an_address("authservices.authenticate", "marked", WRONG),
        in_an_address("authservices.authenticate", "marked", WRONG, WRONG),
        in_an_address("authservices.authenticate", {"password": WRONG}),
        in_an_address("nosuchservices.authenticate", "marked", WRONG),
        in_an_address("authservices.checksessid", sessid),
        in_an_address("authservices.checksessid", sessid, sessid),
        in_an_address("funcservices.list_signed", sessid, -1, sessid),
        in_an_address("kvmservices.start_vm", sessid, 0, "nowhere", "vm1"),
        in_an_address("kvmservices.update_vm_settings", *settings),
        request("POST", "/", written("kvmservices.update_vm_settings", settings)),
        request("POST", "/", written("kvmservices.update_vm_settings", [*settings, SETTING])),
        request(
            "POST", "/", written("kvmservices.update_vm_settings", [sessid, 0, NAME, MACHINE, {"a": [secret]}])
        ),
        request("POST", "/", written("authservices.authenticate", ["marked", [WRONG]])),
        request(
            "POST", "/", written("authservices.authenticate", {"username": "marked", "password": {"a": WRONG}})
        ),
        request("POST", "/", b'{"service": "authservices", "params": ["' + WRONG.encode()),
        request("POST", "/", json.dumps([{"jsonrpc": "2.0", "method": "x.y", "params": [sessid]}] * 3).encode()),
        request("GET", f"/?{sessid}={WRONG}"),
        request("GET", f"/{sessid}/{WRONG}"),
        request("GET", f"/?params=[{quote(json.dumps(sessid))}", headers={"host": "evil.example"}),
        request("PUT", "/", headers={"authorization": f"Bearer {sessid}", "cookie": f"SESSID={sessid}"}),
        f"GET /{sessid} HTTP/9.9\r\n{WRONG}\r\n\r\n".encode(),
    ]
    for data in asked:
        reply = connection.send(data).reply()
        assert reply is not None
        yield reply.body


def test_no_secret_that_a_caller_or_an_operator_uses_is_written_anywhere(watched: Watched, added: str) -> None:
    with watched.connect() as connection:
        sessid = connection.call("authservices.authenticate", "marked", RIGHT)["result"]["result"]
        answers = list(tried(connection, sessid))
    said = added + admin(watched, "reset-password", "marked", password=NEXT)
    with watched.connect() as connection:
        again = connection.send(in_an_address("authservices.authenticate", "marked", NEXT)).reply()
        assert again is not None
        other: str = again.json["result"]["result"]
        assert connection.call("authservices.deauthenticate", other)["error"] is None
    secrets = [RIGHT, WRONG, NEXT, SETTING, PASSWORD, sessid, other, watched.honest.sessid, *kept(watched)]
    where = {
        "the answers": b"\n".join(answers).decode(),
        "what the commands say": said,
        "the logs": "".join(path.read_text() for path in (watched.directory / "logs").iterdir()),
        "the audit": b"\n".join(watched.audited()).decode(),
        "command lines": "\n".join(watched.programs()),
        "the bus's own log and settings": "".join(
            path.read_text(errors="replace") for path in (watched.directory / "server" / "bus").iterdir()
            if path.is_file()
        ),
        "the bus's surroundings": Path(f"/proc/{watched.pid('nats')}/environ").read_text(),
    }  # fmt: skip
    assert where["the audit"].count("authservices.authenticate") > 5
    found = [(place, secret) for place, text in where.items() for secret in secrets if secret in text]
    assert found == []


def kept(watched: Watched) -> list[str]:
    """Pieces of the keys that OMS keeps: of authorities, certificates, a host, a host's SSH, the bus's issuer."""
    keys = [path.read_bytes() for path in watched.directory.rglob("*.key")]
    keys += [path.read_bytes() for path in watched.directory.rglob("*.pem") if b"PRIVATE" in path.read_bytes()]
    assert len(keys) >= 4 + 2 + 1
    with contextlib.closing(sqlite3.connect(watched.directory / "server" / "oms.db")) as database:
        keys += [key for (key,) in database.execute("SELECT ssh_private FROM hosts")]
        [(seed,)] = database.execute("SELECT value FROM meta WHERE key = 'bus_issuer'").fetchall()
    return [seed, *(key.split(b"\n")[2].decode() for key in keys)]


def test_the_database_keeps_neither_passwords_nor_session_ids(watched: Watched, added: str) -> None:
    admin(watched, "reset-password", "marked", password=RIGHT)
    caller = watched.caller().log_in("marked", RIGHT)
    with contextlib.closing(caller):
        files = [path.read_bytes() for path in (watched.directory / "server").glob("oms.db*")]
        forms = {
            RIGHT.encode(),
            caller.sessid.encode(),
            caller.sessid.lower().encode(),
            bytes.fromhex(caller.sessid),
        }
        forms |= {base64.b64encode(form) for form in forms}
        assert [form for form in forms for content in files if form in content] == []


def test_nothing_of_ours_is_for_others_to_read(watched: Watched) -> None:
    """The hypervisor's own account passes through the directories of its disks, and sees no names in them."""
    readable = []
    for part in ("server", "signer", "agent", "storage"):
        for path in (watched.directory / part, *(watched.directory / part).rglob("*")):
            found = path.lstat()
            empty = stat.S_ISREG(found.st_mode) and not found.st_size
            if found.st_mode & 0o066 and not stat.S_ISLNK(found.st_mode) and not empty:
                readable.append(f"{path.relative_to(watched.directory)} {found.st_mode:o}")
    assert readable == []


def test_the_server_has_nothing_of_the_signers(watched: Watched) -> None:
    """No open file, no piece of a key in its memory: it asks over a socket, and is answered with certificates."""
    signer = watched.directory / "signer"
    opened = [link.readlink() for link in Path(f"/proc/{watched.pid('server')}/fd").iterdir()]
    assert [path for path in opened if path.is_relative_to(signer)] == []
    memory = b"".join(_memory(watched.pid("server")))
    assert any(form in memory for form in _forms(watched.directory / "server" / "tls" / "web.key")), (
        "its own is there"
    )
    authorities = list(signer.glob("*.pem"))
    assert len(authorities) == 2
    assert [path for path in authorities for form in _forms(path) if form in memory] == []


def _forms(path: Path) -> list[bytes]:
    """A private key as it may lie in a memory: as in its file, and as the number that it is, either way round."""
    text = path.read_bytes()
    key = serialization.load_pem_private_key(text, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    number, length = key.private_numbers().private_value, (key.key_size + 7) // 8
    return [text.split(b"\n")[1], number.to_bytes(length, "big"), number.to_bytes(length, "little")]


def _memory(pid: int) -> Iterator[bytes]:
    """What a process has written in its memory."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for begin, end in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", maps, re.MULTILINE):
            memory.seek(int(begin, 16))
            with contextlib.suppress(OSError):
                yield memory.read(int(end, 16) - int(begin, 16))


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_bug_is_logged_without_the_values_that_it_met(form: str) -> None:
    program = f"""
import structlog
from oms.bus.call import defect
from oms.cli import logs
logs.set_up({form!r})
def login(password):
    hashed = password + "!"
    raise KeyError("users")
try:
    login({RIGHT!r}[:])
except KeyError as bug:
    print(defect(bug, "authservices.authenticate").message)
"""
    done = subprocess.run([sys.executable, "-"], input=program, text=True, check=True, capture_output=True)
    assert "KeyError" in done.stderr
    assert "users" in done.stderr
    assert RIGHT not in done.stderr + done.stdout
