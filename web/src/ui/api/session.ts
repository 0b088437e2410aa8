// Who is logged in. The session id is kept for this tab alone, where no other site and no other tab can read it, and
// no browser sends it by itself: there is no cookie.
import { type Store, store, useStore } from "../parts/store";
import type { Permission, Whoever } from "./contract";

const KEPT = "oms.session";

/** Somebody who is logged in, as OMS told of him last. */
export interface Session extends Whoever {
  readonly isIn: true;
  readonly sessid: string;
}

/** Nobody is logged in: from the beginning, by his own wish, or because the session has ended. */
export interface NoSession {
  readonly isIn: false;
  readonly sessid: "";
  readonly why: "" | "left" | "ended";
}

export type SessionState = Session | NoSession;

export const session: Store<SessionState> = store<SessionState>(kept());

function kept(): SessionState {
  try {
    const read: unknown = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    if (typeof read === "object" && read !== null && "isIn" in read && read.isIn === true) return read as Session;
  } catch {
    // Whatever stands there is none of ours.
  }
  return { isIn: false, sessid: "", why: "" };
}

/** From now on the calls are this session's. */
export function begin(next: Session): void {
  sessionStorage.setItem(KEPT, JSON.stringify(next));
  session.set(next);
}

/** Nobody is logged in any more. */
export function end(why: "left" | "ended"): void {
  sessionStorage.removeItem(KEPT);
  session.set({ isIn: false, sessid: "", why });
}

/** OMS answers this session nothing else until its password is another. */
export function mustChange(): void {
  const now = session.get();
  if (now.isIn) begin({ ...now, must_change_password: true });
}

/** Who is logged in. Only for what is shown to somebody who is. */
export function useSession(): Session {
  const now = useStore(session);
  if (!now.isIn) throw new Error("nobody is logged in");
  return now;
}

const ROLES: readonly Permission[] = ["nobody", "viewer", "operator", "admin"];

/** Whether a role may do what needs at least the other. */
export function suffices(role: Permission, needed: Permission): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}
