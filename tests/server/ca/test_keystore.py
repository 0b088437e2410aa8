"""The signer's directory: private, whole, used by one process, and never silently begun anew."""

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from oms.bus import enrolment
from oms.server.ca.keystore import Entry, KeyStore, KeyStoreError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(name: str) -> Entry:
    return Entry(
        time=NOW,
        kind="host",
        name=name,
        serial="01",
        certificate_sha256="ab",
        key_sha256="cd",
        not_after=NOW + timedelta(days=90),
    )


def fingerprints(directory: Path) -> list[str]:
    with KeyStore(directory) as store:
        both = store.authorities(NOW)
        return [enrolment.fingerprint(both.server.certificate), enrolment.fingerprint(both.host.certificate)]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def full_disk(at_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond this size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_authorities_are_made_once_and_found_again(tmp_path: Path) -> None:
    first = fingerprints(tmp_path / "ca")
    assert len(set(first)) == 2
    assert fingerprints(tmp_path / "ca") == first


def test_nothing_in_the_directory_is_readable_by_others_whatever_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        fingerprints(tmp_path / "ca")
    finally:
        os.umask(mask)
    assert mode(tmp_path / "ca") == 0o700
    found = {path.name: mode(path) for path in (tmp_path / "ca").iterdir()}
    assert found == {"server-ca.pem": 0o600, "host-ca.pem": 0o600, "issued.jsonl": 0o600}


def test_a_second_signer_is_turned_away_until_the_first_has_gone(tmp_path: Path) -> None:
    with KeyStore(tmp_path / "ca"), pytest.raises(KeyStoreError, match="Another signer"):
        KeyStore(tmp_path / "ca")
    KeyStore(tmp_path / "ca").close()


def test_a_lost_key_is_not_replaced_once_certificates_exist(tmp_path: Path) -> None:
    fingerprints(tmp_path)
    (tmp_path / "host-ca.pem").unlink()
    fingerprints(tmp_path)
    with KeyStore(tmp_path) as store:
        store.record(entry("h1"))
    (tmp_path / "host-ca.pem").unlink()
    with KeyStore(tmp_path) as store, pytest.raises(KeyStoreError, match="would cut off every host"):
        store.authorities(NOW)
    assert not (tmp_path / "host-ca.pem").exists()


@pytest.mark.parametrize("damage", ["mode", "link", "half", "mixed", "directory"])
def test_a_key_file_that_is_not_as_it_was_left_is_refused(tmp_path: Path, damage: str) -> None:
    fingerprints(tmp_path)
    path = tmp_path / "host-ca.pem"
    text = path.read_text()
    match damage:
        case "mode":
            path.chmod(0o640)
        case "link":
            path.rename(tmp_path / "elsewhere.pem")
            path.symlink_to("elsewhere.pem")
        case "half":
            path.write_text(text[: len(text) // 2])
        case "mixed":
            certificate = (tmp_path / "server-ca.pem").read_text().partition("-----BEGIN CERT")
            path.write_text(text.partition("-----BEGIN CERT")[0] + "".join(certificate[1:]))
        case _:
            path.unlink()
            path.mkdir(0o700)
    with KeyStore(tmp_path) as store, pytest.raises(KeyStoreError, match=r"host-ca\.pem cannot be used"):
        store.authorities(NOW)


def test_a_directory_that_others_may_read_or_that_is_a_link_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(0o755)
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (open_to_all, tmp_path / "link", tmp_path / "missing" / "ca"):
        with pytest.raises(KeyStoreError):
            KeyStore(path)


def test_the_log_has_a_line_for_each_certificate_and_keeps_the_old_ones(tmp_path: Path) -> None:
    for name in ("h1", "h2"):
        with KeyStore(tmp_path) as store:
            store.record(entry(name))
    lines = (tmp_path / "issued.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Entry) for line in lines] == [entry("h1"), entry("h2")]


def test_a_line_that_a_crash_cut_does_not_spoil_the_next(tmp_path: Path) -> None:
    with KeyStore(tmp_path) as store:
        store.record(entry("h1"))
    with (tmp_path / "issued.jsonl").open("ab") as file:
        file.write(b'{"time":"2026')
    with KeyStore(tmp_path) as store:
        store.record(entry("h2"))
    lines = (tmp_path / "issued.jsonl").read_bytes().splitlines()
    assert msgspec.json.decode(lines[-1], type=Entry).name == "h2"
    assert len(lines) == 3


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    log = tmp_path / "issued.jsonl"
    with KeyStore(tmp_path) as store:
        store.record(entry("h1"))
        before = log.read_bytes()
        with full_disk(len(before) + 10), pytest.raises(OSError, match="File too large"):
            store.record(entry("h2"))
        assert log.read_bytes() == before
        store.record(entry("h3"))
    assert [msgspec.json.decode(line)["name"] for line in log.read_bytes().splitlines()] == ["h1", "h3"]
