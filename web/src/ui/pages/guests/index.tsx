// All guests of all hosts.
import { Button, EmptyState, EmptyStateBody, PageSection } from "@patternfly/react-core";
import type { UseQueryResult } from "@tanstack/react-query";
import { lazy, Suspense, useCallback, useMemo, useState } from "react";
import { Link } from "react-router";
import type { FleetGuest, GuestPage } from "../../api/contract";
import { useAhead, useAnswer, useMay } from "../../api/queries";
import { useSession } from "../../api/session";
import { usePace } from "../../events/feed";
import { words } from "../../messages";
import { Failure } from "../../parts/Failure";
import { type ActionName, act, keyOf, pageOf, possible } from "../../parts/guest/actions";
import { GuestAsking, isAsked, useAct } from "../../parts/guest/GuestAsking";
import { type Asking, guestActions } from "../../parts/guest/GuestMenu";
import { GuestState } from "../../parts/guest/GuestState";
import { type ListAddress, type Stand, useListAddress } from "../../parts/list/address";
import { type Column, ListTable } from "../../parts/list/ListTable";
import { type Filter, ListToolbar } from "../../parts/list/ListToolbar";
import { RowLink } from "../../parts/list/links";
import { Pages } from "../../parts/list/Pages";
import { Marks } from "../../parts/Mark";
import { PageHead } from "../../parts/PageHead";
import { mb } from "../../parts/units";
import type { Work } from "./bulk";

const said = words.guests;
const SORTS = ["name", "host", "kind", "state", "vcpus", "memory"] as const;
const FILTERS = ["kind", "state", "host", "tag"] as const;
type Sort = (typeof SORTS)[number];
type Address = ListAddress<Sort, (typeof FILTERS)[number]>;
/** What is done with many is loaded when somebody has chosen some. */
const loadBulk = () => import("./bulk");
const Outcomes = lazy(async () => ({ default: (await loadBulk()).Outcomes }));
const StopAsking = lazy(async () => ({ default: (await loadBulk()).StopAsking }));
const TagAsking = lazy(async () => ({ default: (await loadBulk()).TagAsking }));
const BULK: readonly ActionName[] = ["start", "shutdown", "stop"];

const COLUMNS: readonly Column<FleetGuest, Sort>[] = [
  {
    title: said.columns.name,
    sort: "name",
    width: [5, 8],
    cell: (guest) => <RowLink to={pageOf(guest)}>{guest.name}</RowLink>,
  },
  {
    title: said.columns.state,
    sort: "state",
    width: [1, 7],
    cell: (guest) => <GuestState state={guest.state} />,
  },
  {
    title: said.columns.host,
    sort: "host",
    width: [2, 7],
    cell: ({ host }) => <RowLink to={`/hosts/${host}`}>{host}</RowLink>,
  },
  { title: said.columns.kind, sort: "kind", width: [1, 6], cell: (guest) => said.kind[guest.kind] },
  { title: said.columns.vcpus, sort: "vcpus", width: [0.6, 5.5], cell: (guest) => guest.vcpus },
  {
    title: said.columns.memory,
    sort: "memory",
    width: [1, 6.5],
    cell: (guest) => (guest.memory_mb === 0 ? said.unlimited : mb(guest.memory_mb)),
  },
  {
    title: said.columns.tags,
    width: [1.5, 5],
    cell: (guest) => (
      <Marks key={keyOf(guest)} label={said.columns.tags} marks={guest.tags.map((text) => ({ text }))} />
    ),
  },
];

