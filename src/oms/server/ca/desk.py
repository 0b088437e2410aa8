"""What the signer answers to each of its four verbs, and in which order.

It believes nobody: a CSR is reviewed again here, and only the bytes that somebody saw are signed. Every
certificate is in the log, on the disk, before it is handed out: nothing valid exists that nobody knows of.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from cryptography import x509

from oms.bus import enrolment
from oms.bus.enrolment import Refusal
from oms.server.ca import authority, csr
from oms.server.ca.authority import Authorities, AuthorityError
from oms.server.ca.keystore import Entry, KeyStore
from oms.server.ca.protocol import (
    Answer,
    Failure,
    Issued,
    IssueIdentity,
    IssueServer,
    Question,
    ShowCa,
    SignHost,
    Trust,
)

log = structlog.get_logger("oms.signer")


@dataclass(frozen=True)
class Desk:
    """What answers a question: the keys, the log, and a clock."""

    authorities: Authorities
    store: KeyStore
    clock: Callable[[], datetime]

    def answer(self, question: Question) -> Answer:
        """The certificate, or why not."""
        try:
            match question:
                case SignHost():
                    return self._sign_host(question)
                case IssueServer():
                    return self._issue_server(question)
                case IssueIdentity():
                    return self._issue_identity(question)
                case ShowCa():
                    return self._trust()
        except Refusal as refusal:
            return Failure("refused", refusal.reason)
        except AuthorityError as error:
            return Failure("cannot_issue", str(error))
        except OSError:
            log.exception("the log of certificates cannot be written")
            return Failure("not_logged", "The log of certificates cannot be written, so nothing was issued.")

    def _sign_host(self, question: SignHost) -> Answer:
        if hashlib.sha256(question.csr).hexdigest() != question.csr_sha256:
            return Failure("changed", "These are not the bytes that were reviewed: nothing was signed.")
        request = csr.review(question.csr)
        now = self.clock()
        days = min(question.days, authority.HOST_DAYS)
        made = authority.issue_host(self.authorities.host, request.name, request.public_key, days, now)
        return self._hand_out("host", request.name, made, now, request.csr_sha256)

    def _issue_server(self, question: IssueServer) -> Answer:
        addresses = [enrolment.ip_address(text) for text in question.addresses]
        now = self.clock()
        made = authority.issue_server(
            self.authorities.server,
            question.public_key,
            question.dns,
            addresses,
            now,
            cluster=question.cluster,
        )
        return self._hand_out("server", " ".join(question.dns + question.addresses), made, now)

    def _issue_identity(self, question: IssueIdentity) -> Answer:
        now = self.clock()
        made = authority.issue_identity(self.authorities.server, question.public_key, question.role, now)
        return self._hand_out("identity", question.role, made, now)

    def _hand_out(
        self, kind: str, name: str, made: x509.Certificate, now: datetime, csr_sha256: str = ""
    ) -> Issued:
        """The answer with the certificate, once it is in the log."""
        serial, sha256 = f"{made.serial_number:032x}", enrolment.fingerprint(made)
        key = made.public_key()
        assert isinstance(key, enrolment.PublicKey)
        self.store.record(
            Entry(
                time=now,
                kind=kind,
                name=name,
                serial=serial,
                certificate_sha256=sha256,
                key_sha256=hashlib.sha256(enrolment.public_der(key)).hexdigest(),
                csr_sha256=csr_sha256,
                not_after=made.not_valid_after_utc,
            )
        )
        log.info(
            "certificate issued", kind=kind, name=name, serial=serial, not_after=f"{made.not_valid_after_utc:%F}"
        )
        return Issued(
            name=name,
            certificate=authority.pem(made),
            serial=serial,
            sha256=sha256,
            not_before=made.not_valid_before_utc,
            not_after=made.not_valid_after_utc,
        )

    def _trust(self) -> Trust:
        server, host = self.authorities.server.certificate, self.authorities.host.certificate
        return Trust(
            server_ca=authority.pem(server),
            server_ca_sha256=enrolment.fingerprint(server),
            host_ca=authority.pem(host),
            host_ca_sha256=enrolment.fingerprint(host),
        )
