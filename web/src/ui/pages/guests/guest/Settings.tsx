// The settings of a guest, within the limits that its host gives now; what it refuses is said at the fields.
import {
  ActionGroup,
  Alert,
  Button,
  Card,
  CardBody,
  Checkbox,
  Content,
  Form,
  TextInput,
} from "@patternfly/react-core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call } from "../../../api/client";
import type { FleetGuest } from "../../../api/contract";
import { useAnswer } from "../../../api/queries";
import { words } from "../../../messages";
import { Failure } from "../../../parts/Failure";
import { Field } from "../../../parts/form/Field";
import { PasswordField } from "../../../parts/form/PasswordField";
import { Loading } from "../../../parts/Loading";
import { say, sayWrong } from "../../../parts/toasts";

const said = words.guests.settings;
const MACHINE = ["memory", "vcpu"] as const;
const CONTAINER = ["memory", "vcpu", "vcpulimit", "disk", "ip_address", "nameserver", "searchdomain"] as const;
const NUMBERS: ReadonlySet<string> = new Set(["memory", "vcpu", "vcpulimit", "disk"]);
/** What a container has besides, that is no plain text. */
const ONBOOT = "onboot";
const PASSWORD = "password";

type Values = Readonly<Record<string, string>>;

export function Settings({ guest }: { guest: FleetGuest }): React.ReactNode {
  const { host: server_hostname, id } = guest;
  const machine = useAnswer(
    "kvmservices.parse_vm_settings",
    { server_hostname, kvm_vm_name: id },
    { enabled: guest.kind === "kvm" },
  );
  const container = useAnswer(
    "ovzservices.parse_vm_settings",
    { server_hostname, container_id: id },
    { enabled: guest.kind === "openvz" },
  );
  const found = guest.kind === "kvm" ? machine : container;
  if (found.isPending) return <Loading />;
  if (found.data === undefined) return <Failure of={found.error} retry={() => void found.refetch()} />;
  return <SettingsForm guest={guest} now={{ ...found.data }} />;
}

function SettingsForm({ guest, now }: { guest: FleetGuest; now: Values }): React.ReactNode {
  const [given, setGiven] = useState<Values>({});
  const [refused, setRefused] = useState<Values>({});
  const client = useQueryClient();
  const names: readonly string[] = guest.kind === "kvm" ? MACHINE : CONTAINER;
  const value = (name: string): string => given[name] ?? now[name] ?? "";
  const changed = Object.fromEntries(
    Object.entries(given).filter(
      ([name, text]) => text !== (now[name] ?? "") && !(name === PASSWORD && text === ""),
    ),
  );
  const isChanged = Object.keys(changed).length > 0;
  const set = (name: string, text: string): void => {
    setGiven({ ...given, [name]: text });
    setRefused(Object.fromEntries(Object.entries(refused).filter(([other]) => other !== name)));
  };
  const save = useMutation({
    mutationFn: () => update(guest, changed),
    onSuccess: (answer) => {
      setRefused(answer);
      if (Object.keys(answer).length > 0) return;
      setGiven({});
      say("success", said.saved);
    },
    onError: sayWrong,
    onSettled: () => client.invalidateQueries({ refetchType: "active" }),
  });
  const strange = Object.entries(refused).filter(([name]) => !names.includes(name) && name !== PASSWORD);

  return (
    <Card>
      <CardBody>
        <Content component="p">{said.text}</Content>
        <Form
          isWidthLimited
          onSubmit={(event) => {
            event.preventDefault();
            if (isChanged && !save.isPending) save.mutate();
          }}
        >
          {strange.map(([name, why]) => (
            <Alert key={name} isInline variant="danger" title={why} />
          ))}
          {names.map((name) => (
            <Field
              key={name}
              id={name}
              label={said.names[name] ?? name}
              help={legal(now, name)}
              wrong={refused[name]}
            >
              {(described) => (
                <TextInput
                  {...described}
                  id={name}
                  value={value(name)}
                  onChange={(_, text) => set(name, text)}
                  inputMode={NUMBERS.has(name) ? "numeric" : "text"}
                  validated={refused[name] === undefined ? "default" : "error"}
                  autoComplete="off"
                />
              )}
            </Field>
          ))}
          {guest.kind === "openvz" && (
            <>
              <Checkbox
                id={ONBOOT}
                label={said.autostart}
                isChecked={value(ONBOOT) === "yes"}
                onChange={(_, isChecked) => set(ONBOOT, isChecked ? "yes" : "no")}
              />
              <PasswordField
                id={PASSWORD}
                label={said.names[PASSWORD] ?? PASSWORD}
                value={value(PASSWORD)}
                onChange={(text) => set(PASSWORD, text)}
                autoComplete="new-password"
                isRequired={false}
                help={said.password}
                wrong={refused[PASSWORD]}
              />
            </>
          )}
          <ActionGroup>
            <Button type="submit" isDisabled={!isChanged || save.isPending} isLoading={save.isPending}>
              {said.save}
            </Button>
            {isChanged && (
              <Button
                variant="link"
                onClick={() => {
                  setGiven({});
                  setRefused({});
                }}
              >
                {said.undo}
              </Button>
            )}
          </ActionGroup>
        </Form>
      </CardBody>
    </Card>
  );
}

/** The limits of a setting, as the host has them now. */
function legal(now: Values, name: string): string | undefined {
  const [low, high] = [now[`min_${name}`], now[`max_${name}`]];
  const unit = name === "memory" || name === "disk" ? " MB" : "";
  if (low === undefined) return undefined;
  if (low === "0" && high === "0") return said.noLimit;
  return high === undefined ? said.from(low, unit) : said.between(low, high, unit);
}

function update(guest: FleetGuest, settings: Values): Promise<Record<string, string>> {
  const { host: server_hostname, id } = guest;
  return guest.kind === "kvm"
    ? call("kvmservices.update_vm_settings", {
        server_hostname,
        kvm_vm_name: id,
        kvm_vm_settings_dictionary: settings,
      })
    : call("ovzservices.update_vm_settings", {
        server_hostname,
        container_id: id,
        container_settings_dictionary: settings,
      });
}
