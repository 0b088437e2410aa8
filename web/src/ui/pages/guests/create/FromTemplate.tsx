// A guest of a template: what the template proposes, within what template and host allow; refusals at the fields.
import { ActionGroup, Alert, Button, Checkbox, ExpandableSection, Form } from "@patternfly/react-core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call } from "../../../api/client";
import type { ContainerTemplateSettings, TemplateSettings } from "../../../api/contract";
import { useAnswer } from "../../../api/queries";
import { words } from "../../../messages";
import { Failure } from "../../../parts/Failure";
import { PasswordField } from "../../../parts/form/PasswordField";
import { TextField } from "../../../parts/form/TextField";
import { Loading } from "../../../parts/Loading";
import { say } from "../../../parts/toasts";

const said = words.guests.creation;
const names = words.guests.settings.names;
const SIZES = { kvm: ["memory", "vcpu"], openvz: ["memory", "vcpu", "vcpulimit", "disk"] } as const;
/** What a machine's guest is told through cloud-init; a container is given it as it is. */
const INSIDE = {
  kvm: ["hostname", "ip_address", "gateway", "nameserver", "ssh_keys", "user_data"],
  openvz: ["hostname", "ip_address", "nameserver"],
} as const;
const NUMBERS: ReadonlySet<string> = new Set([...SIZES.kvm, ...SIZES.openvz]);
const LONG: ReadonlySet<string> = new Set(["ssh_keys", "user_data"]);

const MB = 1024 * 1024;

type Kind = "kvm" | "openvz";
type Values = Readonly<Record<string, string>>;
type Proposed = TemplateSettings | ContainerTemplateSettings;

interface Props {
  kind: Kind;
  host: string;
  template: string;
  name: string;
  onMade: () => void;
}

export function FromTemplate(props: Props): React.ReactNode {
  const { kind, host: server_hostname, template: template_name } = props;
  // The name decides nothing of what is proposed but itself, so it is not asked for anew while it is typed.
  const machine = useAnswer(
    "kvmservices.parse_template_for_vm",
    { server_hostname, template_name, kvm_vm_name: "new" },
    { enabled: kind === "kvm" },
  );
  const container = useAnswer(
    "ovzservices.parse_template_for_vm",
    { server_hostname, template_name, vm_name: "new" },
    { enabled: kind === "openvz" },
  );
  const found = kind === "kvm" ? machine : container;
  if (found.isPending) return <Loading />;
  if (found.data === undefined) return <Failure of={found.error} retry={() => void found.refetch()} />;
  return <TemplateForm {...props} proposed={found.data} />;
}

