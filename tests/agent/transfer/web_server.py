"""A real web server for tests, on loopback: gives one file in the ways that good and bad servers do."""

import contextlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Web:
    """What the server does; a test changes it while it runs."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.etag = '"v1"'
        self.ranges = True
        self.cut_after: list[int] = []
        """Of each answer in turn, after how many bytes the connection is cut."""
        self.chunked = False
        self.says_length = True
        self.encoding = ""
        self.status: list[int] = []
        """Of the first answers, in place of the file."""
        self.location = ""
        self.asked: list[tuple[str, dict[str, str]]] = []
        """Path and headers of each request."""
        self.url = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        web = self.web
        self.asked = {name.lower(): value for name, value in self.headers.items()}
        web.asked.append((self.path, self.asked))
        if web.location and self.path != "/there":
            self._head(302, {"Location": web.location, "Content-Length": "0"})
        elif web.status:
            self._head(web.status.pop(0), {"Content-Length": "0"})
        else:
            self._give()

    def _give(self) -> None:
        web, offset = self.web, 0
        given = self.asked.get("range", "")
        if web.ranges and given and self.asked.get("if-range") == web.etag:
            offset = int(given.removeprefix("bytes=").removesuffix("-"))
        body = web.content[offset:]
        headers = {"ETag": web.etag} if web.etag else {}
        if web.encoding:
            headers["Content-Encoding"] = web.encoding
        if offset:
            headers["Content-Range"] = f"bytes {offset}-{len(web.content) - 1}/{len(web.content)}"
        if web.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif web.says_length:
            headers["Content-Length"] = str(len(body))
        self._head(206 if offset else 200, headers)
        cut = web.cut_after.pop(0) if web.cut_after else len(body)
        for place in range(0, cut, 7_000):
            piece = body[place : min(place + 7_000, cut)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if web.chunked else piece)
        if cut < len(body):
            self.close_connection = True
        elif web.chunked:
            self.wfile.write(b"0\r\n\r\n")
        elif not web.says_length:
            self.close_connection = True

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Callers hang up here on purpose."""


@contextlib.contextmanager
def serving(content: bytes, certificate: Path | None = None) -> Iterator[Web]:
    """A server; with a certificate (PEM with its key) it speaks https."""
    web = Web(content)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"web": web}))
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    web.url = f"{scheme}://mirror.example:{server.server_address[1]}/a.iso"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def self_signed(path: Path, name: str) -> Path:
    """A certificate for that name, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    moment = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(moment - timedelta(days=1)).not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path
