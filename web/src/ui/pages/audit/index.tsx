// The audit log, searched by what OMS can search by, the newest first.
import {
  Button,
  EmptyState,
  ExpandableSection,
  PageSection,
  Toolbar,
  ToolbarContent,
  ToolbarItem,
} from "@patternfly/react-core";
import { Link, useSearchParams } from "react-router";
import type { AuditEvent } from "../../api/contract";
import { useAnswer } from "../../api/queries";
import { words } from "../../messages";
import { Fingerprint } from "../../parts/Copyable";
import { Failure } from "../../parts/Failure";
import { useListAddress } from "../../parts/list/address";
import { type Column, ListTable } from "../../parts/list/ListTable";
import { Mark } from "../../parts/Mark";
import { PageHead } from "../../parts/PageHead";
import { When } from "../../parts/When";
import { AuditFilters, asked } from "./Filters";

const said = words.audit;
const MOST = 50;
const SORTS = ["newest"] as const;
const FILTERS = ["user", "method", "host", "outcome", "since", "until"] as const;

export function Component(): React.ReactNode {
  const [address, setAddress] = useSearchParams();
  const at = useListAddress(SORTS, FILTERS);
  const before = Number(address.get("before") ?? 0) || 0;
  const { data, error, refetch } = useAnswer(
    "auditservices.list_events",
    { before, most: MOST, ...asked(address) },
    { keepBefore: true },
  );
  const go = (to: number): void =>
    setAddress((now) => {
      const next = new URLSearchParams(now);
      if (to === 0) next.delete("before");
      else next.set("before", String(to));
      return next;
    });
  return (
    <>
      <PageHead title={said.title} text={said.text} />
      <PageSection isFilled>
        <AuditFilters />
        <Failure of={error} retry={() => void refetch()} />
        {(data !== undefined || error === null) && (
          <ListTable
            label={said.title}
            at={at}
            columns={COLUMNS}
            rows={data?.events}
            keyOf={({ number }) => String(number)}
            nameOf={({ method }) => method}
            empty={<EmptyState titleText={said.none} headingLevel="h2" variant="sm" />}
          />
        )}
        <Toolbar inset={{ default: "insetNone" }}>
          <ToolbarContent>
            <ToolbarItem>
              <Button variant="secondary" isDisabled={before === 0} onClick={() => go(0)}>
                {said.newest}
              </Button>
            </ToolbarItem>
            <ToolbarItem>
              <Button variant="secondary" isDisabled={!data?.before} onClick={() => go(data?.before ?? 0)}>
                {said.older}
              </Button>
            </ToolbarItem>
          </ToolbarContent>
        </Toolbar>
        <Head />
      </PageSection>
    </>
  );
}

/** The newest row and its seal, to be kept elsewhere. */
function Head(): React.ReactNode {
  const { data } = useAnswer("auditservices.describe_head", {});
  if (data === undefined) return null;
  return (
    <ExpandableSection toggleText={said.head(data.number)}>
      <p>{said.sealText}</p>
      <Fingerprint sha256={data.sha256} what={said.seal} />
    </ExpandableSection>
  );
}

const COLUMNS: readonly Column<AuditEvent, never>[] = [
  { title: said.columns.time, width: [1, 7.5], cell: ({ time }) => <When at={time} /> },
  {
    title: said.columns.user,
    width: [1.5, 8],
    cell: ({ user, address }) => (
      <div>
        <span className="oms-break">{user}</span>
        {address !== "" && <div className="oms-subtle oms-nowrap">{said.from(address)}</div>}
      </div>
    ),
  },
  {
    title: said.columns.method,
    width: [4, 17],
    cell: (event) => <Details key={event.number} event={event} />,
  },
  {
    title: said.columns.about,
    width: [3, 9],
    cell: ({ host, target, name }) => (
      <span className="oms-break" {...(name && { title: target })}>
        {[name || target, host].filter(Boolean).join(" · ")}
      </span>
    ),
  },
  {
    title: said.columns.outcome,
    width: [1.5, 9],
    cell: ({ outcome }) => (
      <Mark isOutlined look={outcome === "ok" ? "success" : "danger"}>
        {outcome}
      </Mark>
    ),
  },
];

function Details({ event }: { event: AuditEvent }): React.ReactNode {
  const { params, reason, job, session, sha256 } = event;
  return (
    <ExpandableSection
      className="oms-audit-method"
      toggleContent={<code className="oms-break">{event.method}</code>}
    >
      <dl className="oms-facts">
        <dt>{said.columns.params}</dt>
        <dd>
          <code className="oms-break">{JSON.stringify(params)}</code>
        </dd>
        {reason !== "" && (
          <>
            <dt>{said.reason}</dt>
            <dd>{reason}</dd>
          </>
        )}
        {job !== "" && (
          <>
            <dt>{said.job}</dt>
            <dd>
              <Link to={`/jobs/${job}`}>{job}</Link>
            </dd>
          </>
        )}
        {session !== "" && (
          <>
            <dt>{said.session}</dt>
            <dd>{session}</dd>
          </>
        )}
        <dt>{said.sealOfRow}</dt>
        <dd>
          <code className="oms-break">{sha256}</code>
        </dd>
      </dl>
    </ExpandableSection>
  );
}
