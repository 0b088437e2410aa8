"""Where browsers come to consoles: pages, tickets, WebSockets.

Three kinds of places, as the API's document has them: the page server's port with `/vnc.html`; a port for each
screen, which takes WebSockets; a port for each terminal, which has the page at `/` and takes WebSockets. All of it
is at the main address too, below `/console/`.

What another server holds goes on to it (`elsewhere`).

A page trades the SESSID for a ticket, which lets one WebSocket in. A WebSocket is opened only for a page of ours:
a browser says of which page it is, and whoever says nothing is no browser.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from oms.contract.errors import AuthError
from oms.server.audit import Audit, Line
from oms.server.consoles.console import Console
from oms.server.consoles.consoles import Consoles
from oms.server.consoles.relay import Socket
from oms.server.consoles.tickets import Ticket
from oms.server.edge.assets import FOR_GOOD, Assets
from oms.server.edge.detour import ONCE_REMOVED
from oms.server.edge.elsewhere import Elsewhere, passed_on
from oms.server.edge.http import ALWAYS, Answered, Headers, Receive, Scope, Send, bearer, body
from oms.server.sessions import Sessions
from oms.server.store.moments import moment, now

PATH = "/console"
"""In front of everything at the main address."""
SOCKET = "/ws"
PAGES = {"/vnc.html": "vnc.html", "/terminal.html": "terminal.html"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
REFUSED: Answered = 403, [(b"content-type", b"text/plain; charset=utf-8"), *ALWAYS], b"That is not allowed."
_TEXT = [(b"content-type", b"text/plain; charset=utf-8"), *ALWAYS]
_JSON = [(b"content-type", b"application/json"), *ALWAYS]
_NOTHING: Answered = 404, _TEXT, b"There is nothing here."
_NOT_BUILT: Answered = (
    503,
    _TEXT,
    b"The pages are not built: `make run` builds them.",
)


class Wanted(msgspec.Struct, frozen=True):
    """A page asks for a ticket to the console at a port, or of an id, or that a link leads to."""

    port: int = 0
    console: str = ""
    share: str = ""


class Given(msgspec.Struct, frozen=True):
    """The ticket. `view_only`: whoever comes with it may only look. By the last three it can be opened anew."""

    ticket: str
    kind: str
    title: str
    view_only: bool
    host: str
    guest: str
    guest_kind: str


class ConsoleDoor:
    """The pages, the tickets, and the WebSockets."""

    def __init__(
        self,
        consoles: Consoles,
        sessions: Sessions,
        log: Audit,
        assets: Assets,
        elsewhere: Elsewhere,
        *,
        main: int,
        pages: int,
    ) -> None:
        """`main` and `pages` are the ports of the main address and of the page server."""
        self._consoles, self._sessions, self._log, self._assets = consoles, sessions, log, assets
        self._elsewhere = elsewhere
        self._main, self._pages = main, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *, foreign: bool) -> Answered:  # noqa: ARG002
        """A request at the main address, below `/console`, or at one of the other ports."""
        port = _port(scope)
        path = scope["path"] if port else scope["path"].removeprefix(PATH)
        match scope["method"], path:
            case "POST", "/ticket":
                return await self._ticket(scope, receive, foreign=foreign)
            case (("GET" | "HEAD"), _):
                return self._page(scope, path, port)
        return 405, [*_TEXT, (b"allow", b"GET, POST")], b"GET a page, or POST /ticket."

    def _page(self, scope: Scope, path: str, port: int) -> Answered:
        if not self._assets:
            return _NOT_BUILT
        name = PAGES.get(path, path.removeprefix("/"))
        if path == "/" and (console := self._consoles.at_port(port)) and console.kind != "vnc":
            name = PAGES["/terminal.html"]
        asset = self._assets.find(name)
        if asset is None:
            return _NOTHING
        headers: Headers = [
            (b"content-type", asset.media),
            (b"cache-control", FOR_GOOD if asset.lasting else b"no-store"),
            (b"content-security-policy", self._policy(scope)),
        ]
        headers += (header for header in ALWAYS if header[0] not in _OWN)
        return 200, headers, asset.body

    def _policy(self, scope: Scope) -> bytes:
        """What the page may do: load what is here, and connect to where it came from and the one port it shows."""
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("port", [""])[0]
        shown = int(asked) if re.fullmatch(r"[0-9]{1,5}", asked) else 0
        host = _name(_headers(scope).get("host", ""))
        if host.startswith("["):  # browsers know no such address here: any, but at this port alone
            host = "*"
        there = f" wss://{host}:{shown}" if self._consoles.is_for_screens(shown) else ""
        return f"{POLICY}; connect-src 'self'{there}".encode("latin-1")

    # --- tickets

    async def _ticket(self, scope: Scope, receive: Receive, *, foreign: bool) -> Answered:
        if foreign:
            return REFUSED
        said = await body(receive)
        try:
            wanted = msgspec.json.decode(said, type=Wanted)
        except (msgspec.MsgspecError, UnicodeError):
            return 400, _TEXT, b'Send {"port": PORT} or {"console": ID}.'
        sessid = bearer(_headers(scope).get("authorization", ""))
        if at := await self._held_at(scope, wanted.share or wanted.console):
            return await self._elsewhere.ticket(at, "" if wanted.share else sessid, said)
        if wanted.share:
            console = self._consoles.find(self._consoles.shares.find(wanted.share) or "")
            if console is None:
                return (
                    404,
                    _TEXT,
                    b"This link leads nowhere any more: its time is over, or the console is closed.",
                )
        else:
            try:
                session = await self._sessions.check(sessid)
            except AuthError as failure:
                return 401, _TEXT, failure.message.encode()
            console = self._wanted(wanted)
            if console is None or console.session.digest != session.digest:
                return 404, _TEXT, b"This session has no such console: it was closed, or never opened."
        return 200, _JSON, msgspec.json.encode(self._given(console, only_looks=bool(wanted.share)))

    def _given(self, console: Console, *, only_looks: bool) -> Given:
        return Given(
            self._consoles.tickets.give(console.id, console.session.digest, view_only=only_looks),
            console.kind,
            console.title,
            only_looks,
            console.host.name,
            console.uuid if console.kind == "vnc" else console.guest,  # a name may be another machine's by then
            console.guest_kind,
        )

    async def _held_at(self, scope: Scope, name: str) -> str:
        """Where the server of that console, ticket or link is; empty where it is to be found here or nowhere."""
        once_removed = any(header == ONCE_REMOVED.encode() for header, _ in scope["headers"])
        return "" if once_removed or not name else await self._elsewhere.at(name)

    def _wanted(self, wanted: Wanted) -> Console | None:
        return self._consoles.find(wanted.console) if wanted.console else self._consoles.at_port(wanted.port)

    # --- WebSockets

    async def socket(self, scope: Scope, receive: Receive, send: Send, ours: Callable[[str], bool]) -> None:
        """One WebSocket, from its handshake to its end. `ours` knows the names that this server answers to."""
        await receive()  # the handshake itself
        paper = self._let_in(scope, ours)
        if paper and scope["server"][1] == self._main and (at := await self._held_at(scope, paper)):
            there = await self._elsewhere.reached(at, paper)
            await (_refuse(send) if there is None else passed_on(await _accepted(scope, receive, send), there))
            return
        taken = self._taken(paper, scope["server"][1])
        if taken is None:
            await _refuse(send)
            return
        console, ticket = taken
        socket = await _accepted(scope, receive, send)
        self._write(console, scope, "console opened", {})
        try:
            await self._consoles.show(console, socket, ticket)
        finally:
            self._write(console, scope, "console left", {"from_browser": socket.came, "to_browser": socket.went})

    def _let_in(self, scope: Scope, ours: Callable[[str], bool]) -> str:
        """The ticket of a page of ours; empty for any other."""
        headers, port = _headers(scope), scope["server"][1]
        host = headers.get("host", "")
        if not ours(host) or not self._is_a_page_of_ours(headers.get("origin", ""), host, port):
            return ""
        if port == self._main and scope["path"] != PATH + SOCKET:
            return ""
        paper: str = parse_qs(scope["query_string"].decode("latin-1")).get("ticket", [""])[0]
        return paper

    def _taken(self, paper: str, port: int) -> tuple[Console, Ticket] | None:
        """The console that a ticket lets in to at that port."""
        ticket = self._consoles.tickets.take(paper)
        console = self._consoles.find(ticket.console) if ticket else None
        if ticket is None or console is None or port not in (self._main, console.port):
            return None
        return console, ticket

    def _is_a_page_of_ours(self, origin: str, host: str, port: int) -> bool:
        try:
            page = urlsplit(origin)
            at = page.port or 443
        except ValueError:
            return False
        name = page.netloc.rpartition(":")[0] if page.port else page.netloc
        return page.scheme == "https" and name == _name(host) and at in (self._main, self._pages, port)

    def _write(self, console: Console, scope: Scope, method: str, params: dict[str, Any]) -> None:
        about = {"console": console.id, "kind": console.kind, "guest": console.guest, **params}
        who = console.session
        self._log.write(
            Line(
                time=moment(now()),
                address=scope["client"][0] if scope["client"] else "",
                method=method,
                user=who.user,
                session=who.digest[:8],
                host=console.host.name,
                params=about,
            )
        )


_OWN = (b"cache-control", b"content-security-policy")


async def _refuse(send: Send) -> None:
    await send({"type": "websocket.close"})  # answered 403


async def _accepted(scope: Scope, receive: Receive, send: Send) -> Socket:
    wanted = scope.get("subprotocols") or []
    await send({"type": "websocket.accept", "subprotocol": "binary" if "binary" in wanted else None})
    return Socket(receive, send)


def _port(scope: Scope) -> int:
    """The port of a request that is not at the main address; else 0."""
    return scope["server"][1] if scope["server"] else 0


def _name(host: str) -> str:
    """A Host header without its port, in lower case."""
    host = host.lower()
    return host if host.endswith("]") or ":" not in host else host.rpartition(":")[0]


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
