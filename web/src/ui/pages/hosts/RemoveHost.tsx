import { Content } from "@patternfly/react-core";
import { useChange } from "../../api/queries";
import { words } from "../../messages";
import { Confirm } from "../../parts/Confirm";
import { say } from "../../parts/toasts";

const said = words.hosts.remove;

/** Throws a host out, after it was asked for once more. */
export function RemoveHost({
  name,
  close,
  removed,
}: {
  name: string;
  close: () => void;
  removed?: () => void;
}): React.ReactNode {
  const remove = useChange("funcservices.remove_signed", {
    quiet: true,
    done: ({ failed_removals: failed }) => {
      if (failed.includes(name)) say("warning", said.notConfirmed(name));
      else say("success", said.done(name));
      close();
      removed?.();
    },
  });
  return (
    <Confirm
      title={said.title(name)}
      confirm={said.button}
      isDanger
      isBusy={remove.isPending}
      failure={remove.error}
      onConfirm={() => remove.mutate({ hostname_list: [name] })}
      onClose={close}
    >
      <Content component="p">{said.text}</Content>
    </Confirm>
  );
}
