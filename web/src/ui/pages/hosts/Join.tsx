// How a host joins: the command, ready to copy, with the fingerprint by which it knows this OMS.
import {
  Alert,
  Button,
  Content,
  EmptyState,
  EmptyStateBody,
  EmptyStateFooter,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
} from "@patternfly/react-core";
import { ServerIcon } from "@patternfly/react-icons";
import { useAnswer } from "../../api/queries";
import { words } from "../../messages";
import { CopyBlock } from "../../parts/Copyable";
import { Failure } from "../../parts/Failure";

const said = words.hosts.join;
const LOOPBACK = /^(localhost|127\..*|\[::1\])$/;

/** What is done on the host, and what then here. */
function Steps(): React.ReactNode {
  const { data, error, refetch } = useAnswer("funcservices.ca_sha256", {});
  return (
    <div className="oms-join">
      <Failure of={error} retry={() => void refetch()} />
      <Content component="ol">
        <Content component="li">{said.install}</Content>
        <Content component="li">
          {said.run}
          <CopyBlock
            text={`oms agent --server ${location.origin} --ca-sha256 ${data?.sha256 ?? "…"}`}
            what={said.command}
          />
          {LOOPBACK.test(location.hostname) && (
            <Alert isInline isPlain variant="warning" title={said.loopback} className="oms-gap" />
          )}
          <Content component="small">{said.why}</Content>
        </Content>
        <Content component="li">{said.sign}</Content>
      </Content>
    </div>
  );
}

export function JoinDialog({ close }: { close: () => void }): React.ReactNode {
  return (
    <Modal isOpen variant="medium" onClose={close} aria-labelledby="join-title" aria-describedby="join-body">
      <ModalHeader title={said.title} labelId="join-title" />
      <ModalBody id="join-body">
        <Steps />
      </ModalBody>
      <ModalFooter>
        <Button onClick={close}>{words.parts.close}</Button>
      </ModalFooter>
    </Modal>
  );
}

/** In place of a list without hosts: what there is to do first. */
export function EmptyFleet({ mayAdd }: { mayAdd: boolean }): React.ReactNode {
  return (
    <EmptyState titleText={said.emptyTitle} headingLevel="h2" icon={ServerIcon}>
      <EmptyStateBody>{said.emptyText}</EmptyStateBody>
      {mayAdd && (
        <EmptyStateFooter>
          <Steps />
        </EmptyStateFooter>
      )}
    </EmptyState>
  );
}
