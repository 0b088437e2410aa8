"""Profiles: which one is taken, and where what opens it is kept."""

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.cli import profiles
from oms.cli.failures import NotLoggedIn
from oms.cli.profiles import Profile

RING = """
import json, pathlib
kept = pathlib.Path(__file__).with_name("ring.json")
class Backend: priority = 5
def get_keyring(): return Backend()
def _all(): return json.loads(kept.read_text()) if kept.exists() else {}
def get_password(service, name): return _all().get(f"{service} {name}")
def set_password(service, name, secret): kept.write_text(json.dumps({**_all(), f"{service} {name}": secret}))
def delete_password(service, name):
    left = _all(); del left[f"{service} {name}"]; kept.write_text(json.dumps(left))
"""
"""A keyring of this user's, as the package of that name gives it."""
LAB = Profile("lab", ("https://oms1:8000", "https://oms2:8000"), "anna", "ab" * 32, "", "SESSION")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A person's, who has set nothing."""
    for name in ("OMS_URL", "OMS_TOKEN", "OMS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield tmp_path
    sys.modules.pop("keyring", None)


def test_a_profile_is_found_again_and_the_file_is_as_a_person_would_write_it(home: Path) -> None:
    profiles.keep(LAB)
    profiles.keep(Profile("default", ("https://oms:8000",), "bert", secret="OTHER"))
    assert profiles.chosen("lab") == LAB
    assert profiles.chosen().user == "bert"
    file = home / "config" / "oms" / "profiles.toml"
    found = tomllib.loads(file.read_text())
    assert found["profiles"]["lab"] == {"url": list(LAB.urls), "user": "anna", "ca_sha256": "ab" * 32}
    file.write_text('default = "lab"\n' + file.read_text())
    assert profiles.chosen() == LAB
    profiles.keep(Profile("third", ("https://c:1",)))
    assert profiles.chosen() == LAB  # what was said by hand stays


def test_who_says_most_clearly_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    profiles.keep(LAB)
    with pytest.raises(NotLoggedIn, match="`oms login` asks"):
        profiles.logged_in()
    monkeypatch.setenv("OMS_PROFILE", "lab")
    assert profiles.logged_in() == LAB
    monkeypatch.setenv("OMS_URL", "https://a:1, https://b:1")
    with pytest.raises(NotLoggedIn, match="OMS_TOKEN is not"):
        profiles.logged_in()
    monkeypatch.setenv("OMS_TOKEN", "oms_token")
    made = profiles.logged_in()
    assert (made.urls, made.secret) == (("https://a:1", "https://b:1"), "oms_token")
    assert profiles.logged_in("lab") == profiles.chosen(environment=False) == LAB


def test_what_opens_something_is_in_the_keyring_where_there_is_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles.keep(LAB)
    place = home / "ring"
    place.mkdir()
    (place / "keyring.py").write_text(RING)
    monkeypatch.syspath_prepend(place)
    profiles.keep(LAB)
    assert json.loads((place / "ring.json").read_text()) == {"opennode-oms lab": "SESSION"}
    assert "SESSION" not in (home / "state" / "oms" / "secrets.json").read_text()
    assert profiles.logged_in("lab") == LAB
    profiles.keep_secret("lab", "")
    assert json.loads((place / "ring.json").read_text()) == {}
    with pytest.raises(NotLoggedIn, match="`oms login --profile lab` asks"):
        profiles.logged_in("lab")
