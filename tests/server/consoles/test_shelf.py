"""Recordings: what was said is in them, in as many files as it takes; what is too old or too much goes."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oms.contract.errors import InUse, NotRecorded, NotThere
from oms.server.consoles import recording as module
from oms.server.consoles import shelf as shelves
from oms.server.consoles.recording import Recording
from oms.server.consoles.shelf import About, Head, Shelf

ABOUT = About("c" * 32, "ssh", "node1", "", "oscar")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "recordings", days=2, most_bytes=10_000)


@pytest.fixture
def kept(shelf: Shelf, tmp_path: Path) -> Callable[[int, float], str]:
    """Makes a recording of so many bytes and days of age."""

    def make(size: int, days: float) -> str:
        made, file = shelf.begin(Head(80, 24, int(time.time() - days * 86_400), "node1", ABOUT))
        with file:
            file.write(b"x" * (size - file.tell()))
        shelf.ended(made)
        at = time.time() - days * 86_400
        os.utime(tmp_path / "recordings" / f"{made}.cast", (at, at))
        return made

    return make


def ids(shelf: Shelf) -> list[str]:
    return [recorded.id for recorded in shelf.all()]


def whole(shelf: Shelf, recording: str) -> str:
    text, at, size = "", 0, 1
    while at < size:
        piece = shelf.read(recording, at)
        text, at, size = text + piece.text, piece.end, piece.size
    return text


def test_what_is_too_old_goes_and_then_the_oldest_until_the_rest_is_small_enough(
    shelf: Shelf, kept: Callable[[int, float], str]
) -> None:
    old, middle, new = kept(100, 3), kept(6000, 1), kept(6000, 0.5)
    assert ids(shelf) == [new, middle, old]
    shelf.tidy()
    assert ids(shelf) == [new]


def test_what_is_being_written_stays(shelf: Shelf) -> None:
    written, file = shelf.begin(Head(title="node1"))
    with file:
        file.write(b"x" * 20_000)
    shelf.tidy()
    assert ids(shelf) == [written]
    with pytest.raises(InUse):
        shelf.delete(written)
    shelf.ended(written)
    shelf.delete(written)
    for act in (shelf.delete, shelf.find, lambda gone: shelf.read(gone, 0)):
        with pytest.raises(NotThere):
            act(written)


async def test_a_recording_is_read_in_pieces_that_split_no_letter(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "PIECE_BYTES", 7)
    recording = await Recording.begin(shelf, ABOUT, "node1", (80, 24))
    recording.hear("häß €".encode()[:-1])
    recording.hear("€".encode()[-1:] + b"\x1b[m")
    await recording.close()
    head, *said = map(json.loads, whole(shelf, recording.id).splitlines())
    assert (head["version"], head["width"], head["oms"]["user"]) == (2, 80, "oscar")
    assert "".join(text for _, _, text in said) == "häß €\x1b[m"


async def test_more_than_one_file_may_have_goes_on_in_another(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_BYTES", 150)
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 50)
    recording = await Recording.begin(shelf, ABOUT, "node1", (80, 24))
    for number in range(6):
        recording.hear(b"%d" % number * 40)
        await recording.keep_up()
    await recording.close()
    files = [list(map(json.loads, whole(shelf, one).splitlines())) for one in ids(shelf)]
    assert len(files) == 3
    assert {head["oms"]["console"] for head, *_ in files} == {ABOUT.console}
    assert sorted(text[0] for _, *said in files for _, _, text in said) == list("012345")


async def test_nothing_is_kept_of_a_console_that_said_nothing(shelf: Shelf) -> None:
    recording = await Recording.begin(shelf, ABOUT, "node1", (80, 24))
    recording.hear(b"")
    await recording.close()
    assert ids(shelf) == []


def test_a_file_that_was_torn_is_listed_as_nobodys(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / f"{'a' * 32}.cast").write_bytes(b'{"version":2,"oms":{"user":"os')
    (tmp_path / "recordings" / "notes.txt").write_bytes(b"not ours")
    assert [(one.id, one.about.user) for one in shelf.all()] == [("a" * 32, "")]


def test_where_nothing_can_be_written_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("a file where the directory was")
    with pytest.raises(NotRecorded, match="record_consoles") as refusal:
        Shelf(tmp_path / "recordings", days=1, most_bytes=1).begin(Head(title="node1"))
    assert str(tmp_path) not in refusal.value.message
