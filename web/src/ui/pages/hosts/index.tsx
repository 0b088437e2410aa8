// All hosts, those that wait to be let in, and how to make one join.
import { Button, PageSection } from "@patternfly/react-core";
import { useState } from "react";
import { useAnswer, useMay } from "../../api/queries";
import { usePace } from "../../events/feed";
import { words } from "../../messages";
import { Failure } from "../../parts/Failure";
import { PageHead } from "../../parts/PageHead";
import { HostList } from "./HostList";
import { EmptyFleet, JoinDialog } from "./Join";
import { Waiting } from "./Waiting";

const said = words.hosts;

export function Component(): React.ReactNode {
  const [joins, setJoins] = useState(false);
  const maySign = useMay("funcservices.sign_requests");
  const { data: fleet, error, refetch } = useAnswer("fleetservices.summarize", {}, { every: usePace() });
  const isEmpty = fleet?.hosts.signed === 0;
  return (
    <>
      <PageHead
        title={said.title}
        actions={maySign && !isEmpty && <Button onClick={() => setJoins(true)}>{said.add}</Button>}
      />
      <Waiting />
      <PageSection isFilled>
        <Failure of={error} retry={() => void refetch()} />
        {isEmpty ? <EmptyFleet mayAdd={maySign} /> : <HostList />}
      </PageSection>
      {joins && <JoinDialog close={() => setJoins(false)} />}
    </>
  );
}
