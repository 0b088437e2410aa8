"""A real slapd on loopback, with TLS, some users and some groups."""

import subprocess
from pathlib import Path
from typing import Self

from tests.bus.nats.pki import Pki
from tests.free_port import free_port
from tests.waiting import listens, until

SECONDS = 60.0
BASE = "dc=example,dc=org"
READER, READER_PASSWORD = f"cn=reader,{BASE}", "the reader's password"
READS = f"userPassword: {READER_PASSWORD}\n"
PASSWORD = "a directory's own password"
USERS = ("anna", "bert", "carl", "dora")
GROUPS = {"oms-admins": ("anna",), "oms-viewers": ("anna", "bert", "dora"), "others": ("carl",)}


class Slapd:
    """`with Slapd(folder) as slapd:` it answers at `url` (StartTLS) and `tls_url`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.pki = Pki(folder)
        self.ca = folder / "bus-ca.crt"
        self.url, self.tls_url = (f"{kind}://127.0.0.1:{free_port()}" for kind in ("ldap", "ldaps"))
        self.reader_password = folder / "reader"
        self.reader_password.write_text(READER_PASSWORD + "\n")

    def __enter__(self) -> Self:
        (self._folder / "data").mkdir()
        (self._folder / "slapd.conf").write_text(self._settings())
        (self._folder / "users.ldif").write_text("\n".join(_entries()))
        config = ("-f", str(self._folder / "slapd.conf"))
        subprocess.run(
            ["/usr/sbin/slapadd", *config, "-l", str(self._folder / "users.ldif")], check=True, capture_output=True
        )
        with (self._folder / "slapd.log").open("wb") as log:
            listening = ("-h", f"{self.url}/ {self.tls_url}/")
            self._process = subprocess.Popen(
                ["/usr/sbin/slapd", *config, *listening, "-d", "0"], stdout=log, stderr=log
            )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)

    def _wait(self) -> None:
        port, log = int(self.url.rpartition(":")[2]), self._folder / "slapd.log"
        until(lambda: listens(port) or self._process.poll() is not None, log.read_text)
        assert self._process.poll() is None, log.read_text()

    def _settings(self) -> str:
        server = self.pki.nats  # of this name and address
        schemas = "".join(
            f"include /etc/ldap/schema/{name}.schema\n" for name in ("core", "cosine", "inetorgperson")
        )
        return f"""{schemas}
moduleload back_mdb
TLSCertificateFile {server.cert}
TLSCertificateKeyFile {server.key}
TLSCACertificateFile {self.ca}
security simple_bind=128
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{READER}" read by anonymous auth by * none
database mdb
maxsize 16777216
suffix "{BASE}"
directory {self._folder / "data"}
"""


def _entries() -> list[str]:
    found = [
        f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n",
        f"dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\n{READS}",
    ]
    found += [
        f"dn: ou={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit}\n" for unit in ("people", "groups")
    ]
    for name in (*USERS, "viewer"):
        found.append(
            f"dn: uid={name},ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
            f"userPassword: {PASSWORD}\n"
        )
    for group, members in GROUPS.items():
        member = "".join(f"member: uid={name},ou=people,{BASE}\n" for name in members)
        found.append(f"dn: cn={group},ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: {group}\n{member}")
    return found
