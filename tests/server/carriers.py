"""Those who bring bytes and the hosts that take them, spoken for in tests."""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

from oms.bus import enrolment, transfer
from oms.bus.call import encode
from oms.contract import iso
from oms.contract.incoming import Upload
from oms.contract.internal import JobState
from tests.server.double import HostDouble
from tests.server.rig import Oms, Person
from tests.server.streams import Stream

CONTENT = os.urandom(300_000)


class Signed:
    """A host that is signed, with its key, and an agent that does as it is told."""

    def __init__(self, oms: Oms, double: HostDouble, key: bytes, certificate: str) -> None:
        self.oms, self.double, self.key, self.certificate = oms, double, key, certificate

    def headers(self, verb: str, target: str, now: datetime | None = None) -> dict[str, str]:
        made = transfer.claim(self.key, self.certificate, verb, target, now or datetime.now(UTC))
        return {transfer.HOST_HEADER: made}

    def takes(self, job: str, offset: int = 0) -> Stream:
        target = f"/transfers/{job}?offset={offset}"
        return Stream(self.oms.edge, "GET", target, self.headers("GET", target))

    def brings(self, job: str, content: bytes, offset: int = 0) -> Stream:
        target = f"/transfers/{job}"
        span = transfer.Span(offset, len(content) - 1, len(content))
        headers = {"content-range": str(span), "content-length": str(len(content) - offset)}
        return Stream(self.oms.edge, "PUT", target, headers | self.headers("PUT", target), [content[offset:]])


async def signed_host(oms: Oms, name: str, **does: Any) -> Signed:
    key = enrolment.make_key()
    reply = await oms.enrol(name, key)
    assert reply.json.get("state") == "waiting", reply
    await (await oms.as_admin()).ask("funcservices.sign_requests", 0, [name])
    answer = (await oms.enrol(name, key)).json
    double = HostDouble(oms.bus, answer["host_id"], name, does.get("does", {}))
    oms.hosts.append(double)
    return Signed(oms, double, key, answer["certificate"])


async def uploading_host(oms: Oms) -> Signed:
    """A host h1 whose uploads answer at once and go on until the test ends them."""
    made = await signed_host(oms, "h1")

    async def upload(op: iso.UploadImage) -> Upload:
        (job,) = (
            state.id for state in made.double.journal.values() if state.state == "running" and not state.result
        )
        answer = Upload(job, f"/transfers/{job}")
        state = JobState(job, "running", result=encode(answer).decode())
        made.double.journal[job] = state
        await made.double.tell(state)
        await asyncio.Event().wait()
        return answer

    made.double.does[iso.UploadImage] = upload
    return made


async def begin(who: Person, size: int = len(CONTENT), name: str = "a.iso") -> str:
    answer = await who.ask("isoservices.upload_image", 0, "h1", name, size)
    return str(answer["result"]["job"])


def put(who: Person, job: str, content: bytes, content_range: str = "", **more: str) -> Stream:
    headers = {"authorization": f"Bearer {who.sessid}", "content-length": str(len(content)), **more}
    if content_range:
        headers["content-range"] = content_range
    pieces = [content[place : place + 65_536] for place in range(0, len(content), 65_536)]
    return Stream(who.oms.edge, "PUT", f"/transfers/{job}", headers, pieces)


async def ends(host: Signed, job: str, state: str = "done") -> None:
    """The host's job ends by itself."""
    kept = host.double.journal[job]
    host.double.journal[job] = JobState(job, state, result=kept.result)
    await host.double.tell(host.double.journal[job])
