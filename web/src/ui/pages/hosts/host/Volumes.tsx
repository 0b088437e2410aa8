import { Button } from "@patternfly/react-core";
import { useState } from "react";
import type { FleetHost } from "../../../api/contract";
import { useAnswer, useMay } from "../../../api/queries";
import { words } from "../../../messages";
import { Failure } from "../../../parts/Failure";
import { AskDialog } from "../../../parts/form/AskDialog";
import { SmallTable } from "../../../parts/SmallTable";
import { say } from "../../../parts/toasts";

const said = words.host.volumes;

/** Volume groups and logical volumes, as LVM tells of them: each is a list of lines of words. */
export function Volumes({ host }: { host: FleetHost }): React.ReactNode {
  const server_hostname = host.name;
  const groups = useAnswer("lvmservices.list_vg", { server_hostname });
  const volumes = useAnswer("lvmservices.list_lv", { server_hostname });
  const mayChange = useMay("lvmservices.create_lv");
  const [isAsking, setAsking] = useState(false);
  const found = (groups.data ?? []).map(valuesOf);
  const names = found.map((it) => it["VG Name"] ?? "").filter(Boolean);
  return (
    <>
      <Failure of={groups.error ?? volumes.error} />
      <SmallTable
        title={said.groups}
        none={said.none}
        columns={[said.named, said.sized, said.free]}
        rows={found}
        keyOf={(it) => it["VG Name"] ?? ""}
        cells={(it) => [it["VG Name"], it["VG Size"], freeOf(it)]}
      />
      <SmallTable
        title={said.volumes}
        none={said.none}
        columns={[said.path, said.group, said.sized, said.state]}
        rows={(volumes.data ?? []).map(valuesOf)}
        keyOf={(it) => it["LV Path"] ?? it["LV Name"] ?? ""}
        cells={(it) => [it["LV Path"] ?? it["LV Name"], it["VG Name"], it["LV Size"], it["LV Status"]]}
        head={
          mayChange &&
          names.length > 0 && (
            <Button size="sm" variant="secondary" onClick={() => setAsking(true)}>
              {said.create}
            </Button>
          )
        }
      />
      {isAsking && (
        <AskDialog
          title={said.create}
          method="lvmservices.create_lv"
          fields={[
            { name: "volume_group_name", label: said.group, options: names },
            { name: "logical_volume_name", label: said.name },
            { name: "size_mb", label: said.size, isNumber: true },
          ]}
          params={({ volume_group_name = "", logical_volume_name = "", size_mb = "" }) => ({
            server_hostname,
            volume_group_name,
            logical_volume_name,
            size_mb: Number(size_mb),
          })}
          onDone={(_, { logical_volume_name = "" }) => {
            say("success", said.created(logical_volume_name));
            setAsking(false);
          }}
          onClose={() => setAsking(false)}
        />
      )}
    </>
  );
}

/** LVM tells of extents, and behind them how much that is. */
function freeOf(group: Record<string, string>): string {
  const told = group["Free PE / Size"] ?? "";
  return told.split("/").at(-1)?.trim() ?? told;
}

const LABELS = ["VG Name", "VG Size", "Free PE / Size", "LV Path", "LV Name", "LV Size", "LV Status"];

/** The lines by what they are of: a label of several words comes before its value. */
function valuesOf(lines: readonly (readonly string[])[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of lines) {
    const text = line.join(" ").replaceAll(/\s+/g, " ");
    const label = LABELS.find((it) => text.startsWith(it));
    if (label !== undefined) found[label] = text.slice(label.length).trim();
  }
  return found;
}
