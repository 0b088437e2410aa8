"""Whether a signed host may have its next certificate without asking a person again.

Pure: the request, the host CA's certificate and the time in, the reviewed request out. Whether the host was
removed, and whether the certificate shown is the one it holds now, stands in the database: ask there too.
"""

from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from oms.bus import enrolment
from oms.bus.enrolment import Refusal, RenewRequest
from oms.server.ca import csr


class Renewal(msgspec.Struct, frozen=True):
    """A renewal that may be signed: the new request, and the fingerprint of the certificate that vouched."""

    request: csr.Request
    certificate_sha256: str


def review(renew: RenewRequest, host_ca: x509.Certificate, now: datetime) -> Renewal:
    """The renewal, if our CA made the old certificate, its key signed this just now, and the name stays."""
    old = enrolment.read_certificate(renew.certificate)
    try:
        # First of all, so that every key that is computed with below was reviewed when it was signed.
        old.verify_directly_issued_by(host_ca)
    except (InvalidSignature, *enrolment.UNREADABLE) as error:
        raise Refusal("The certificate shown was not issued by this server's host CA.") from error
    enrolment.verify_renewal(old, renew, now)
    end = old.not_valid_after_utc
    if not enrolment.may_renew(end, now):
        raise Refusal(f"The certificate ended on {end:%F}, too long ago: a person must sign this host again.")
    request = csr.review(renew.csr.encode())
    holder = old.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    if request.name != holder:
        raise Refusal(f"A renewal keeps the name: the CSR says {request.name}, the certificate {holder!s}.")
    return Renewal(request, enrolment.fingerprint(old))
