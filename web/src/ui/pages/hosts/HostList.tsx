import { Icon, Tooltip } from "@patternfly/react-core";
import { ExclamationTriangleIcon } from "@patternfly/react-icons";
import { useCallback, useMemo, useState } from "react";
import { useNavigate } from "react-router";
import type { FleetHost, Methods } from "../../api/contract";
import { useAnswer, useMay } from "../../api/queries";
import { usePace } from "../../events/feed";
import { words } from "../../messages";
import { Failure } from "../../parts/Failure";
import { useListAddress } from "../../parts/list/address";
import { type Column, ListTable } from "../../parts/list/ListTable";
import { type Filter, ListToolbar } from "../../parts/list/ListToolbar";
import { RowLink } from "../../parts/list/links";
import { Mark, Marks } from "../../parts/Mark";
import { Meter, share } from "../../parts/Meter";
import type { Offered } from "../../parts/RowMenu";
import { mb } from "../../parts/units";
import { RemoveHost } from "./RemoveHost";

type Params = Methods["fleetservices.list_hosts"]["params"];
type Sort = NonNullable<Params["sort"]>;
type State = NonNullable<Params["state"]>;

const said = words.hosts;
const SORTS = ["name", "state", "guests", "cpu", "memory", "disk", "load", "certificate"] as const;
const FILTERS = ["state", "tag"] as const;
type FilterName = (typeof FILTERS)[number];
const STATES: readonly State[] = ["connected", "away", "attention"];

/** The signed hosts, with how they are now. */
export function HostList(): React.ReactNode {
  const at = useListAddress<Sort, FilterName>(SORTS, FILTERS);
  const filters = useFilters();
  const [removed, setRemoved] = useState("");
  const actions = useActions(setRemoved);
  const { data, error, refetch, isPlaceholderData } = useAnswer(
    "fleetservices.list_hosts",
    {
      search: at.search,
      state: at.filters.state as State,
      tag: at.filters.tag,
      sort: at.sort,
      descending: at.descending,
      offset: at.offset,
      most: at.perPage,
    },
    { keepBefore: true, every: usePace() },
  );
  return (
    <>
      <ListToolbar at={at} filters={filters} total={data?.total} />
      <Failure of={error} retry={() => void refetch()} />
      {(data !== undefined || error === null) && (
        <ListTable
          label={said.title}
          at={at}
          columns={COLUMNS}
          rows={data?.hosts}
          areOld={isPlaceholderData}
          keyOf={({ id }) => id}
          nameOf={({ name }) => name}
          actions={actions}
          empty={null}
        />
      )}
      {removed !== "" && <RemoveHost name={removed} close={() => setRemoved("")} />}
    </>
  );
}

function useFilters(): readonly Filter<FilterName>[] {
  const { data: tags = [] } = useAnswer("tagservices.list_tags", {});
  return useMemo(
    () => [
      {
        name: "state",
        label: said.stateFilter,
        options: STATES.map((value) => ({
          value,
          label: said.stateOptions[value as keyof typeof said.stateOptions],
        })),
      },
      {
        name: "tag",
        label: said.tagFilter,
        options: tags.map(({ tag }) => ({ value: tag, label: tag })),
      },
    ],
    [tags],
  );
}

function useActions(remove: (name: string) => void): (host: FleetHost) => Offered {
  const go = useNavigate();
  const mayRemove = useMay("funcservices.remove_signed");
  return useCallback(
    ({ name }) => [
      { title: said.open, onClick: () => void go(`/hosts/${name}`) },
      mayRemove && { title: said.remove.action, isDanger: true, onClick: () => remove(name) },
    ],
    [go, mayRemove, remove],
  );
}

const COLUMNS: readonly Column<FleetHost, Sort>[] = [
  {
    title: said.columns.name,
    sort: "name",
    width: [3, 10],
    cell: ({ name, distribution }) => (
      <div className="oms-name">
        <RowLink to={`/hosts/${name}`}>{name}</RowLink>
        <div className="oms-subtle">{distribution}</div>
      </div>
    ),
  },
  { title: said.columns.state, sort: "state", width: [1, 8.5], cell: (host) => <HostState host={host} /> },
  {
    title: said.columns.guests,
    sort: "guests",
    width: [1, 7],
    cell: ({ state, guests, guests_running: running }) =>
      state === "away" ? (
        guests
      ) : (
        <span title={said.runningLabel(running, guests)}>{said.running(running, guests)}</span>
      ),
  },
  {
    title: said.columns.cpu,
    sort: "cpu",
    width: [1, 8],
    cell: ({ name, cpu_percent: percent }) => (
      <Meter percent={percent} label={said.used(said.columns.cpu, name)} />
    ),
  },
  {
    title: said.columns.memory,
    sort: "memory",
    width: [1, 8.5],
    cell: ({ name, memory_used_mb: used, memory_mb: whole }) => (
      <Meter
        percent={share(used, whole)}
        label={said.used(said.columns.memory, name)}
        text={ofWhole(used, whole)}
      />
    ),
  },
  {
    title: said.columns.disk,
    sort: "disk",
    width: [1, 8.5],
    cell: ({ name, disk_used_mb: used, disk_mb: whole }) => (
      <Meter percent={share(used, whole)} label={said.used(said.columns.disk, name)} text={ofWhole(used, whole)} />
    ),
  },
  {
    title: said.columns.tags,
    width: [1.5, 6],
    cell: ({ id, tags }) => (
      <Marks
        key={id}
        label={said.columns.tags}
        marks={tags
          .filter(({ level }) => level !== 2)
          .map(({ tag, level }) => ({ text: tag, look: level === 1 ? "blue" : "grey" }))}
      />
    ),
  },
];

function ofWhole(used: number | null, whole: number | null): string {
  return used === null || whole === null ? words.parts.none : `${mb(used)} / ${mb(whole)}`;
}

/** Connected or away, and why somebody should look at it. */
export function HostState({ host }: { host: Pick<FleetHost, "state" | "attention"> }): React.ReactNode {
  const reasons = host.attention.filter((reason) => reason !== "away").map((reason) => said.attention[reason]);
  return (
    <span className="oms-nowrap">
      <Mark isOutlined look={host.state === "connected" ? "success" : "danger"}>
        {said.states[host.state]}
      </Mark>
      {reasons.length > 0 && (
        <Tooltip content={reasons.join(". ")}>
          <button type="button" className="oms-attention" aria-label={reasons.join(". ")}>
            <Icon status="warning">
              <ExclamationTriangleIcon />
            </Icon>
          </button>
        </Tooltip>
      )}
    </span>
  );
}
