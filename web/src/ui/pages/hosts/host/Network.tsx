// How a host is connected, and changes to it, each of which the host takes back where it would be cut off by it.
import { Button, Content, Label, LabelGroup } from "@patternfly/react-core";
import { useState } from "react";
import type { FleetHost, Route } from "../../../api/contract";
import { OmsError } from "../../../api/errors";
import { useAnswer, useChange, useMay } from "../../../api/queries";
import { words } from "../../../messages";
import { Confirm } from "../../../parts/Confirm";
import { Countdown } from "../../../parts/Countdown";
import { Failure } from "../../../parts/Failure";
import { AskDialog } from "../../../parts/form/AskDialog";
import { SmallTable } from "../../../parts/SmallTable";
import { say } from "../../../parts/toasts";

const said = words.host.network;
const CONFIRM_SECONDS = 60;
/** How OMS is told that there is none. */
const NO_ADDRESS = "0.0.0.0";

type Asked =
  | { what: "addBridge" }
  | { what: "addMember"; bridge: string }
  | { what: "removeMember"; bridge: string; member: string }
  | { what: "deleteBridge"; bridge: string }
  | { what: "addRoute" }
  | { what: "deleteRoute"; route: Route };

export function Network({ host }: { host: FleetHost }): React.ReactNode {
  const server_name = host.name;
  const interfaces = useAnswer("netinterfaceservices.list_interfaces", { server_name });
  const bridges = useAnswer("netinterfaceservices.list_bridges", { server_name });
  const routes = useAnswer("netinterfaceservices.show_routing_table", { server_name });
  const mayChange = useMay("netinterfaceservices.add_bridge");
  const [asked, setAsked] = useState<Asked>();
  const names = (interfaces.data ?? []).filter((it) => !it.guest).map(({ name }) => name);
  const failure = interfaces.error ?? bridges.error ?? routes.error;
  return (
    <>
      <Content component="p">{said.text}</Content>
      <Failure of={failure} />
      <SmallTable
        title={said.interfaces}
        none={words.parts.none}
        columns={[said.name, said.kind, said.state, said.addresses, said.bridge, said.mac]}
        rows={interfaces.data ?? []}
        keyOf={(it) => it.name}
        cells={(it) => [it.name, it.kind, it.state, it.addresses.join(", "), it.bridge, it.mac]}
      />
      <SmallTable
        title={said.bridges}
        none={said.noBridges}
        columns={[said.bridge, said.members]}
        rows={bridges.data ?? []}
        keyOf={(it) => it.bridge}
        cells={(it) => [
          it.bridge,
          <LabelGroup key="members" numLabels={10} aria-label={said.members}>
            {it.members.map((member) => (
              <Label
                key={member}
                isCompact
                {...(mayChange && {
                  closeBtnAriaLabel: said.removeMember(member),
                  onClose: () => setAsked({ what: "removeMember", bridge: it.bridge, member }),
                })}
              >
                {member}
              </Label>
            ))}
          </LabelGroup>,
        ]}
        head={
          mayChange && (
            <Button size="sm" variant="secondary" onClick={() => setAsked({ what: "addBridge" })}>
              {said.addBridge}
            </Button>
          )
        }
        actions={
          mayChange
            ? ({ bridge }) => (
                <>
                  <Button size="sm" variant="secondary" onClick={() => setAsked({ what: "addMember", bridge })}>
                    {said.addMember}
                  </Button>{" "}
                  <Button
                    size="sm"
                    variant="link"
                    isDanger
                    onClick={() => setAsked({ what: "deleteBridge", bridge })}
                  >
                    {said.deleteBridge}
                  </Button>
                </>
              )
            : undefined
        }
      />
      <SmallTable
        title={said.routes}
        none={words.parts.none}
        columns={[said.destination, said.netmask, said.router, said.interface]}
        rows={routes.data ?? []}
        keyOf={(it) => `${it.destination} ${it.netmask} ${it.router} ${it.interface}`}
        cells={(it) => [it.destination, it.netmask, it.router, it.interface]}
        head={
          mayChange && (
            <Button size="sm" variant="secondary" onClick={() => setAsked({ what: "addRoute" })}>
              {said.addRoute}
            </Button>
          )
        }
        actions={
          mayChange
            ? (route) => (
                <Button size="sm" variant="link" isDanger onClick={() => setAsked({ what: "deleteRoute", route })}>
                  {said.deleteRoute}
                </Button>
              )
            : undefined
        }
      />
      {asked && <Asking asked={asked} host={server_name} interfaces={names} onClose={() => setAsked(undefined)} />}
    </>
  );
}

