// Where a guest is, and where it may be found when it is not there.
import { Link } from "react-router";
import type { FleetGuest } from "../../../api/contract";
import { useAnswer } from "../../../api/queries";
import { words } from "../../../messages";
import { pageOf } from "../../../parts/guest/actions";

const said = words.guests;

/** Which kind of a guest it is, and a way to its host. */
export function KindAndHost({ guest }: { guest: FleetGuest }): React.ReactNode {
  return (
    <>
      {said.kind[guest.kind]} · <Link to={`/hosts/${guest.host}`}>{guest.host}</Link>
    </>
  );
}

/** Ways to whoever has that id by now, since a guest may have moved; and to all guests. */
export function Elsewhere({ id, kind }: Pick<FleetGuest, "id" | "kind">): React.ReactNode {
  const { data } = useAnswer("fleetservices.list_guests", { search: id, kind, most: 0 });
  const found = (data?.guests ?? []).filter((guest) => guest.id === id);
  return (
    <>
      {found.length > 0 && <p className="oms-gap">{said.page.elsewhere}</p>}
      {found.map((guest) => (
        <p key={guest.host}>
          <Link to={pageOf(guest)}>{said.page.at(guest.name, guest.host)}</Link>
        </p>
      ))}
      <p className="oms-gap">
        <Link to="/guests">{said.page.all}</Link>
      </p>
    </>
  );
}
