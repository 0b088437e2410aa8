"""Consoles at ports of their own: what the services of screens and of terminals have in common."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from oms.contract.errors import NotRecorded, OmsError
from oms.server.consoles.console import Console, Kind
from oms.server.consoles.consoles import AlreadyMine, Anothers, NoSpot
from oms.server.consoles.ways import NoTunnel, NoWay
from oms.server.desk import Desk


class AtPorts(msgspec.Struct, frozen=True):
    """One kind of console, and the names that the document has for what can be wrong with one."""

    kind: Kind
    noun: str
    """What one is called, as in `screen`; its method that lists them is `list_session_..._connections`."""
    setting: str
    """Of the server, which says at which ports they are."""
    mine: type[OmsError]
    anothers: type[OmsError]
    remote: type[OmsError]
    pool: type[OmsError]
    tunnel: type[OmsError]
    unchecked: type[OmsError]

    async def of(self, desk: Desk) -> list[Console]:
        """Those of the caller's session, the oldest first."""
        return desk.house.consoles.of(await desk.session(), self.kind)

    async def remove_all(self, desk: Desk) -> int:
        """All of the caller's session; 0 also where there are none."""
        for console in await self.of(desk):
            await desk.house.consoles.remove(console)
        return 0

    async def check(self, desk: Desk, port: int) -> str:
        """See that the session's console at a port can be shown; "0"."""
        for console in await self.of(desk):
            if console.port == port:
                try:
                    await desk.house.consoles.check(console)
                except (NoWay, NoTunnel) as why:
                    raise self.unchecked(str(why), port=port) from why
                except OmsError as why:
                    raise self.unchecked(why.message, port=port) from why
                return "0"
        raise self.unchecked(
            f"This session has no {self.noun} at port {port}: list_session_{self.kind}_connections lists those "
            "that it has.",
            port=port,
        )

    @contextmanager
    def told(self, what: str, in_use: str) -> Iterator[None]:
        """Every reason why a console is not set up, under the name that the document has for it."""
        try:
            yield
        except AlreadyMine as why:
            port = why.console.port
            raise self.mine(f"This session has {what} at port {port} already.", port=port) from why
        except Anothers as why:
            user = why.console.session.user
            raise self.anothers(
                f"{user} has {in_use} in another session: it is free once that is closed."
            ) from why
        except NoSpot as why:
            raise self.pool(
                f"All ports for {self.noun}s are taken: close some, or give OMS more (its setting {self.setting})."
            ) from why
        except NoTunnel as why:
            raise self.tunnel(str(why)) from why
        except NoWay as why:
            raise self.remote(str(why)) from why
        except NotRecorded:
            raise  # nothing is wrong at the other end
        except OmsError as why:
            raise self.remote(why.message, **why.details()) from why
