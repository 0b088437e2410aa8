"""Asking for a place as a host: who may ask for what over the wire, and what a flood of askers costs others."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from oms.bus import enrolment
from oms.contract.kvm import ListVmsStatus
from oms.server.enrol import MOST_NEW_A_MINUTE, MOST_WAITING
from tests.security import snapshot
from tests.security.attack import shows_nothing
from tests.server.asgi import Reply
from tests.server.rig import Oms, answering

AT_ONCE_S = 5.0


def csr(
    *names: str,
    key: Any = None,
    extension: x509.ExtensionType | None = None,
    country: str = "",
    spoilt: bool = False,
) -> str:
    """A CSR with these common names."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False) for name in names]
    if country:
        attributes.append(x509.NameAttribute(NameOID.COUNTRY_NAME, country))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    made = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    text = made.public_bytes(serialization.Encoding.PEM).decode()
    return text.replace(text[-60:-50], "A" * 10) if spoilt else text


async def submit(oms: Oms, text: str, **facts: Any) -> Reply:
    body = msgspec.json.encode({"csr": text, "facts": facts})
    return await oms.request("POST", "/enrol", body=body)


@pytest.mark.filterwarnings("ignore:Attribute's length")
async def test_a_request_that_asks_for_more_than_a_place_is_refused_and_shown_to_nobody(oms: Oms) -> None:
    host = await oms.sign_in_double("h1")
    other = x509.SubjectAlternativeName([x509.DNSName("h2")])
    asked = [
        *(
            csr(name)
            for name in ("../../x", "*", "h\x1b[2K", "h3\nh4", "oms", "192.0.2.1", "h3.", "H1", "", "h" * 300)
        ),
        *(csr("h3", "h4"), csr(), csr("h3", country="EE"), csr("h3", extension=other), csr("h3", spoilt=True)),
        csr("h3", extension=x509.BasicConstraints(ca=True, path_length=None)),
        csr("h3", extension=x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
        csr("h3", extension=x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])),
        csr("h3", key=rsa.generate_private_key(65537, 1024)),
        csr("h3", key=ec.generate_private_key(ec.SECP256K1())),
        *("", "-----BEGIN CERTIFICATE REQUEST-----", csr("h3") * 2, csr("h3") + "\0", "A" * 8192),
    ]
    before = snapshot.of(oms)
    for text in asked:
        reply = await submit(oms, text)
        assert reply.status == 403, text
        reason = reply.json["error"]
        shows_nothing(reason, str(oms.folder))
        assert reason.isprintable()
    assert snapshot.of(oms) == before
    assert host.wire.connected


async def test_a_name_that_is_signed_waits_in_vain_and_the_host_goes_on(oms: Oms) -> None:
    """Somebody asks for a signed host's name, then tries to renew as that host with a certificate of his own."""
    await oms.sign_in_double("h1", {ListVmsStatus: answering({})})
    thief = enrolment.make_key()
    assert (await oms.enrol("h1", thief)).json["state"] == "waiting"
    admin = await oms.as_admin()
    assert (await admin.error("funcservices.sign_requests", 0, ["h1"])).data["reason"] == "request_refused"
    own = _self_signed("h1", thief)
    renewal = enrolment.sign_renewal(thief, own, enrolment.make_csr(thief, "h1"), datetime.now(UTC))
    reply = await oms.request("POST", "/enrol/renew", body=msgspec.json.encode(renewal))
    assert reply.status == 403
    assert (await oms.enrol("h1", thief)).json["state"] == "waiting"
    assert await admin.ask("kvmservices.list_vms_status", 0, "h1") == {"client": "h1", "result": {}}


def _self_signed(name: str, key: bytes) -> str:
    private = serialization.load_pem_private_key(key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(subject, subject, private.public_key(), x509.random_serial_number())
    dated = made.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2036, 1, 1, tzinfo=UTC)
    )
    return dated.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


async def test_a_flood_of_askers_ends_at_a_number_and_signed_hosts_do_not_feel_it(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From many addresses, among them one that asks all the time, and as much that is no request."""
    assert (MOST_WAITING, MOST_NEW_A_MINUTE) == (1000, 10)
    monkeypatch.setattr("oms.server.enrol.MOST_WAITING", 150)
    await oms.sign_in_double("h1", {ListVmsStatus: answering({})})
    viewer = await oms.as_viewer()
    statuses: Counter[int] = Counter()

    async def ask(number: int) -> None:
        address = f"198.51.100.{number}" if number % 5 else "203.0.113.1"
        statuses[(await oms.enrol(f"flood{number}", address=address)).status] += 1
        statuses[(await oms.request("POST", "/enrol", body=b"{" * 24_000)).status] += 1

    flood = [asyncio.create_task(ask(number)) for number in range(250)]
    took = []
    while not all(task.done() for task in flood):
        began = time.monotonic()
        await viewer.ask("kvmservices.list_vms_status", 0, "h1")
        took.append(time.monotonic() - began)
        await asyncio.sleep(0.02)
    await asyncio.gather(*flood)
    assert statuses == {200: 150, 403: 100, 400: 250}
    assert len(await viewer.ask("funcservices.list_requests", 0)) == 150
    assert sorted(took)[len(took) * 99 // 100] < AT_ONCE_S
