import { Link } from "react-router";
import type { Task } from "../../api/contract";
import { words } from "../../messages";

/** What another host does because of a job, in a line. */
export function Side({ there }: { there: Task }): React.ReactNode {
  return (
    <div className="oms-subtle oms-break">
      <Link to={`/jobs/${there.id}`}>{words.jobs.takesIn(there.host)}</Link>: {words.jobs.states[there.state]}
      {there.error !== null && <>, {there.error.message}</>}
    </div>
  );
}
