"""Profiles: which one is taken, and where what opens it is kept."""

import tomllib
from pathlib import Path

import keyring
import pytest

from oms.cli import profiles
from oms.cli.failures import NotLoggedIn
from oms.cli.profiles import Profile
from oms.client import ClientError

REAL_RING = "keyrings.alt.file.PlaintextKeyring"
"""One that needs nobody to unlock it; like each of its kind it is used only where somebody has chosen it."""
LAB = Profile("lab", ("https://oms1:8000", "https://oms2:8000"), "anna", "ab" * 32, "", "SESSION")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's, who has set nothing."""
    for name in ("OMS_URL", "OMS_TOKEN", "OMS_PROFILE", "PYTHON_KEYRING_BACKEND", "DBUS_SESSION_BUS_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


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


def test_what_opens_something_is_in_the_keyring_that_was_chosen(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles.keep(LAB)
    file = home / "state" / "oms" / "secrets.json"
    assert "SESSION" in file.read_text()
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", REAL_RING)
    profiles.keep(LAB)
    assert "SESSION" not in file.read_text()
    assert keyring.get_password("opennode-oms", "lab") == "SESSION"
    assert "opennode" in (home / "data" / "python_keyring" / "keyring_pass.cfg").read_text()
    assert profiles.logged_in("lab") == LAB
    profiles.keep_secret("lab", "")
    assert keyring.get_password("opennode-oms", "lab") is None
    with pytest.raises(NotLoggedIn, match="`oms login --profile lab` asks"):
        profiles.logged_in("lab")


@pytest.mark.parametrize(
    "chosen", ["keyring.backends.SecretService.Keyring", "nothing.Here", "keyring.backends.X"]
)
def test_a_keyring_that_was_chosen_and_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    profiles.keep(LAB)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", chosen)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    with pytest.raises(ClientError, match=r"Your keyring cannot be used: .* choose another one"):
        profiles.keep(LAB)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    assert profiles.logged_in("lab") == LAB
