import { Content } from "@patternfly/react-core";
import type { Task } from "../../api/contract";
import { useChange } from "../../api/queries";
import { words } from "../../messages";
import { Confirm } from "../Confirm";
import { say } from "../toasts";
import { jobInWords } from "./names";

const said = words.jobs.cancel;

/** Cancels a job, after it was asked for once more. */
export function CancelJob({ job, close }: { job: Task; close: () => void }): React.ReactNode {
  const cancel = useChange("taskservices.cancel_task", {
    quiet: true,
    done: () => {
      say("info", said.said);
      close();
    },
  });
  return (
    <Confirm
      title={said.title}
      confirm={said.button}
      isDanger
      isBusy={cancel.isPending}
      failure={cancel.error}
      onConfirm={() => cancel.mutate({ task_id: job.id })}
      onClose={close}
    >
      <Content component="p">
        <strong className="oms-break">{jobInWords(job)}</strong> {words.jobs.on(job.host)}
      </Content>
      <Content component="p">{said.text}</Content>
    </Confirm>
  );
}
