import type { FleetHost } from "../../../api/contract";
import { useAnswer } from "../../../api/queries";
import { words } from "../../../messages";
import { Failure } from "../../../parts/Failure";
import { MeterCard } from "../../../parts/Meter";
import { SmallTable } from "../../../parts/SmallTable";
import { kb } from "../../../parts/units";
import { About } from "./About";
import { History } from "./History";

const said = words.host;
const STATS_EVERY_MS = 5_000;
const WANTED = ["cpu", "memory", "df", "swap", "uptime"] as const;

/** How a host is now, how it was, and what it is. */
export function Overview({ host }: { host: FleetHost }): React.ReactNode {
  const isHere = host.state === "connected";
  return (
    <>
      {isHere && <Use host={host} />}
      {isHere && <History host={host.name} />}
      <About name={host.name} />
    </>
  );
}

function Use({ host }: { host: FleetHost }): React.ReactNode {
  const asked = useAnswer(
    "statsservices.get_stats",
    { server_hostname: host.name, stats_argument: [...WANTED] },
    { every: STATS_EVERY_MS, cache: 3 },
  );
  const { cpu, memory, df, swap } = asked.data ?? {};
  const has = (of: { total: string } | undefined): boolean => Number(of?.total ?? 0) > 0;
  const used = (of: { used: string; total: string } | undefined): string | undefined =>
    of && said.used(kb(Number(of.used)), kb(Number(of.total)));
  return (
    <>
      <Failure of={asked.error} />
      <div className="oms-even">
        <MeterCard
          title={said.gauges.cpu}
          percent={cpu?.percentage}
          text={host.load === null ? undefined : said.loadOf(host.load.toFixed(2), host.cpus)}
        />
        <MeterCard title={said.gauges.memory} percent={memory?.percentage} text={used(memory)} />
        <MeterCard title={said.gauges.disk} percent={df?.percentage} text={used(df)} />
        <MeterCard title={said.gauges.swap} percent={has(swap) ? swap?.percentage : undefined} text={used(swap)} />
      </div>
      {df && df.details.length > 0 && (
        <SmallTable
          title={said.mounts.title}
          none={words.parts.none}
          columns={[said.mounts.mount, said.mounts.device, said.mounts.used, said.mounts.free]}
          rows={df.details}
          keyOf={(it) => `${it.mount} ${it.dev}`}
          cells={(it) => [it.mount, it.dev, kb(Number(it.used)), kb(Number(it.free))]}
        />
      )}
    </>
  );
}
