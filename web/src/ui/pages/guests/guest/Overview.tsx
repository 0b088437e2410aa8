import { Card, CardBody, CardTitle, Content } from "@patternfly/react-core";
import type { ContainerDescription, Description, FleetGuest, MachineStats } from "../../../api/contract";
import { useAnswer } from "../../../api/queries";
import { words } from "../../../messages";
import { type Detail, Details } from "../../../parts/Details";
import { Failure } from "../../../parts/Failure";
import { Loading } from "../../../parts/Loading";
import { MeterCard } from "../../../parts/Meter";
import { SmallTable } from "../../../parts/SmallTable";
import { kb, mb } from "../../../parts/units";

const said = words.guests.page;
const STATS_EVERY_MS = 5_000;
const WANTED = ["cpu", "memory", "df", "network"];

/** How a guest is now, and what it is made of. */
export function Overview({ guest }: { guest: FleetGuest }): React.ReactNode {
  if (guest.state === "unknown") return <Content component="p">{words.guests.unknownText}</Content>;
  return (
    <div className="oms-stack">
      <Use guest={guest} />
      {guest.kind === "kvm" ? <MachineParts guest={guest} /> : <ContainerParts guest={guest} />}
    </div>
  );
}

/** What it uses: asked of its host every few seconds while somebody looks. */
function Use({ guest }: { guest: FleetGuest }): React.ReactNode {
  const isOn = guest.state === "running" || guest.state === "paused";
  const listed = useAnswer(
    guest.kind === "kvm" ? "kvmservices.list_vms" : "ovzservices.list_vms",
    { server_hostname: guest.host, stats_argument: WANTED },
    { enabled: isOn, every: STATS_EVERY_MS, cache: 3 },
  );
  if (!isOn) return <Content component="p">{said.off}</Content>;
  const found: readonly { id: string; uuid?: string; stats: MachineStats }[] = listed.data ?? [];
  const stats = found.find((line) => (line.uuid ?? line.id) === guest.id)?.stats;
  return (
    <>
      <Failure of={listed.error} />
      <div className="oms-even">
        <MeterCard title={said.cpu} percent={stats?.cpu?.percentage} text={said.ofItsCpus} />
        <MeterCard
          title={said.memory}
          percent={stats?.memory?.percentage}
          text={stats?.memory && said.used(kb(Number(stats.memory.used)), kb(Number(stats.memory.total)))}
        />
        <MeterCard
          title={said.disk}
          percent={stats?.df?.percentage}
          text={stats?.df && said.used(kb(Number(stats.df.used)), kb(Number(stats.df.total)))}
        />
        <Card isFullHeight isCompact>
          <CardTitle component="h2">{said.network}</CardTitle>
          <CardBody className="oms-break">
            {stats?.network?.ip || words.parts.none}
            <Content component="small">{stats?.network?.name}</Content>
          </CardBody>
        </Card>
      </div>
    </>
  );
}

const yesNo = (is: boolean): string => (is ? said.yes : said.no);

function MachineParts({ guest }: { guest: FleetGuest }): React.ReactNode {
  const { host: server_hostname, id: kvm_vm_name } = guest;
  const found = useAnswer("kvmservices.describe_vm", { server_hostname, kvm_vm_name });
  if (found.isPending) return <Loading />;
  if (found.data === undefined) return <Failure of={found.error} retry={() => void found.refetch()} />;
  const it: Description = found.data;
  return (
    <>
      {it.saved && <Content component="p">{said.saved}</Content>}
      <Details
        title={said.details}
        lines={[
          [words.guests.columns.vcpus, it.vcpus],
          [words.guests.columns.memory, mb(it.memory_mb)],
          [said.autostart, yesNo(it.autostart)],
          [said.boot, it.boot.map((from) => said.boots[from] ?? from).join(", ")],
          [said.graphics, it.graphics.join(", ").toUpperCase()],
          [said.guestAgent, yesNo(it.guest_agent)],
          [
            said.uuid,
            <span key="uuid" className="oms-mono">
              {it.uuid}
            </span>,
          ],
          ...(it.waiting.length > 0 ? [[said.waiting, it.waiting.join(", ")] as Detail] : []),
        ]}
      />
      <SmallTable
        title={said.disks}
        none={said.noDisks}
        columns={[said.target, said.source, said.format, said.size]}
        rows={it.disks}
        keyOf={(disk) => disk.target}
        cells={(disk) => [
          `${disk.target} (${disk.bus}${disk.device === "disk" ? "" : `, ${disk.device}`})`,
          disk.source,
          disk.read_only ? `${disk.format}, ${said.readOnly}` : disk.format,
          disk.size_kb ? kb(disk.size_kb) : words.parts.none,
        ]}
      />
      <SmallTable
        title={said.nics}
        none={said.noNics}
        columns={[said.mac, said.network2, said.model]}
        rows={it.nics}
        keyOf={(nic) => nic.mac}
        cells={(nic) => [nic.mac, `${nic.source} (${nic.kind})`, nic.model]}
      />
    </>
  );
}

function ContainerParts({ guest }: { guest: FleetGuest }): React.ReactNode {
  const { host: server_hostname, id: container_id } = guest;
  const found = useAnswer("ovzservices.describe_vm", { server_hostname, container_id });
  if (found.isPending) return <Loading />;
  if (found.data === undefined) return <Failure of={found.error} retry={() => void found.refetch()} />;
  const it: ContainerDescription = found.data;
  const limit = (amount: number): string => (amount === 0 ? words.guests.unlimited : mb(amount));
  return (
    <Details
      title={said.details}
      lines={[
        [said.id, it.id],
        [said.hostname, it.hostname],
        [words.guests.columns.vcpus, it.vcpu],
        [words.guests.columns.memory, limit(it.memory)],
        [said.diskLimit, limit(it.disk)],
        [said.network, `${it.network}${it.bridge && ` (${it.bridge})`}`],
        [said.addresses, it.ip_address.join(", ")],
        [said.nameservers, it.nameserver.join(", ")],
        [said.searchdomains, it.searchdomain.join(", ")],
        [said.autostart, yesNo(it.onboot)],
        [said.unprivileged, yesNo(it.unprivileged)],
        ...(it.waiting.length > 0 ? [[said.waiting, it.waiting.join(", ")] as Detail] : []),
      ]}
    />
  );
}
