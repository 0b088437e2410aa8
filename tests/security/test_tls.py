"""How callers reach the server: TLS 1.2 or 1.3, with ciphers that keep their secrets, and in no other way."""

import contextlib
import socket
import ssl
import struct
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.bus import pinning
from tests.security.served import Served
from tests.security.wire import Connection, request, written
from tests.server.rig import Seed


@pytest.fixture(scope="module")
def served(seed: Seed) -> Iterator[Served]:
    """One for all of these: they leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix="oms-") as folder, Served(seed, Path(folder)) as running:
        yield running


def only(version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    """A client that speaks one version and nothing else, however weak."""
    context = pinning.unverified()
    context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that they are old is why
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(served: Served, version: ssl.TLSVersion) -> None:
    with pytest.raises((ssl.SSLError, ConnectionResetError)), served.connect(context=only(version)):
        pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_new_versions_are_spoken_with_secrets_that_die_with_the_connection(
    served: Served, version: ssl.TLSVersion
) -> None:
    """Whatever weaker ones a client prefers."""
    with served.connect(context=only(version)) as caller:
        name, spoken, bits = caller.tls.cipher() or ("", "", 0)
        assert name.startswith(("ECDHE-", "TLS_"))
        assert "GCM" in name or "CHACHA20" in name
        assert bits >= 128
        assert spoken == caller.tls.version() == version.name.replace("TLSv1_", "TLSv1.")
        assert caller.tls.compression() is None
        assert caller.call("authservices.checksessid", "x")["error"]["name"] == "AuthError"


@pytest.mark.parametrize(
    "cipher",
    [
        "AES128-SHA",
        "ECDHE+AES128+SHA256",
        "ECDHE+AESCCM8",
        "AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-SHA",
        "NULL",
        "aNULL",
        "PSK",
    ],
)
def test_a_client_that_can_only_do_worse_is_refused(served: Served, cipher: str) -> None:
    try:
        context = only(ssl.TLSVersion.TLSv1_2, f"{cipher}:@SECLEVEL=0")
    except ssl.SSLError:
        pytest.skip("this machine's own TLS does not know that cipher any more")
    with pytest.raises((ssl.SSLError, ConnectionResetError)), served.connect(context=context):
        pass


def test_a_client_cannot_begin_the_handshake_anew_within_a_connection(served: Served) -> None:
    """Each would cost the server a signature for a few bytes of the client's."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{served.port}", "-tls1_2"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.STDOUT) as client:
        said, _ = client.communicate(b"R\n", timeout=60)
    assert b"RENEGOTIATING" in said
    assert b"no renegotiation" in said
    with served.connect() as caller:
        assert caller.call("authservices.checksessid", "x")["error"]["name"] == "AuthError"


@pytest.mark.parametrize(
    "what", [request("GET", "/"), b"\x16\x03\x01\xff\xff", bytes(1000), b"\x80\x2e\x01\x00\x02"]
)
def test_without_tls_nothing_is_answered(served: Served, what: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=2) as plain:
        plain.sendall(what)
        plain.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = plain.recv(1000)
    assert b"HTTP" not in answer
    assert answer == b"" or answer[0] == 0x15  # a TLS alert


def test_connections_that_break_off_anywhere_leave_nothing_behind(served: Served) -> None:
    for length in (0, 1, 5, 6, 50, 150):
        hello = _client_hello()[:length]
        with socket.create_connection(("127.0.0.1", served.port)) as plain:
            plain.sendall(hello)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
    for _ in range(20):
        caller = Connection(served.port)
        caller.send(request("POST", "/", written("authservices.checksessid", ["x"])))
        caller.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.close()
    with served.connect() as caller:
        assert caller.call("authservices.checksessid", "x")["error"]["name"] == "AuthError"


def _client_hello() -> bytes:
    out = ssl.MemoryBIO()
    client = pinning.unverified().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


PATHS = (
    *(
        "/../server/tls/web.key",
        "/..%2fserver%2foms.db",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
    ),
    *("/ca.pem/../web.key", "/ca.pem%00.key", "/ca.key", "/server-ca.key", "/host-ca.key", "/signer/", "/oms.db"),
    *(
        "/enrol/../ca.pem",
        "/.git/config",
        "/audit.log",
        "/%63a.pem/",
        "/ca.pem/",
        "/enrol/renew/..",
        "/%00",
        "/%ff",
    ),
)


def test_no_file_is_served(served: Served) -> None:
    """The only thing that lies in a file and may be had is the CA's certificate, and that is kept in memory."""
    with served.connect() as caller:
        for path in PATHS:
            reply = caller.ask("GET", path)
            assert (reply.status, reply.body) == (404, b"There is nothing here."), path


def test_the_page_of_the_ca_has_the_certificate_and_no_key(served: Served) -> None:
    with served.connect() as caller:
        reply = caller.ask("GET", "/ca.pem")
    assert reply.body.decode() == served.oms.seed.trust.server_ca
    assert b"KEY" not in reply.body
