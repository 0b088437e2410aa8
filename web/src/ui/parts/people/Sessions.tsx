import { Button, Label } from "@patternfly/react-core";
import type { LoginSession } from "../../api/contract";
import { useAnswer, useChange } from "../../api/queries";
import { usePace } from "../../events/feed";
import { words } from "../../messages";
import { Failure } from "../Failure";
import { useListAddress } from "../list/address";
import { type Column, ListTable } from "../list/ListTable";
import { say } from "../toasts";
import { When } from "../When";

const said = words.people.sessions;
const SORTS = ["newest"] as const;
const NO_FILTERS: readonly never[] = [];

/** Who is logged in: all, or one user. */
export function Sessions({ user = "" }: { user?: string }): React.ReactNode {
  const at = useListAddress(SORTS, NO_FILTERS);
  const { data, error, refetch } = useAnswer(
    "userservices.list_sessions",
    { user_name: user },
    { every: usePace() },
  );
  const end = useChange("userservices.end_sessions", { done: () => say("success", said.done) });
  const columns: readonly Column<LoginSession, never>[] = [
    {
      title: said.columns.user,
      cell: (one) => (
        <>
          <span className="oms-break">{one.user}</span> {one.current && <Label isCompact>{said.current}</Label>}
        </>
      ),
    },
    { title: said.columns.address, cell: ({ address }) => address },
    { title: said.columns.begun, cell: ({ created }) => <When at={created} /> },
    { title: said.columns.used, cell: ({ last_used: used }) => <When at={used} /> },
    {
      title: words.parts.actions,
      cell: (one) => (
        <Button
          variant="link"
          isInline
          aria-label={said.endOf(one.user, one.address)}
          isDisabled={end.isPending}
          onClick={() => end.mutate({ user_name: one.user, session_id: one.id })}
        >
          {said.end}
        </Button>
      ),
    },
  ];
  return (
    <>
      <Failure of={error} retry={() => void refetch()} />
      {(data !== undefined || error === null) && (
        <ListTable
          label={said.title}
          columns={columns}
          at={at}
          rows={data}
          keyOf={({ id }) => id}
          nameOf={({ user: who }) => who}
          empty={<p>{said.none}</p>}
        />
      )}
    </>
  );
}
