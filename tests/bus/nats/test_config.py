"""The configuration of nats-server is exactly the one that was thought about."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from oms.bus.nats.config import BusConfig, Cluster, render
from oms.bus.nats.nkey import Issuer
from oms.bus.nats.supervisor import find_binary
from tests import golden_file
from tests.bus.nats.pki import Pki

GOLDEN = Path(__file__).parent / "golden"

EMBEDDED = BusConfig(
    listen="0.0.0.0:4222",
    run_dir=Path("/run/oms/bus"),
    cert_file=Path("/var/lib/oms/pki/nats.crt"),
    key_file=Path("/var/lib/oms/pki/nats.key"),
    clients_ca_file=Path("/var/lib/oms/pki/clients-ca.crt"),
    issuer="ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA",
    revision="2f1d",
)
NODE = replace(
    EMBEDDED,
    server_name="bus1",
    cluster=Cluster(
        name="omsbus",
        listen="0.0.0.0:6222",
        routes=("bus1:6222", "bus2:6222", "bus3:6222"),
        ca_file=Path("/var/lib/oms/pki/bus-ca.crt"),
    ),
)


@pytest.mark.parametrize(("name", "config"), [("embedded", EMBEDDED), ("cluster", NODE)])
def test_the_text_is_the_golden_one(name: str, config: BusConfig) -> None:
    golden_file.check(GOLDEN / f"{name}.conf", render(config))


def checked(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "nats.conf").write_text(text)
    command = [str(find_binary(None)), "-t", "-c", str(folder / "nats.conf")]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("folder", ["plain", 'with "quotes" and spaces', "umlaut-ä", "back\\slash", "$variable"])
@pytest.mark.parametrize("config", [EMBEDDED, NODE])
def test_nats_server_accepts_it(tmp_path: Path, folder: str, config: BusConfig) -> None:
    place = tmp_path / folder
    place.mkdir()
    pki = Pki(place)
    cluster = config.cluster and replace(config.cluster, ca_file=pki.bus_ca)
    real = replace(
        config,
        run_dir=place,
        cert_file=pki.nats.cert,
        key_file=pki.nats.key,
        clients_ca_file=pki.clients_ca,
        issuer=Issuer.generate().public,
        cluster=cluster,
    )
    done = checked(render(real), place)
    assert done.returncode == 0, done.stderr
    assert "is valid" in done.stderr


def test_nats_server_would_refuse_a_wrong_one(tmp_path: Path) -> None:
    done = checked(render(replace(EMBEDDED, issuer="nonsense")), tmp_path)
    assert done.returncode != 0


@pytest.mark.parametrize("listen", ["", "0.0.0.0:4222\nhttp: 8222", "a\x00b"])
def test_a_value_cannot_smuggle_in_a_setting(listen: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in"):
        render(replace(EMBEDDED, listen=listen))


@pytest.mark.parametrize("config", [EMBEDDED, NODE])
def test_there_is_no_monitoring_port_and_no_way_in_without_a_certificate(config: BusConfig) -> None:
    words = {line.split(":")[0].split("{")[0].strip() for line in render(config).splitlines()}
    forbidden = {"http", "http_port", "https", "https_port", "monitor_port", "no_auth_user", "websocket", "mqtt"}
    assert not words & (forbidden | {"leafnodes", "gateway", "token", "password", "allow_non_tls", "jetstream"})
    assert {"verify_and_map", "handshake_first", "min_version", "auth_callout"} <= words