export function Component(): React.ReactNode {
  const at: Address = useListAddress(SORTS, FILTERS);
  const listed = useGuests(at);
  const filters = useFilters();
  const rows = listed.data?.guests;
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const picked = (rows ?? []).filter((guest) => chosen.has(keyOf(guest)));
  const [work, setWork] = useState<Work>();
  const [stopped, setStopped] = useState<Work>();
  const [isTagging, setTagging] = useState(false);
  const [asked, setAsked] = useState<{ guest: FleetGuest; what: Asking }>();
  const actNow = useAct();
  const mayChange = useMay("kvmservices.start_vm");
  const { role } = useSession();

  const actions = useCallback(
    (guest: FleetGuest) => {
      const ask = (what: Asking): void => {
        if (isAsked(what)) setAsked({ guest, what });
        else void actNow(what as ActionName, guest);
      };
      return guestActions(guest, role, ask);
    },
    [actNow, role],
  );

  return (
    <>
      <PageHead
        title={words.shell.nav.guests}
        {...(mayChange && {
          actions: <Button component={(props) => <Link {...props} to="/guests/create" />}>{said.create}</Button>,
        })}
      />
      <PageSection>
        <ListToolbar at={at} filters={filters} total={listed.data?.total}>
          {mayChange && (
            <BulkButtons guests={picked} onWork={setWork} onStop={setStopped} onTag={() => setTagging(true)} />
          )}
        </ListToolbar>
        <Failure of={listed.error} retry={() => void listed.refetch()} />
        {(rows !== undefined || listed.isPending) && (
          <ListTable
            label={words.shell.nav.guests}
            at={at}
            columns={COLUMNS}
            rows={rows}
            areOld={listed.isPlaceholderData}
            keyOf={keyOf}
            nameOf={(guest) => guest.name}
            {...(mayChange && { chosen, onChoose: setChosen })}
            actions={actions}
            empty={<Nobody />}
          />
        )}
        <Pages at={at} total={listed.data?.total} />
      </PageSection>
      <Suspense>
        {work && <Outcomes work={work} onClose={() => setWork(undefined)} />}
        {stopped && (
          <StopAsking
            work={stopped}
            onClose={() => setStopped(undefined)}
            onWork={(next) => {
              setStopped(undefined);
              setWork(next);
            }}
          />
        )}
        {isTagging && (
          <TagAsking
            guests={picked}
            onClose={() => setTagging(false)}
            onWork={(next) => {
              setTagging(false);
              setWork(next);
            }}
          />
        )}
      </Suspense>
      {asked && <GuestAsking {...asked} onClose={() => setAsked(undefined)} />}
    </>
  );
}

/** The guests that the address tells of; those that one may go on to are asked for too. */
function useGuests(at: Address): UseQueryResult<GuestPage> {
  const pace = usePace();
  const asking = askingFor(at);
  const listed = useAnswer("fleetservices.list_guests", asking, { keepBefore: true, every: pace });
  const next = at.near ? askingFor(at.near) : { ...asking, offset: at.offset + at.perPage };
  const isThere = !listed.isPlaceholderData && next.offset < (listed.data?.total ?? 0);
  useAhead("fleetservices.list_guests", isThere ? next : undefined, { isNear: at.near !== undefined });
  return listed;
}

function askingFor(stand: Stand<Sort, (typeof FILTERS)[number]>) {
  const { search, filters, sort, descending, offset, perPage: most } = stand;
  const narrowed = filters as { kind: "" | "kvm"; state: "" | "running"; host: string; tag: string };
  return { search, ...narrowed, sort, descending, offset, most };
}

function useFilters(): readonly Filter<(typeof FILTERS)[number]>[] {
  const tags = useAnswer("tagservices.list_tags", {});
  return useMemo(
    () => [
      {
        name: "state",
        label: said.filters.state,
        options: Object.entries(said.state).map(([value, label]) => ({ value, label })),
      },
      {
        name: "kind",
        label: said.filters.kind,
        options: Object.entries(said.kind).map(([value, label]) => ({ value, label })),
      },
      {
        name: "host",
        label: said.filters.host,
        useFound: useHosts,
      },
      {
        name: "tag",
        label: said.filters.tag,
        options: (tags.data ?? [])
          .filter(({ level }) => level === 3)
          .map(({ tag }) => ({ value: tag, label: tag })),
      },
    ],
    [tags.data],
  );
}

const FOUND = 10;

/** Names of hosts, the first few in which that is. */
function useHosts(search: string, isChoosing: boolean): readonly string[] {
  const { data } = useAnswer(
    "fleetservices.list_hosts",
    { search, most: FOUND },
    { enabled: isChoosing, keepBefore: true },
  );
  return useMemo(() => data?.hosts.map(({ name }) => name) ?? [], [data]);
}

interface BulkProps {
  guests: readonly FleetGuest[];
  onWork: (work: Work) => void;
  /** Something may be lost by it. */
  onStop: (work: Work) => void;
  onTag: () => void;
}

/** What can be done with all that are chosen: each is done with those for which it makes sense. */
function BulkButtons({ guests, onWork, onStop, onTag }: BulkProps): React.ReactNode {
  const { role } = useSession();
  if (guests.length === 0) return null;
  return (
    <>
      <span>{said.selected(guests.length)}</span>
      {BULK.map((name) => {
        const able = guests.filter((guest) => possible(guest, role).includes(name));
        return (
          <Button
            key={name}
            variant="secondary"
            isDanger={name === "stop"}
            isDisabled={able.length === 0}
            onClick={() => (name === "stop" ? onStop : onWork)({ guests: able, run: (guest) => act(name, guest) })}
          >
            {said.actions[name]}
          </Button>
        );
      })}
      <Button variant="secondary" onClick={onTag}>
        {said.actions.tag}
      </Button>
    </>
  );
}

function Nobody(): React.ReactNode {
  return (
    <EmptyState titleText={said.empty} headingLevel="h2">
      <EmptyStateBody>{said.emptyText}</EmptyStateBody>
    </EmptyState>
  );
}
