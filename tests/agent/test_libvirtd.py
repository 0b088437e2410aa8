"""What libvirtd is spared before it is started."""

from pathlib import Path

from oms.agent.libvirtd import forget_broken_starts

KEPT = {
    "runs.xml": "<domstatus state='running' reason='booted' pid='4711'><domain/></domstatus>",
    "torn.xml": "<domstatus state='paused' reason='starting up' pid='0'>",
    "other.xml": "<domain pid='0'/>",
    "m.pid": "<domstatus state='paused' reason='starting up' pid='0'/>",
}


def test_only_notes_of_starts_that_made_no_process_are_forgotten(tmp_path: Path) -> None:
    for name, text in KEPT.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "m.xml").write_text(
        "<!-- w -->\n<domstatus state='paused' reason='starting up' pid='0'><x/></domstatus>"
    )
    forget_broken_starts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(KEPT)


def test_where_there_are_no_notes_there_is_nothing_to_do(tmp_path: Path) -> None:
    forget_broken_starts(tmp_path / "none")
