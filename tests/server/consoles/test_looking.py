"""Who only looks gets a picture, and nothing of his reaches the machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.server.consoles.looking import NotUnderstood, OnlyLooks

GREETING = b"RFB 003.008\n" + b"\x01" + b"\x00"
GREETED = b"RFB 003.008\n" + b"\x01" + b"\x01"
FORMAT = b"\x00" + bytes(19)
ENCODINGS = b"\x02\x00\x00\x03" + bytes(12)
ASK = b"\x03\x00" + bytes(8)
CONTINUOUS = b"\x96\x01" + bytes(8)
FENCE = b"\xf8" + bytes(7) + b"\x03abc"
HARMLESS = [FORMAT, ENCODINGS, ASK, CONTINUOUS, FENCE]
KEY = b"\x04\x01\0\0\0\0\xff\x0d"
CLICK = b"\x05\x01\0\x10\0\x10"
PASTE = b"\x06\0\0\0" + (5).to_bytes(4) + b"rm -r"
PASTE_EXTENDED = b"\x06\0\0\0" + (-6).to_bytes(4, signed=True) + bytes(6)
QEMU_KEY = b"\xff\x00" + bytes(10)
RESIZE = b"\xfb\0" + bytes(4) + b"\x01\0" + bytes(16)
POWER = b"\xfa\0\x01\x02"
ACTS = [KEY, CLICK, PASTE, PASTE_EXTENDED, QEMU_KEY, RESIZE, POWER]


@given(st.lists(st.sampled_from(HARMLESS + ACTS)), st.lists(st.integers(1, 40)))
def test_whatever_pieces_it_comes_in_only_the_harmless_goes_on(said: list[bytes], cuts: list[int]) -> None:
    stream, viewer, passed = GREETING + b"".join(said), OnlyLooks(), b""
    for cut in cuts:
        passed += viewer.let_through(stream[:cut])
        stream = stream[cut:]
    passed += viewer.let_through(stream)
    assert passed == GREETED + b"".join(word for word in said if word in HARMLESS)


def test_a_password_is_passed_on() -> None:
    answer = bytes(range(16))
    viewer = OnlyLooks()
    assert viewer.let_through(b"RFB 003.008\n\x02" + answer + b"\x01" + KEY + ASK) == (
        b"RFB 003.008\n\x02" + answer + b"\x01" + ASK
    )


@pytest.mark.parametrize(
    "said",
    [
        b"RFB 003.008\n\x13",
        GREETING + b"\x07",
        GREETING + b"\xff\x01",
        GREETING + b"\x06\0\0\0\x7f\xff\xff\xff",
        GREETING + b"\x06\0\0\0\x80\0\0\0",
    ],
)
def test_what_no_viewer_says_ends_it(said: bytes) -> None:
    with pytest.raises(NotUnderstood):
        OnlyLooks().let_through(said)
