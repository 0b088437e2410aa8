"""A host's signature holds for one request, at one time, by one key; a span is read strictly."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.bus import enrolment, transfer
from oms.bus.enrolment import Refusal
from oms.bus.transfer import Claim, Span
from tests.agent.transfer.web_server import self_signed

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    """A key and its certificate."""
    text = self_signed(tmp_path_factory.mktemp("pair") / "pair.pem", "h1").read_text()
    certificate, mark, key = text.partition("-----BEGIN PRIVATE KEY-----")
    return (mark + key).encode(), certificate


def test_a_signature_is_read_back_and_verified(pair: tuple[bytes, str]) -> None:
    key, certificate = pair
    made = transfer.read_claim(transfer.claim(key, certificate, "GET", "/transfers/x?offset=1", NOW))
    shown = enrolment.read_certificate(certificate)
    assert made.certificate_sha256 == enrolment.fingerprint(shown)
    transfer.verify(shown, made, "GET", "/transfers/x?offset=1", NOW + timedelta(minutes=9))


@pytest.mark.parametrize(
    ("verb", "target", "late"),
    [("PUT", "/transfers/x", 0), ("GET", "/transfers/y", 0), ("GET", "/transfers/x?offset=0", 0),
     ("GET", "/transfers/x", 11), ("GET", "/transfers/x", -11)],
)  # fmt: skip
def test_it_holds_for_nothing_else(pair: tuple[bytes, str], verb: str, target: str, late: int) -> None:
    key, certificate = pair
    made = transfer.read_claim(transfer.claim(key, certificate, "GET", "/transfers/x", NOW))
    with pytest.raises(Refusal):
        transfer.verify(enrolment.read_certificate(certificate), made, verb, target, NOW + timedelta(minutes=late))


def test_a_signature_by_another_key_or_for_another_purpose_is_none(pair: tuple[bytes, str]) -> None:
    key, certificate = pair
    shown = enrolment.read_certificate(certificate)
    other = transfer.read_claim(transfer.claim(enrolment.make_key(), certificate, "GET", "/x", NOW))
    renewal = enrolment.sign_renewal(key, certificate, enrolment.make_csr(key, "h1"), NOW)
    borrowed = Claim(enrolment.fingerprint(shown), renewal.time, renewal.signature)
    for made in (other, borrowed, Claim(enrolment.fingerprint(shown), int(NOW.timestamp()), b"")):
        with pytest.raises(Refusal, match="not signed by the key"):
            transfer.verify(shown, made, "GET", "/x", NOW)


@given(st.text(max_size=200))
def test_whatever_a_header_holds_is_a_claim_or_refused(text: str) -> None:
    with pytest.raises(Refusal):
        transfer.read_claim(text)


def test_a_span_is_written_as_it_is_read() -> None:
    assert transfer.span("bytes 5-9/10") == Span(5, 9, 10)
    assert str(Span(5, 9, 10)) == "bytes 5-9/10"


@pytest.mark.parametrize(
    "text",
    ["", "bytes", "bytes 5-9", "bytes -1-5/10", "bytes */10", "bytes 5-9/*", "bytes 9-5/10", "bytes 0-10/10",
     "lines 5-9/10",
     "bytes 0x5-9/10", "bytes ５-9/10", "bytes 5-9/10/11", "bytes 5-9/" + "9" * 16, "bytes=5-9/10"],
)  # fmt: skip
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        transfer.span(text)
