"""Which renewals may be signed without a person: the same host, vouched for by a certificate of ours."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from oms.bus import enrolment
from oms.bus.enrolment import Refusal, RenewRequest
from oms.server.ca import authority, renewal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CA = authority.create("host", NOW)
KEY = enrolment.make_key()
OLD = authority.issue_host(CA, "h1", enrolment.public_key(KEY), 90, NOW)
NEW_KEY = enrolment.make_key()


def renew(name: str = "h1", now: datetime = NOW, certificate: str = authority.pem(OLD)) -> RenewRequest:
    return enrolment.sign_renewal(KEY, certificate, enrolment.make_csr(NEW_KEY, name), now)


def test_a_host_gets_a_new_key_certified_under_its_old_name() -> None:
    reviewed = renewal.review(renew(), CA.certificate, NOW)
    assert reviewed.request.name == "h1"
    assert reviewed.request.key_sha256 == enrolment.key_sha256(NEW_KEY)
    assert reviewed.certificate_sha256 == enrolment.fingerprint(OLD)


def test_a_host_cannot_take_another_name() -> None:
    with pytest.raises(Refusal, match="keeps the name: the CSR says h2, the certificate h1"):
        renewal.review(renew("h2"), CA.certificate, NOW)


def test_a_host_that_was_off_for_a_while_comes_back_but_not_after_thirty_days() -> None:
    end = OLD.not_valid_after_utc
    soon, late = end + timedelta(days=29), end + timedelta(days=31)
    assert renewal.review(renew(now=soon), CA.certificate, soon).request.name == "h1"
    with pytest.raises(Refusal, match="a person must sign this host again"):
        renewal.review(renew(now=late), CA.certificate, late)


def test_a_certificate_of_another_authority_vouches_for_nothing() -> None:
    other = authority.create("host", NOW)
    foreign = authority.pem(authority.issue_host(other, "h1", enrolment.public_key(KEY), 90, NOW))
    with pytest.raises(Refusal, match="not issued by this server's host CA"):
        renewal.review(renew(certificate=foreign), CA.certificate, NOW)
    with pytest.raises(Refusal, match="not signed by the key"):
        renewal.review(renew(certificate=authority.pem(CA.certificate)), CA.certificate, NOW)


def test_a_stolen_certificate_without_its_key_is_worth_nothing() -> None:
    thief = enrolment.make_key()
    request = enrolment.sign_renewal(thief, authority.pem(OLD), enrolment.make_csr(thief, "h1"), NOW)
    with pytest.raises(Refusal, match="not signed by the key"):
        renewal.review(request, CA.certificate, NOW)


@pytest.mark.parametrize(
    "change",
    [{"certificate": ""}, {"certificate": "ü"}, {"csr": ""}, {"csr": "ü"}, {"signature": b""}, {"time": 0}],
)
def test_a_damaged_renewal_is_refused(change: dict[str, str | bytes | int]) -> None:
    with pytest.raises(Refusal):
        renewal.review(msgspec.structs.replace(renew(), **change), CA.certificate, NOW)


def test_what_is_vouched_for_must_still_pass_the_review_of_requests() -> None:
    request = enrolment.sign_renewal(KEY, authority.pem(OLD), "no CSR", NOW)
    with pytest.raises(Refusal, match="not one CSR"):
        renewal.review(request, CA.certificate, NOW)