interface AskingProps {
  asked: Asked;
  host: string;
  interfaces: readonly string[];
  onClose: () => void;
}

function Asking({ asked, host: server_name, interfaces, onClose }: AskingProps): React.ReactNode {
  const done = (): void => {
    say("success", said.done);
    onClose();
  };
  const shared = { text: said.confirming(CONFIRM_SECONDS), meanwhile: <Waiting />, failed, onDone: done, onClose };
  switch (asked.what) {
    case "addBridge":
      return (
        <AskDialog
          {...shared}
          title={said.addBridge}
          method="netinterfaceservices.add_bridge"
          fields={[
            { name: "bridge_name", label: said.name },
            { name: "ip_address", label: said.address, help: said.emptyIsNone, isOptional: true },
            { name: "netmask", label: said.netmask, value: "255.255.255.0" },
            { name: "gateway", label: said.gateway, help: said.emptyIsNone, isOptional: true },
          ]}
          params={({ bridge_name = "", ip_address = "", netmask = "", gateway = "" }) => ({
            server_name,
            bridge_name,
            ip_address: ip_address.trim() || NO_ADDRESS,
            netmask,
            gateway: gateway.trim() || NO_ADDRESS,
          })}
        />
      );
    case "addMember":
      return (
        <AskDialog
          {...shared}
          title={said.addMember}
          method="netinterfaceservices.add_bridge_member"
          fields={[{ name: "bridge_member", label: said.interface, options: interfaces }]}
          params={({ bridge_member = "" }) => ({ server_name, bridge_name: asked.bridge, bridge_member })}
        />
      );
    case "addRoute":
      return (
        <AskDialog
          {...shared}
          title={said.addRoute}
          method="netinterfaceservices.add_static_route"
          fields={[
            { name: "destination", label: said.destination },
            { name: "netmask", label: said.netmask, value: "255.255.255.0" },
            { name: "gateway", label: said.router, help: said.emptyIsNone, isOptional: true },
            { name: "interface", label: said.interface, options: interfaces },
          ]}
          params={({ destination = "", netmask = "", gateway = "", interface: device = "" }) => ({
            server_name,
            destination,
            netmask,
            gateway: gateway.trim() || NO_ADDRESS,
            interface: device,
          })}
        />
      );
    default:
      return <Removing asked={asked} host={server_name} onDone={done} onClose={onClose} />;
  }
}

function Waiting(): React.ReactNode {
  return <Countdown seconds={CONFIRM_SECONDS} title={said.waits} over={said.over} />;
}

/** A change that was made and undone is told apart from one that was refused. */
function failed(failure: Error | null): string | undefined {
  return failure instanceof OmsError && failure.reason === "taken_back" ? said.takenBack : undefined;
}

interface RemovingProps {
  asked: Extract<Asked, { what: "removeMember" | "deleteBridge" | "deleteRoute" }>;
  host: string;
  onDone: () => void;
  onClose: () => void;
}

function Removing({ asked, host: server_name, onDone, onClose }: RemovingProps): React.ReactNode {
  const options = { quiet: true, done: onDone };
  const bridge = useChange("netinterfaceservices.delete_bridge", options);
  const member = useChange("netinterfaceservices.delete_bridge_member", options);
  const route = useChange("netinterfaceservices.delete_static_route", options);
  const { title, text, confirm, change, run } = removal();
  return (
    <Confirm
      title={title}
      text={text}
      confirm={confirm}
      isDanger
      isBusy={change.isPending}
      meanwhile={<Waiting />}
      failure={change.error}
      failed={failed(change.error)}
      onConfirm={run}
      onClose={onClose}
    />
  );

  function removal() {
    const text = said.confirming(CONFIRM_SECONDS);
    switch (asked.what) {
      case "removeMember":
        return {
          title: said.removeMemberTitle(asked.member, asked.bridge),
          text,
          confirm: said.removeMemberAction,
          change: member,
          run: () => member.mutate({ server_name, bridge_name: asked.bridge, bridge_member: asked.member }),
        };
      case "deleteBridge":
        return {
          title: said.deleteBridgeTitle(asked.bridge),
          text: `${said.deleteBridgeText} ${text}`,
          confirm: said.deleteBridge,
          change: bridge,
          run: () => bridge.mutate({ server_name, bridge_name: asked.bridge }),
        };
      case "deleteRoute": {
        const { destination, netmask, router: gateway, interface: device } = asked.route;
        return {
          title: said.deleteRouteTitle(destination),
          text,
          confirm: said.deleteRoute,
          change: route,
          run: () => route.mutate({ server_name, destination, netmask, gateway, interface: device }),
        };
      }
    }
  }
}
