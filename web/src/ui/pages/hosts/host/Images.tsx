// What a host has to make guests of: ISO images, templates, disk images. Brought from here, or fetched by address.
import { Button } from "@patternfly/react-core";
import { useState } from "react";
import { Link } from "react-router";
import { call } from "../../../api/client";
import type { FleetHost, Upload } from "../../../api/contract";
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
  const [asked, setAsked] = useState<Asked>();
  const mayChange = useMay("isoservices.upload_image");
  const close = (): void => setAsked(undefined);
  return (
    <>
      <Failure of={listed.error} retry={() => void listed.refetch()} />
      <SmallTable
        title={said.isos}
        none={said.none}
        columns={[said.name, said.size, said.users]}
        rows={listed.data ?? []}
        keyOf={(it) => it.name}
        cells={(it) => [it.name, kb(it.size_kb), it.machines.join(", ")]}
        head={<Bringing may={mayChange} fetch="isoservices.fetch_image" onAsk={setAsked} />}
        actions={
          mayChange
            ? ({ name }) => (
                <>
                  <Button
                    size="sm"
                    variant="secondary"
                    component={(props) => (
                      <Link {...props} to={`/guests/create?what=iso&host=${server_hostname}&source=${name}`} />
                    )}
                  >
                    {words.guests.create}
                  </Button>{" "}
                  <Remove onAsk={() => setAsked({ what: "remove", name })} />
                </>
              )
            : undefined
        }
      />
      {asked?.what === "upload" && (
        <UploadDialog
          begin={(image_name, size_bytes) =>
            call("isoservices.upload_image", { server_hostname, image_name, size_bytes })
          }
          onClose={close}
        />
      )}
      {asked?.what === "fetch" && (
        <AskDialog
          title={said.fetch}
          method="isoservices.fetch_image"
          fields={FETCHED}
          params={({ name = "", url = "", sha256 = "" }) => ({ server_hostname, image_name: name, url, sha256 })}
          onDone={(_, { name = "" }) => tellThere(name, close)}
          onClose={close}
        />
      )}
      {asked?.what === "remove" && (
        <Removal
          name={asked.name}
          method="isoservices.delete_image"
          params={{ server_hostname, image_name: asked.name }}
          onClose={close}
        />
      )}
    </>
  );
}

interface TemplatesProps {
  host: string;
  service: "kvmservices" | "ovzservices";
  title: string;
}

function Templates({ host: server_hostname, service, title }: TemplatesProps): React.ReactNode {
  const listed = useAnswer(`${service}.list_templates`, { server_hostname });
  const [asked, setAsked] = useState<Asked>();
  const mayChange = useMay(`${service}.upload_template`);
  const close = (): void => setAsked(undefined);
  const what = service === "kvmservices" ? "machine" : "container";
  return (
    <>
      <Failure of={listed.error} retry={() => void listed.refetch()} />
      <SmallTable
        title={title}
        none={said.none}
        columns={[said.name]}
        rows={listed.data ?? []}
        keyOf={(name) => name}
        cells={(name) => [name]}
        head={<Bringing may={mayChange} fetch={`${service}.fetch_template`} onAsk={setAsked} />}
        actions={
          mayChange
            ? (name) => (
                <>
                  <Button
                    size="sm"
                    variant="secondary"
                    component={(props) => (
                      <Link {...props} to={`/guests/create?what=${what}&host=${server_hostname}&source=${name}`} />
                    )}
                  >
                    {words.guests.create}
                  </Button>{" "}
                  <Remove onAsk={() => setAsked({ what: "remove", name })} />
                </>
              )
            : undefined
        }
      />
      {asked?.what === "upload" && (
        <UploadDialog
          begin={(template_name, size_bytes) =>
            call(`${service}.upload_template`, { server_hostname, template_name, size_bytes })
          }
          onClose={close}
        />
      )}
      {asked?.what === "fetch" && (
        <AskDialog
          title={said.fetch}
          method={`${service}.fetch_template`}
          fields={FETCHED}
          params={({ name = "", url = "", sha256 = "" }) => ({
            server_hostname,
            template_name: name,
            url,
            sha256,
          })}
          onDone={(_, { name = "" }) => tellThere(name, close)}
          onClose={close}
        />
      )}
      {asked?.what === "remove" && (
        <Removal
          name={asked.name}
          method={`${service}.delete_template`}
          params={{ server_hostname, template_name: asked.name }}
          onClose={close}
        />
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
        columns={[said.name, said.format, said.size, words.host.gauges.disk, said.users]}
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
  fetch: "isoservices.fetch_image" | "kvmservices.fetch_template" | "ovzservices.fetch_template";
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

type Removing =
  | "isoservices.delete_image"
  | "kvmservices.delete_template"
  | "ovzservices.delete_template"
  | "kvmservices.delete_file_based_image";

interface RemovalProps {
  name: string;
  method: Removing;
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

export type Begin = (name: string, size: number) => Promise<Upload>;
