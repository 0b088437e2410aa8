// What a host has to make guests of: ISO images, templates, disk images. Brought from here, or fetched by address.
import { Button } from "@patternfly/react-core";
import type { UseQueryResult } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { call } from "../../../api/client";
import type { FleetHost } from "../../../api/contract";
import { useAnswer, useChange, useMay } from "../../../api/queries";
import { words } from "../../../messages";
import { Confirm } from "../../../parts/Confirm";
import { Failure } from "../../../parts/Failure";
import { AskDialog } from "../../../parts/form/AskDialog";
import { SmallTable } from "../../../parts/SmallTable";
import { say } from "../../../parts/toasts";
import { kb } from "../../../parts/units";
import { UploadDialog } from "./UploadDialog";

const said = words.host.images;

export function Images({ host }: { host: FleetHost }): React.ReactNode {
  const has = (kind: string): boolean => host.hypervisors.includes(kind);
  return (
    <>
      {has("kvm") && <Isos host={host.name} />}
      {has("kvm") && <Templates host={host.name} service="kvmservices" title={said.templates} />}
      {has("openvz") && <Templates host={host.name} service="ovzservices" title={said.rootfs} />}
      {has("kvm") && <Disks host={host.name} />}
    </>
  );
}

type Asked = { what: "upload" | "fetch" | "make" } | { what: "remove"; name: string };

function Isos({ host: server_hostname }: { host: string }): React.ReactNode {
  const listed = useAnswer("isoservices.describe_images", { server_hostname });
  return (
    <Shelf
      host={server_hostname}
      title={said.isos}
      listed={listed}
      columns={[said.name, said.size, said.users]}
      nameOf={({ name }) => name}
      cells={(it) => [it.name, kb(it.size_kb), it.machines.join(", ")]}
      makes="iso"
      methods={ISO}
      named={(image_name) => ({ server_hostname, image_name })}
    />
  );
}

interface TemplatesProps {
  host: string;
  service: "kvmservices" | "ovzservices";
  title: string;
}

function Templates({ host: server_hostname, service, title }: TemplatesProps): React.ReactNode {
  const listed = useAnswer(`${service}.list_templates`, { server_hostname });
  return (
    <Shelf
      host={server_hostname}
      title={title}
      listed={listed}
      columns={[said.name]}
      nameOf={(name) => name}
      cells={(name) => [name]}
      makes={service === "kvmservices" ? "machine" : "container"}
      methods={{
        upload: `${service}.upload_template`,
        fetch: `${service}.fetch_template`,
        remove: `${service}.delete_template`,
      }}
      named={(template_name) => ({ server_hostname, template_name })}
    />
  );
}

interface ShelfMethods {
  readonly upload: "isoservices.upload_image" | "kvmservices.upload_template" | "ovzservices.upload_template";
  readonly fetch: "isoservices.fetch_image" | "kvmservices.fetch_template" | "ovzservices.fetch_template";
  readonly remove: "isoservices.delete_image" | "kvmservices.delete_template" | "ovzservices.delete_template";
}

const ISO: ShelfMethods = {
  upload: "isoservices.upload_image",
  fetch: "isoservices.fetch_image",
  remove: "isoservices.delete_image",
};

interface ShelfProps<Row> {
  host: string;
  title: string;
  listed: UseQueryResult<Row[]>;
  columns: readonly string[];
  nameOf: (row: Row) => string;
  cells: (row: Row) => readonly React.ReactNode[];
  /** What is created of one, as that page has it in its address. */
  makes: "iso" | "machine" | "container";
  methods: ShelfMethods;
  /** One of them, as the methods call it. */
  named: (name: string) => Record<string, string>;
}

/** Files that are brought to a host, and of which guests are made. */
function Shelf<Row>(props: ShelfProps<Row>): React.ReactNode {
  const { host, title, listed, columns, nameOf, cells, makes, methods, named } = props;
  const [asked, setAsked] = useState<Asked>();
  const mayChange = useMay(methods.upload);
  const close = (): void => setAsked(undefined);
  return (
    <>
      <Failure of={listed.error} retry={() => void listed.refetch()} />
      <SmallTable
        title={title}
        none={said.none}
        columns={columns}
        rows={listed.data ?? []}
        keyOf={nameOf}
        cells={cells}
        head={<Bringing may={mayChange} fetch={methods.fetch} onAsk={setAsked} />}
        actions={
          mayChange
            ? (row) => (
                <>
                  <Button
                    size="sm"
                    variant="secondary"
                    component={(button) => (
                      <Link {...button} to={`/guests/create?what=${makes}&host=${host}&source=${nameOf(row)}`} />
                    )}
                  >
                    {words.guests.create}
                  </Button>{" "}
                  <Remove onAsk={() => setAsked({ what: "remove", name: nameOf(row) })} />
                </>
              )
            : undefined
        }
      />
      {asked?.what === "upload" && (
        <UploadDialog
          begin={(name, size_bytes) => call(methods.upload, { ...named(name), size_bytes } as never)}
          onClose={close}
        />
      )}
      {asked?.what === "fetch" && (
        <AskDialog
          title={said.fetch}
          method={methods.fetch}
          fields={FETCHED}
          params={({ name = "", url = "", sha256 = "" }) => ({ ...named(name), url, sha256 }) as never}
          onDone={(_, { name = "" }) => tellThere(name, close)}
          onClose={close}
        />
      )}
      {asked?.what === "remove" && (
        <Removal name={asked.name} method={methods.remove} params={named(asked.name)} onClose={close} />
      )}
    </>
  );
}

