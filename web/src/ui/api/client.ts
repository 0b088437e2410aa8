// The one door to OMS: calls, posted as JSON-RPC 2.0 with parameters by name.
import { type ErrorName, METHODS, type Method, type Methods } from "./contract";
import { OmsError, OutOfReach, wasDropped } from "./errors";
import { end, mustChange, session } from "./session";

/** How much longer than OMS itself waits an answer may be on its way, in milliseconds. */
const ON_ITS_WAY_MS = 10_000;
/** AuthError is the answer of these to a wrong password too. */
const PASSWORD_IN_IT: ReadonlySet<Method> = new Set(["authservices.authenticate", "userservices.change_password"]);

export type Params<M extends Method> = Methods[M]["params"];
export type Answer<M extends Method> = Methods[M]["answer"];

export interface Options {
  /** How old a recorded answer may be, in seconds; 0, the default, asks the host. */
  cache?: number;
  signal?: AbortSignal | undefined;
  /** Whether no person asked, but an event or a clock: then it is no use of the session. */
  isByItself?: boolean;
  /** Whose call it is, where that is not who is logged in. */
  sessid?: string;
}

/** Call, and get the answer. Throws OmsError and OutOfReach. */
export async function call<M extends Method>(
  method: M,
  params: Params<M>,
  options: Options = {},
): Promise<Answer<M>> {
  const { by } = METHODS[method];
  const sessid = options.sessid ?? session.get().sessid;
  const front =
    by === "open"
      ? {}
      : by === "session"
        ? { SESSID: sessid }
        : { SESSID: sessid, cache_timeout: options.cache ?? 0 };
  try {
    const result = await post(method, { ...front, ...params }, options);
    return by === "host" ? (result as { result: Answer<M> }).result : (result as Answer<M>);
  } catch (failure) {
    if (failure instanceof OmsError) refused(failure, method, sessid);
    throw failure;
  }
}

interface Said {
  result?: { result: unknown };
  error?: { message: string; data?: { name?: ErrorName } & Record<string, unknown> };
}

let calls = 0;

async function post(
  method: Method,
  params: object,
  { signal: dropped, isByItself = false }: Options,
): Promise<unknown> {
  calls += 1;
  const late = AbortSignal.timeout(METHODS[method].timeout * 1000 + ON_ITS_WAY_MS);
  let said: Said;
  try {
    const response = await fetch("/", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(isByItself && { "OMS-Unattended": "1" }) },
      body: JSON.stringify({ jsonrpc: "2.0", id: calls, method, params }),
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      signal: dropped ? AbortSignal.any([dropped, late]) : late,
    });
    if (!response.ok) throw new OutOfReach(await response.text());
    said = (await response.json()) as Said;
  } catch (failure) {
    if (failure instanceof OutOfReach || wasDropped(failure)) throw failure;
    throw new OutOfReach(late.aborted ? "OMS did not answer in time." : "OMS cannot be reached.");
  }
  if (said.result !== undefined) return said.result.result;
  const { name = "InternalError", ...data } = said.error?.data ?? {};
  throw new OmsError(name, said.error?.message ?? "OMS gave no answer.", data);
}

/** A session that OMS does not know any more is over here too. */
function refused(failure: OmsError, method: Method, sessid: string): void {
  if (failure.wireName !== "AuthError" || PASSWORD_IN_IT.has(method) || sessid !== session.get().sessid) return;
  if (failure.reason === "password_must_change") mustChange();
  else if (failure.reason === "no_session" && sessid !== "") end("ended");
}
