import { Button, Label, LabelGroup } from "@patternfly/react-core";
import { PlusIcon } from "@patternfly/react-icons";
import { useState } from "react";
import type { FleetGuest } from "../../../api/contract";
import { useChange } from "../../../api/queries";
import { words } from "../../../messages";
import { Outcomes, TagAsking, type Work } from "../bulk";

const said = words.guests;

/** The tags of a guest, taken away and added where one may. */
export function GuestTags({ guest, mayChange }: { guest: FleetGuest; mayChange: boolean }): React.ReactNode {
  const [isAsking, setAsking] = useState(false);
  const [work, setWork] = useState<Work>();
  const take = useChange("tagservices.remove_tag");
  return (
    <>
      <LabelGroup categoryName={said.columns.tags} numLabels={20}>
        {guest.tags.map((tag) => (
          <Label
            key={tag}
            {...(mayChange && {
              closeBtnAriaLabel: said.tagging.take(tag),
              onClose: () =>
                take.mutate({
                  tag_name: tag,
                  server_hostname: guest.host,
                  vm_name: guest.id,
                  vm_type: guest.kind,
                }),
            })}
          >
            {tag}
          </Label>
        ))}
        {mayChange && (
          <Button
            key="add"
            variant="link"
            size="sm"
            icon={<PlusIcon />}
            onClick={() => setAsking(true)}
            aria-label={said.actions.tag}
          />
        )}
      </LabelGroup>
      {isAsking && (
        <TagAsking
          guests={[guest]}
          onClose={() => setAsking(false)}
          onWork={(next) => {
            setAsking(false);
            setWork(next);
          }}
        />
      )}
      {work && <Outcomes work={work} onClose={() => setWork(undefined)} />}
    </>
  );
}