function Disks({ host: server_hostname }: { host: string }): React.ReactNode {
  const listed = useAnswer("kvmservices.describe_file_based_images", { server_hostname });
  const [asked, setAsked] = useState<Asked>();
  const mayChange = useMay("kvmservices.create_file_based_image");
  const close = (): void => setAsked(undefined);
  return (
    <>
      <Failure of={listed.error} retry={() => void listed.refetch()} />
      <SmallTable
        title={said.disks}
        none={said.none}
        columns={[said.name, said.format, said.size, said.taken, said.users]}
        rows={listed.data ?? []}
        keyOf={(it) => it.name}
        cells={(it) => [it.name, it.format, kb(it.size_kb), kb(it.used_kb), it.machines.join(", ")]}
        head={
          mayChange && (
            <Button size="sm" variant="secondary" onClick={() => setAsked({ what: "make" })}>
              {said.make}
            </Button>
          )
        }
        actions={mayChange ? ({ name }) => <Remove onAsk={() => setAsked({ what: "remove", name })} /> : undefined}
      />
      {asked?.what === "make" && (
        <AskDialog
          title={said.make}
          method="kvmservices.create_file_based_image"
          fields={[
            { name: "diskimage_name", label: said.name },
            { name: "diskimage_size_megabytes", label: said.megabytes, isNumber: true },
          ]}
          params={({ diskimage_name = "", diskimage_size_megabytes = "" }) => ({
            server_hostname,
            diskimage_name,
            diskimage_size_megabytes: Number(diskimage_size_megabytes),
          })}
          onDone={(_, { diskimage_name = "" }) => tellThere(diskimage_name, close)}
          onClose={close}
        />
      )}
      {asked?.what === "remove" && (
        <Removal
          name={asked.name}
          method="kvmservices.delete_file_based_image"
          params={{ server_hostname, diskimage_name: asked.name }}
          onClose={close}
        />
      )}
    </>
  );
}

const FETCHED = [
  { name: "name", label: said.name },
  { name: "url", label: said.url, help: said.urlHelp },
  { name: "sha256", label: said.sha256, help: said.sha256Help, isOptional: true },
] as const;

function tellThere(name: string, close: () => void): void {
  say("success", said.uploaded(name));
  close();
}

interface BringingProps {
  may: boolean;
  fetch: ShelfMethods["fetch"];
  onAsk: (asked: Asked) => void;
}

function Bringing({ may, fetch, onAsk }: BringingProps): React.ReactNode {
  const mayFetch = useMay(fetch);
  return (
    <>
      {may && (
        <Button size="sm" variant="secondary" onClick={() => onAsk({ what: "upload" })}>
          {said.upload}
        </Button>
      )}{" "}
      {mayFetch && (
        <Button size="sm" variant="secondary" onClick={() => onAsk({ what: "fetch" })}>
          {said.fetch}
        </Button>
      )}
    </>
  );
}

function Remove({ onAsk }: { onAsk: () => void }): React.ReactNode {
  return (
    <Button size="sm" variant="link" isDanger onClick={onAsk}>
      {said.remove}
    </Button>
  );
}

interface RemovalProps {
  name: string;
  method: ShelfMethods["remove"] | "kvmservices.delete_file_based_image";
  params: Record<string, string>;
  onClose: () => void;
}

function Removal({ name, method, params, onClose }: RemovalProps): React.ReactNode {
  const remove = useChange(method, {
    quiet: true,
    done: () => {
      say("success", said.removed(name));
      onClose();
    },
  });
  return (
    <Confirm
      title={said.removeTitle(name)}
      text={said.removeText}
      confirm={said.remove}
      isDanger
      isBusy={remove.isPending}
      failure={remove.error}
      onConfirm={() => remove.mutate(params as never)}
      onClose={onClose}
    />
  );
}
