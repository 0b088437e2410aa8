import {
  Button,
  Content,
  EmptyState,
  EmptyStateBody,
  Label,
  Toolbar,
  ToolbarContent,
  ToolbarItem,
} from "@patternfly/react-core";
import { useState } from "react";
import type { Token } from "../../api/contract";
import { useAnswer, useChange } from "../../api/queries";
import { usePace } from "../../events/feed";
import { words } from "../../messages";
import { Confirm } from "../Confirm";
import { Failure } from "../Failure";
import { useListAddress } from "../list/address";
import { type Column, ListTable } from "../list/ListTable";
import { say } from "../toasts";
import { When } from "../When";
import { NewTokenDialog } from "./NewToken";

const said = words.people.tokens;
const SORTS = ["newest"] as const;
const NO_FILTERS: readonly never[] = [];

const COLUMNS: readonly Column<Token, never>[] = [
  { title: said.columns.label, cell: ({ label }) => <span className="oms-break">{label}</span> },
  { title: said.columns.user, cell: ({ user }) => <span className="oms-break">{user}</span> },
  { title: said.columns.role, cell: ({ role }) => <Label isCompact>{words.people.roles[role]}</Label> },
  { title: said.columns.created, cell: ({ created }) => <When at={created} /> },
  { title: said.columns.expires, cell: ({ expires }) => <When at={expires} /> },
  { title: said.columns.used, cell: ({ last_used: used }) => <When at={used} /> },
];

/** Tokens for programs: all, or one user's. They are made for whoever is logged in. */
export function Tokens({ user = "" }: { user?: string }): React.ReactNode {
  const at = useListAddress(SORTS, NO_FILTERS);
  const { data, error, refetch } = useAnswer(
    "userservices.list_tokens",
    { user_name: user },
    { every: usePace() },
  );
  const [makes, setMakes] = useState(false);
  const [revoked, setRevoked] = useState<Token | null>(null);
  return (
    <>
      <Content component="p">{said.text}</Content>
      <Toolbar inset={{ default: "insetNone" }}>
        <ToolbarContent>
          <ToolbarItem>
            <Button variant="secondary" onClick={() => setMakes(true)}>
              {said.add}
            </Button>
          </ToolbarItem>
        </ToolbarContent>
      </Toolbar>
      <Failure of={error} retry={() => void refetch()} />
      {(data !== undefined || error === null) && (
        <ListTable
          label={said.title}
          columns={COLUMNS}
          at={at}
          rows={data}
          keyOf={({ id }) => id}
          nameOf={({ label }) => label}
          actions={(token) => [{ title: said.revoke, isDanger: true, onClick: () => setRevoked(token) }]}
          empty={
            <EmptyState titleText={said.none} headingLevel="h2" variant="sm">
              <EmptyStateBody>{said.noneText}</EmptyStateBody>
            </EmptyState>
          }
        />
      )}
      {makes && <NewTokenDialog close={() => setMakes(false)} />}
      {revoked !== null && <Revoke token={revoked} close={() => setRevoked(null)} />}
    </>
  );
}

function Revoke({ token, close }: { token: Token; close: () => void }): React.ReactNode {
  const revoke = useChange("userservices.revoke_token", {
    quiet: true,
    done: () => {
      say("success", said.revoked(token.label));
      close();
    },
  });
  return (
    <Confirm
      title={said.revokeTitle(token.label)}
      confirm={said.revokeButton}
      isDanger
      isBusy={revoke.isPending}
      failure={revoke.error}
      onConfirm={() => revoke.mutate({ token_id: token.id })}
      onClose={close}
    >
      <Content component="p">{said.revokeText}</Content>
    </Confirm>
  );
}
