"""The door to LVM: its own programs, by argument list, in the C locale.

Nothing is remembered: other people's programs change volumes too, and a report takes some 50 ms. What LVM made is
known by its UUID, what OMS made by the tag `oms`.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from oms.agent.host.process import Completed, ProgramMissing, run
from oms.contract.errors import FuncManError, NotSupported

TAG = "oms"
SECONDS = 30.0
LARGEST_REPORT_BYTES = 16 * 1024 * 1024
ENVIRONMENT = {"LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"}
GET = "apt-get install lvm2"

Mapper = Literal["auto", "never"]


class Group(msgspec.Struct, frozen=True):
    """A volume group. Sizes in bytes."""

    name: str
    free_bytes: int
    extent_bytes: int


class Volume(msgspec.Struct, frozen=True):
    """A logical volume. `open`: somebody has it in use now (False also where LVM cannot tell)."""

    uuid: str
    group: str
    name: str
    size_bytes: int
    path: str
    tags: frozenset[str]
    open: bool

    @property
    def own(self) -> bool:
        """Whether OMS made it, or an administrator gave it to OMS by the tag."""
        return TAG in self.tags


class Lvm(msgspec.Struct, frozen=True):
    """How LVM is asked on this host. `devices`: nothing but these is looked at; none means all."""

    mapper: Mapper = "auto"
    devices: tuple[str, ...] = ()

    async def display(self, program: Literal["vgdisplay", "lvdisplay"]) -> str:
        """What LVM says for people to read; "" where there is no LVM."""
        return await self._report([program])

    async def groups(self) -> list[Group]:
        """All volume groups."""
        rows = await self._rows("vgs", "vg", ("vg_name", "vg_free", "vg_extent_size"))
        return [Group(row["vg_name"], int(row["vg_free"]), int(row["vg_extent_size"])) for row in rows]

    async def volumes(self) -> list[Volume]:
        """All logical volumes that people see; LVM's own inner ones are not among them."""
        columns = ("lv_uuid", "vg_name", "lv_name", "lv_size", "lv_path", "lv_tags", "lv_device_open")
        return [
            Volume(
                uuid=row["lv_uuid"],
                group=row["vg_name"],
                name=row["lv_name"],
                size_bytes=int(row["lv_size"]),
                path=row["lv_path"],
                tags=frozenset(filter(None, row["lv_tags"].split(","))),
                open=row["lv_device_open"] not in ("", "0", "unknown", "-1"),
            )
            for row in await self._rows("lvs", "lv", columns)
        ]

    async def create(self, group: str, name: str, size_bytes: int, tags: Sequence[str]) -> None:
        """Make a volume, active at once where the kernel can; what an old one left at its begin is wiped."""
        ready = ["--activate", "n", "--zero", "n", "--wipesignatures", "n"] if self.mapper == "never" else []
        wiped = ready or ["--zero", "y", "--wipesignatures", "y"]
        marks = [word for tag in tags for word in ("--addtag", tag)]
        size = ["--size", f"{size_bytes}b", "--name", name]
        await self._change(["lvcreate", "--yes", *wiped, *marks, *size], group)

    async def remove(self, volume: Volume) -> None:
        """Remove a volume by its UUID: another one that has its name by now is left alone."""
        select = ["--select", f"lv_uuid={volume.uuid}"]
        await self._change(["lvremove", "--yes", *select], volume.group)

    async def activate(self, volume: Volume) -> None:
        """Make its device be there. Raises NotSupported where this host's kernel cannot."""
        if self.mapper == "never":
            raise NotSupported("This host's kernel has no device-mapper: its volumes have no devices to write to.")
        await self._change(["lvchange", "--activate", "y"], f"{volume.group}/{volume.name}")

    async def _change(self, words: Sequence[str], what: str) -> None:
        done = await self._run([*words, *self._options(), "--", what])
        if done.exit:
            raise FuncManError(f"{words[0]} refused: {done.words}", program=words[0])

    async def _report(self, words: Sequence[str]) -> str:
        try:
            done = await self._run([*words, *self._options()])
        except ProgramMissing:
            return ""  # no LVM, no volumes
        if done.exit:
            raise FuncManError(f"{words[0]} failed on this host: {done.words}", program=words[0])
        return done.stdout.decode(errors="replace")

    async def _rows(self, program: str, kind: str, columns: Sequence[str]) -> list[dict[str, str]]:
        form = ["--reportformat", "json", "--units", "b", "--nosuffix", "-o", ",".join(columns)]
        report = await self._report([program, *form])
        if not report:
            return []
        read = msgspec.json.decode(report, type=dict[str, list[dict[str, list[dict[str, str]]]]])
        return [row for part in read["report"] for row in part[kind]]

    def _options(self) -> list[str]:
        driver = ["--driverloaded", "n"] if self.mapper == "never" else []
        return [*driver, *(["--devices", ",".join(self.devices)] if self.devices else [])]

    async def _run(self, argv: Sequence[str]) -> Completed:
        return await run(argv, timeout=SECONDS, limit=LARGEST_REPORT_BYTES, environment=ENVIRONMENT)
