"""What a nats-server of a cluster is given, so that it serves OMS: its configuration, its certificate, and the CAs
by which it knows the others. One directory a node, to be carried there by whoever runs it."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from oms import durable
from oms.bus import enrolment
from oms.bus.nats.config import BusConfig, Cluster, render
from oms.bus.nats.nkey import Issuer
from oms.server import identity
from oms.server.ca.client import SignerClient
from oms.server.store import Store, meta

CLUSTER = "oms-bus"


@dataclass(frozen=True)
class Node:
    """One node. `names`: DNS names and IP addresses under which servers, hosts and other nodes reach it, the first
    its own; `listen`, `cluster_listen`: host:port for them; `routes`: host:port of all nodes; `home`: the
    directory's path where it will run."""

    names: tuple[str, ...]
    listen: str
    cluster_listen: str
    routes: tuple[str, ...]
    home: Path


async def write(node: Node, to: Path, store: Store, signer: SignerClient) -> None:
    """Fill a directory that is made for it. Raises FileExistsError, OSError, SignerError, OmsError, Refusal."""
    await asyncio.to_thread(store.migrate)  # it may be the first that is done with a new database
    dns, addresses = identity.parted(node.names)
    trust = await signer.ca()
    issuer = Issuer.from_seed(await store.write(meta.bus_issuer))
    key = enrolment.make_key()
    issued = await signer.issue_server(enrolment.public_key(key), dns, addresses, cluster=True)
    text = render(
        BusConfig(
            listen=node.listen,
            run_dir=node.home,
            cert_file=node.home / "node.crt",
            key_file=node.home / "node.key",
            clients_ca_file=node.home / "clients-ca.crt",
            issuer=issuer.public,
            server_name=node.names[0],
            cluster=Cluster(
                name=CLUSTER,
                listen=node.cluster_listen,
                routes=node.routes,
                ca_file=node.home / "server-ca.crt",
            ),
        )
    )
    to.mkdir(mode=0o700, parents=True)
    durable.write_whole(to / "node.key", key)
    durable.write_whole(to / "node.crt", issued.certificate.encode())
    durable.write_whole(to / "clients-ca.crt", (trust.server_ca + trust.host_ca).encode())
    durable.write_whole(to / "server-ca.crt", trust.server_ca.encode())
    durable.write_whole(to / "nats.conf", text.encode())