function TemplateForm({
  kind,
  host,
  template,
  name,
  onMade,
  proposed,
}: Props & { proposed: Proposed }): React.ReactNode {
  const [given, setGiven] = useState<Values>({});
  const [refused, setRefused] = useState<Values>({});
  const client = useQueryClient();
  const make = useMutation({
    mutationFn: () => deploy({ kind, host, template, name }, settings(proposed, given)),
    onSuccess: (answer) => {
      setRefused(answer);
      if (Object.keys(answer).length > 0) return;
      say("success", said.done(name));
      onMade();
    },
    onSettled: () => client.invalidateQueries({ refetchType: "active" }),
  });
  const plain = proposed as unknown as Values;
  const field = (id: string, label: string, shown: string, help?: string): React.ReactNode => (
    <TextField
      key={id}
      id={id}
      label={label}
      value={given[id] ?? shown}
      onChange={(text) => setGiven({ ...given, [id]: text })}
      isNumber={NUMBERS.has(id)}
      isLong={LONG.has(id)}
      help={help}
      wrong={refused[id]}
    />
  );
  const disks = "disks" in proposed ? proposed.disks : [];
  const shown = new Set<string>([
    ...SIZES[kind],
    ...INSIDE[kind],
    "passwd",
    ...disks.map((it) => it.template_name),
  ]);
  const strange = Object.entries(refused).filter(([setting]) => !shown.has(setting));

  return (
    <Form
      isWidthLimited
      onSubmit={(event) => {
        event.preventDefault();
        make.mutate();
      }}
    >
      {strange.map(([setting, why]) => (
        <Alert key={setting} isInline variant="danger" title={why} />
      ))}
      {SIZES[kind].map((id) => field(id, names[id] ?? id, plain[id] ?? "", limits(plain, id)))}
      {disks.map((disk) =>
        field(
          disk.template_name,
          said.diskSize(disk.target_dev),
          inMb(disk.capacity ?? disk.template_capacity),
          disk.min_capacity && disk.max_capacity
            ? words.guests.settings.between(inMb(disk.min_capacity), inMb(disk.max_capacity), " MB")
            : undefined,
        ),
      )}
      {kind === "kvm" && (
        <Checkbox
          id="clone"
          label={said.clone}
          isChecked={(given.clone ?? plain.clone) === "linked"}
          onChange={(_, isOn) => setGiven({ ...given, clone: isOn ? "linked" : "copy" })}
        />
      )}
      <ExpandableSection toggleText={said.inside} isIndented>
        {INSIDE[kind].map((id) => field(id, said[id], id === "hostname" ? "" : text(plain[id])))}
        <PasswordField
          id="passwd"
          label={said.passwd}
          value={given.passwd ?? ""}
          onChange={(typed) => setGiven({ ...given, passwd: typed })}
          autoComplete="new-password"
          wrong={refused.passwd ?? refused.password}
        />
      </ExpandableSection>
      <Failure of={make.error} title={words.toasts.notDone} />
      <ActionGroup>
        <Button type="submit" isLoading={make.isPending} isDisabled={make.isPending || name.trim() === ""}>
          {said.submit}
        </Button>
      </ActionGroup>
    </Form>
  );
}

/** Disks are told in bytes, and shown in MB. What is no number is left for the host to refuse. */
function inMb(bytes: string): string {
  return String(Math.ceil(Number(bytes) / MB));
}

function inBytes(mb: string): string {
  return /^\d+$/.test(mb.trim()) ? String(Number(mb) * MB) : mb;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function limits(plain: Values, id: string): string | undefined {
  const [low, high] = [plain[`min_${id}`], plain[`max_${id}`]];
  if (low === undefined || high === undefined) return undefined;
  return words.guests.settings.between(low, high, id === "memory" || id === "disk" ? " MB" : "");
}

/** What was changed, in the form in which it was proposed. What is left empty stays as proposed. */
function settings(proposed: Proposed, given: Values): Record<string, unknown> {
  const disks = "disks" in proposed ? proposed.disks : [];
  const ofDisks = new Set(disks.map((it) => it.template_name));
  const wanted: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (ofDisks.has(name) || value.trim() === "") continue;
    wanted[name] =
      name === "ssh_keys"
        ? value
            .split("\n")
            .map((line) => line.trim())
            .filter(Boolean)
        : value;
  }
  if (disks.some((it) => it.template_name in given)) {
    wanted.disks = disks.map((it) => {
      const capacity = given[it.template_name];
      return capacity === undefined ? it : { ...it, capacity: inBytes(capacity) };
    });
  }
  return wanted;
}

/** Make it; answers what was refused, by setting, a disk by its name. */
async function deploy(
  { kind, host, template, name }: Omit<Props, "onMade">,
  wanted: Record<string, unknown>,
): Promise<Values> {
  const at = { server_hostname: host, template_name: template };
  const answer =
    kind === "kvm"
      ? await call("kvmservices.deploy_template_for_vm", {
          ...at,
          kvm_name: name,
          template_settings_dictionary: wanted,
        })
      : await call("ovzservices.deploy_template_for_vm", {
          ...at,
          vm_name: name,
          settings_dictionary: wanted as Record<string, string>,
        });
  return Object.fromEntries(
    Object.entries(answer).flatMap(([setting, why]): [string, string][] =>
      typeof why === "string" ? [[setting, why]] : why.map((disk) => [disk.template_name, disk.error]),
    ),
  );
}
