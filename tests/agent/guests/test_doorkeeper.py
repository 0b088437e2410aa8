"""What another host's libvirtd may say: the one machine that was agreed on, in our words, and no more."""

import struct
from pathlib import Path

import libvirt
import pytest

from oms.agent.guests.libvirt import doorkeeper as door
from oms.agent.guests.libvirt.doorkeeper import HEAD, LENGTH, LibvirtDoorkeeper, Reader, opaque, parameters, text
from oms.agent.guests.moves import Admission
from oms.contract.errors import NotSupported

OURS = Admission("web1", "<domain>ours</domain>", Path("/run/x"), ("vda", "vdb"))
COOKIE = b"<qemu-migration/>"
FLAGS = LENGTH.pack(door.flags(OURS.copied, all_disks_copied=True))
OURS_PREPARED = (
    parameters(
        [
            ("destination_name", "web1"),
            ("destination_xml", "<domain>ours</domain>"),
            ("migrate_uri", "unix:///run/x/memory"),
            ("disks_uri", "unix:///run/x/disks"),
            ("migrate_disks", "vda"),
            ("migrate_disks", "vdb"),
        ]
    )
    + opaque(COOKIE)
    + FLAGS
)


def message(
    procedure: int, body: bytes = b"", *, program: int = door.REMOTE, version: int = 1, kind: int = 0
) -> bytes:
    whole = HEAD.pack(program, version, procedure, kind, 7, 0) + body
    return LENGTH.pack(LENGTH.size + len(whole)) + whole


def heard(*messages: bytes) -> bytes:
    return LibvirtDoorkeeper(OURS).let_through(b"".join(messages))


def typed(*values: tuple[str, int, bytes]) -> bytes:
    return LENGTH.pack(len(values)) + b"".join(
        text(name) + LENGTH.pack(kind) + value for name, kind, value in values
    )


THEIRS = typed(
    ("destination_name", 7, text("another")),
    ("destination_xml", 7, text("<domain><devices><hostdev/></devices></domain>")),
    ("migrate_uri", 7, text("tcp:0.0.0.0:1")),
    ("bandwidth", 4, bytes(8)),
    ("auto_converge.initial", 1, bytes(4)),
)


def test_a_machine_is_prepared_by_our_definition_at_our_places_with_our_flags() -> None:
    theirs = THEIRS + opaque(COOKIE) + LENGTH.pack(0xFFFFFFFF)
    assert heard(message(303, theirs)) == message(303, OURS_PREPARED)


def test_the_end_is_that_of_our_machine() -> None:
    for said, understood in ((0, 0), (1, 1), (7, 1)):
        theirs = THEIRS + opaque(COOKIE) + LENGTH.pack(0xFFFFFFFF) + LENGTH.pack(said)
        ours = parameters([("destination_name", "web1")]) + opaque(COOKIE) + FLAGS + LENGTH.pack(understood)
        assert heard(message(306, theirs)) == message(306, ours)


def test_nothing_is_kept_or_started_by_flags_of_others() -> None:
    (flags,) = LENGTH.unpack(FLAGS)
    assert flags & libvirt.VIR_MIGRATE_PAUSED
    for never in ("PERSIST_DEST", "UNDEFINE_SOURCE", "POSTCOPY", "TUNNELLED", "NON_SHARED_INC", "TLS"):
        assert not flags & getattr(libvirt, f"VIR_MIGRATE_{never}")


def test_the_hypervisor_is_always_the_one_of_this_host() -> None:
    ours = message(1, LENGTH.pack(1) + text("qemu:///system") + LENGTH.pack(0))
    for name in ("qemu:///system", "qemu+ssh://root@evil/system", "lxc:///", ""):
        assert heard(message(1, LENGTH.pack(1) + text(name) + LENGTH.pack(1))) == ours


@pytest.mark.parametrize("procedure", [2, 60, 66, 360, 361])
def test_what_is_harmless_goes_on_as_it_is(procedure: int) -> None:
    body = LENGTH.pack(4) if procedure == 60 else b""
    assert heard(message(procedure, body)) == message(procedure, body)
    with pytest.raises(NotSupported):
        heard(message(procedure, bytes(8)))


def test_signs_of_life_go_on() -> None:
    ping = message(1, program=door.KEEPALIVE, kind=2)
    assert heard(ping) == ping
    for odd in (message(1, b"more", program=door.KEEPALIVE, kind=2), message(1, program=door.KEEPALIVE, kind=0)):
        with pytest.raises(NotSupported):
            heard(odd)


LET_THROUGH = {1, 2, 60, 66, 303, 306, 360, 361}


def test_no_other_call_of_libvirt_goes_on() -> None:
    for procedure in set(range(1000)) - LET_THROUGH:
        with pytest.raises(NotSupported):
            heard(message(procedure))


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6, -1])
@pytest.mark.parametrize("procedure", sorted(LET_THROUGH))
def test_no_answer_stream_or_handle_goes_on(procedure: int, kind: int) -> None:
    with pytest.raises(NotSupported):
        heard(message(procedure, kind=kind))


@pytest.mark.parametrize("program", [0x20008087, 0x20008088, 0x20008089, 0])
def test_no_other_program_is_spoken_to(program: int) -> None:
    """Those for qemu's monitor, containers and administration among them."""
    with pytest.raises(NotSupported):
        heard(message(1, program=program))
    with pytest.raises(NotSupported):
        heard(message(2, version=2))


def test_messages_may_come_in_any_parts() -> None:
    whole = message(66) + message(303, THEIRS + opaque(COOKIE) + bytes(4)) + message(2)
    judge = LibvirtDoorkeeper(OURS)
    passed = b"".join(judge.let_through(whole[place : place + 1]) for place in range(len(whole)))
    assert passed == message(66) + message(303, OURS_PREPARED) + message(2)


@pytest.mark.parametrize("length", [0, 4, 27, 5 * 1024 * 1024, 0xFFFFFFFF])
def test_a_length_that_cannot_be_is_not_waited_for(length: int) -> None:
    with pytest.raises(NotSupported, match="length"):
        heard(LENGTH.pack(length))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        LENGTH.pack(65),
        LENGTH.pack(1),
        LENGTH.pack(1) + LENGTH.pack(0xFFFFFFFF),
        typed(("x", 7, LENGTH.pack(0x7FFFFFFF))),
        THEIRS,
        THEIRS + LENGTH.pack(1 << 20) + bytes(1 << 20) + bytes(8),
    ],
)
def test_what_is_no_preparation_is_refused(body: bytes) -> None:
    for procedure in (303, 306):
        with pytest.raises(NotSupported):
            heard(message(procedure, body))


def test_xdr_is_read_as_it_was_written() -> None:
    reader = Reader(opaque(b"abcde") + opaque(b"") + LENGTH.pack(9))
    assert (reader.opaque(5), reader.opaque(5), reader.number()) == (b"abcde", b"", 9)
    with pytest.raises((struct.error, IndexError)):
        reader.number()
