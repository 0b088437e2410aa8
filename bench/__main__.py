"""`make bench`, or `python -m bench [part ...]`: session recorded live start memory. Needs root and wrk."""

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import libvirt

from bench import floor
from bench.load import Load, wrk
from tests.hosts.guests import domain_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import NAME, Stack, free_port

MACHINES = 200
ROUNDS = 5
SECONDS = 2.0
GROUPS = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
)


class Bench:
    """One run: a whole OMS over a private libvirtd, and the floor beside it."""

    def __init__(self, oms: Stack, uri: str, floor_url: str) -> None:
        self.oms, self.uri, self.floor = oms, uri, floor_url
        self.url = f"https://127.0.0.1:{oms.port}/"
        self.caller = oms.caller()

    def body(self, service: str, method: str, *params: object) -> str:
        return json.dumps({"service": service, "method": method, "id": 1, "params": [self.caller.sessid, *params]})

    def session(self) -> None:
        """A session check beside Starlette's answer of 289 bytes."""
        body = self.body("authservices", "checksessid")
        self.http("session check / Starlette 289 B", body, "/small", goals=(0.6, 1.7))
        ours, theirs = self.pairs(
            lambda: wrk(self.url, clients=16, seconds=SECONDS, body=body, close=True).rate,
            lambda: wrk(self.floor + "/small", clients=16, seconds=SECONDS, body=body, close=True).rate,
        )
        ratio("new connection, rate at 16 / Starlette", ours, theirs, ">= 0.85", "per s")

    def recorded(self) -> None:
        """A recorded list of 200 machines beside Starlette's answer of the same size."""
        body = self.body("kvmservices", "list_vms_status", 3600, NAME)
        self.http("recorded list / Starlette, same size", body, "/large", goals=(0.8, 1.7))

    def http(self, title: str, body: str, path: str, goals: tuple[float, float]) -> None:
        for clients, pick, goal, unit in (
            (1, lambda load: load.p50, f"<= {goals[1]}", "ms p50"),
            (16, lambda load: load.rate, f">= {goals[0]}", "per s"),
        ):
            ours, theirs = self.pairs(
                lambda c=clients, p=pick: p(good(wrk(self.url, clients=c, seconds=SECONDS, body=body))),
                lambda c=clients, p=pick: p(good(wrk(self.floor + path, clients=c, seconds=SECONDS, body=body))),
            )
            ratio(f"{title}, {clients} client{'s' if clients > 1 else ''}", ours, theirs, goal, unit)

    def live(self) -> None:
        """A live list of 200 machines beside one bare libvirt call for the same four groups."""
        body = self.body("kvmservices", "list_vms_status", 0, NAME)
        bare = libvirt.open(self.uri)
        bare.getAllDomainStats(GROUPS, 0)
        ours, theirs = self.pairs(
            lambda: good(wrk(self.url, clients=1, seconds=SECONDS, body=body)).p50,
            lambda: median_ms(lambda: bare.getAllDomainStats(GROUPS, 0)),
        )
        ratio("live list p50 / one libvirt call, 4 groups", ours, theirs, "<= 1.25, aim < 1.0", "ms")
        ours, theirs = self.pairs(
            lambda: good(wrk(self.url, clients=16, seconds=SECONDS, body=body)).rate, self.sixteen
        )
        ratio("live list rate at 16 / libvirt's own at 16", ours, theirs, ">= 1.0", "per s")
        bare.close()

    def sixteen(self) -> float:
        end, counts = time.monotonic() + SECONDS, []

        def ask() -> None:
            connection, count = libvirt.open(self.uri), 0
            while time.monotonic() < end:
                connection.getAllDomainStats(GROUPS, 0)
                count += 1
            counts.append(count)
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / SECONDS

    def start(self) -> None:
        """start_vm beside bare create() of the same machine."""
        bare = libvirt.open(self.uri)
        domain = bare.lookupByName("bench-0")
        self.caller.close()  # the server ends connections that were idle for long

        def timed(act: Callable[[], object]) -> float:
            began = time.perf_counter()
            act()
            took = (time.perf_counter() - began) * 1000
            domain.destroy()
            time.sleep(0.3)
            return took

        ours, theirs = self.pairs(
            lambda: timed(lambda: self.caller.kvm("start_vm", "bench-0")), lambda: timed(domain.create), rounds=10
        )
        ratio("start_vm / create()", ours, theirs, "<= 1.1", "ms")
        bare.close()

    def memory(self) -> None:
        """Resident memory after all that, in MB."""
        for name in ("server", "agent", "nats", "signer"):
            status = Path(f"/proc/{self.oms.pid(name)}/status").read_text()
            rss = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
            print(f"memory of {name:42} {int(rss) / 1024:8.1f} MB")

    def pairs(
        self, ours: Callable[[], float], theirs: Callable[[], float], rounds: int = ROUNDS
    ) -> tuple[list[float], list[float]]:
        """Both in turn, so that what else the machine does falls on both."""
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            found[0].append(ours())
            found[1].append(theirs())
        return found


def good(load: Load) -> Load:
    assert not load.failed, f"{load.failed} requests failed"
    return load


def median_ms(act: Callable[[], object]) -> float:
    end, took = time.monotonic() + SECONDS, []
    while time.monotonic() < end:
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def ratio(title: str, ours: list[float], theirs: list[float], goal: str, unit: str) -> None:
    mine, floor_ = statistics.median(ours), statistics.median(theirs)
    print(f"{title:52} {mine / floor_:6.2f}   goal {goal:20} ({mine:.2f} / {floor_:.2f} {unit})", flush=True)


def main() -> None:
    parts = sys.argv[1:] or ["session", "recorded", "live", "start", "memory"]
    with tempfile.TemporaryDirectory(prefix="oms-bench-") as name:
        directory = Path(name)
        with PrivateLibvirtd(directory / "libvirtd") as daemon:
            connection = daemon.connect()
            for number in range(MACHINES):
                connection.defineXML(
                    domain_xml(
                        f"bench-{number}",
                        memory_mb=32,
                        vcpu=1,
                        console=directory / "console",
                        disk=None,
                        image=None,
                    )
                )
            with Stack(directory / "oms", daemon.uri) as oms:
                caller = oms.caller()
                answer = directory / "large.json"
                status = caller.raw("kvmservices", "list_vms_status", caller.sessid, 0, NAME)
                answer.write_text(json.dumps(status))
                print(f"{MACHINES} machines, answer of {len(json.dumps(status, separators=(',', ':')))} bytes")
                tls = oms.directory / "server" / "tls"
                with floor.running(free_port(), tls / "web.crt", tls / "web.key", answer) as url:
                    bench = Bench(oms, daemon.uri, url)
                    for part in parts:
                        getattr(bench, part)()


if __name__ == "__main__":
    main()
