import { Button, Label, Toolbar, ToolbarContent, ToolbarItem } from "@patternfly/react-core";
import { useState } from "react";
import type { User } from "../../api/contract";
import { useAnswer, useChange } from "../../api/queries";
import { useSession } from "../../api/session";
import { usePace } from "../../events/feed";
import { words } from "../../messages";
import { Failure } from "../../parts/Failure";
import { useListAddress } from "../../parts/list/address";
import { type Column, ListTable } from "../../parts/list/ListTable";
import { say } from "../../parts/toasts";
import { When } from "../../parts/When";
import { AddUser, ChangeRole, DeleteUser, ResetPassword } from "./dialogs";

const said = words.people;
const SORTS = ["name"] as const;
const NO_FILTERS: readonly never[] = [];

type Asked = { what: "add" } | { what: "role" | "reset" | "remove"; user: User };

/** All accounts, and what can be done with each. */
export function Users(): React.ReactNode {
  const { name: own } = useSession();
  const { data, error, refetch } = useAnswer("userservices.list_users", {}, { every: usePace() });
  const at = useListAddress(SORTS, NO_FILTERS);
  const [asked, setAsked] = useState<Asked | null>(null);
  const end = useChange("userservices.end_sessions", {
    done: (_, { user_name: name }) => say("success", said.end.done(name)),
  });
  const close = (): void => setAsked(null);
  return (
    <>
      <Toolbar inset={{ default: "insetNone" }}>
        <ToolbarContent>
          <ToolbarItem>
            <Button onClick={() => setAsked({ what: "add" })}>{said.add.button}</Button>
          </ToolbarItem>
        </ToolbarContent>
      </Toolbar>
      <Failure of={error} retry={() => void refetch()} />
      {(data !== undefined || error === null) && (
        <ListTable
          label={said.tabs.users}
          at={at}
          columns={columns(own)}
          rows={data}
          keyOf={({ name }) => name}
          nameOf={({ name }) => name}
          actions={(user) => [
            user.source === "local" && {
              title: said.role.action,
              onClick: () => setAsked({ what: "role", user }),
            },
            user.source === "local" && {
              title: said.reset.action,
              onClick: () => setAsked({ what: "reset", user }),
            },
            {
              title: said.end.action,
              isDisabled: user.sessions === 0,
              onClick: () => end.mutate({ user_name: user.name }),
            },
            { title: said.remove.action, isDanger: true, onClick: () => setAsked({ what: "remove", user }) },
          ]}
          empty={null}
        />
      )}
      {asked?.what === "add" && <AddUser close={close} />}
      {asked?.what === "role" && <ChangeRole user={asked.user} close={close} />}
      {asked?.what === "reset" && <ResetPassword user={asked.user} close={close} />}
      {asked?.what === "remove" && <DeleteUser user={asked.user} close={close} />}
    </>
  );
}

function columns(own: string): readonly Column<User, never>[] {
  return [
    {
      title: said.columns.name,
      cell: ({ name, must_change_password: mustChange }) => (
        <div>
          <span className="oms-break">{name}</span> {name === own && <Label isCompact>{said.you}</Label>}
          {mustChange && <div className="oms-subtle">{said.mustChange}</div>}
        </div>
      ),
    },
    {
      title: said.columns.role,
      cell: ({ role }) => (
        <Label isCompact color={role === "admin" ? "blue" : "grey"}>
          {said.roles[role]}
        </Label>
      ),
    },
    { title: said.columns.source, cell: ({ source }) => said.sources[source] },
    { title: said.columns.login, cell: ({ last_login: login }) => <When at={login} /> },
    { title: said.columns.sessions, cell: ({ sessions }) => sessions },
    { title: said.columns.tokens, cell: ({ tokens }) => tokens },
  ];
}
