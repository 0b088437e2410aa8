"""The GUI: the files of one application below `/ui/`. It has no rights of its own: it calls as anybody does.

Every address below that is no file is a place in the application, and gets its page.
"""

from oms.server.edge.assets import FOR_GOOD, Asset, Assets
from oms.server.edge.http import ALWAYS, TO_THE_GUI, Answered, Headers, Receive, Scope, Send

PATH = "/ui"
PAGE = "index.html"
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    b"connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing but its own files, no script and no style in the page itself, no text that becomes markup; consoles may
be framed in it, and it nowhere."""
_OWN = (b"cache-control", b"content-security-policy")
_COMMON: Headers = [
    (b"content-security-policy", POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
    *(header for header in ALWAYS if header[0] not in _OWN),
]
_TEXT: Headers = [(b"content-type", b"text/plain; charset=utf-8"), *ALWAYS]
_NOTHING: Answered = 404, _TEXT, b"There is nothing here."
_NOT_BUILT: Answered = 503, _TEXT, b"The pages are not built: `make run` builds them."


class GuiDoor:
    """The files, to be had by GET."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *, foreign: bool) -> Answered:  # noqa: ARG002
        """One request, whichever page led to it: nothing here tells anything or changes anything."""
        if scope["method"] not in ("GET", "HEAD"):
            return 405, [*_TEXT, (b"allow", b"GET")], b"GET a page."
        if scope["path"] == PATH:
            return TO_THE_GUI
        if not scope["path"].startswith(f"{PATH}/"):
            return _NOTHING
        page = self._assets.find(PAGE)
        if page is None:
            return _NOT_BUILT
        name = scope["path"].removeprefix(f"{PATH}/")
        asset = self._assets.find(name) or (None if name.startswith("assets/") else page)
        return _NOTHING if asset is None else _given(asset, scope)


def _given(asset: Asset, scope: Scope) -> Answered:
    headers: Headers = [
        (b"content-type", asset.media),
        (b"cache-control", FOR_GOOD if asset.lasting else b"no-cache"),
        (b"vary", b"accept-encoding"),
        *_COMMON,
    ]
    if asset.packed and _takes_brotli(scope):
        return 200, [(b"content-encoding", b"br"), *headers], asset.packed
    return 200, headers, asset.body


def _takes_brotli(scope: Scope) -> bool:
    said = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
    ways = (way.strip().lower().partition(b";") for way in said.split(b","))
    return any(way.strip() == b"br" and weight.strip().replace(b" ", b"") != b"q=0" for way, _, weight in ways)
