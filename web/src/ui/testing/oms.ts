// An OMS for tests of parts: answers calls by a table, and keeps what was asked. Whole pages are tried against the
// real one, in tests/hosts.
import { vi } from "vitest";
import type { Answer, Params } from "../api/client";
import { METHODS, type Method } from "../api/contract";
import { OmsError } from "../api/errors";
import { begin } from "../api/session";

type Answers = { [M in Method]?: Answer<M> | ((params: Params<M>) => Answer<M>) };

export interface Asked {
  method: Method;
  params: Record<string, unknown>;
  /** Whether OMS was told that no person asked. */
  isByItself?: true;
}

/**
 * From now on `fetch` is answered by the table. An answer that is an OmsError, or throws one, is that error. `events` is
 * what comes of those; without it there are none.
 */
export function oms(answers: Answers, events?: ReadableStream<Uint8Array<ArrayBuffer>>): Asked[] {
  const asked: Asked[] = [];
  vi.stubGlobal("fetch", async (path: string, init: RequestInit = {}) => {
    if (path === "/events" && events) return new Response(events);
    if (path !== "/") return new Response("", { status: 404 });
    const { id, method, params } = JSON.parse(String(init.body)) as Asked & { id: number };
    const isByItself = new Headers(init.headers).get("OMS-Unattended") === "1";
    asked.push({ method, params, ...(isByItself && { isByItself }) });
    return Response.json({ jsonrpc: "2.0", id, ...outcome(answers, method, params) });
  });
  return asked;
}

function outcome(answers: Answers, method: Method, params: Record<string, unknown>): object {
  const answer: unknown = answers[method];
  if (answer === undefined) throw new Error(`the test's OMS has no answer to ${method}`);
  try {
    const result: unknown = typeof answer === "function" ? answer(params) : answer;
    if (result instanceof OmsError) throw result;
    const whole = METHODS[method].by === "host" ? { client: params.server_hostname, result } : result;
    return { result: { type: "func", result: whole, as_of: "2026-01-01T12:00:00.000Z" } };
  } catch (failure) {
    if (!(failure instanceof OmsError)) throw failure;
    const { wireName: name, message, data } = failure;
    return { error: { code: 1000, message, data: { ...data, name } } };
  }
}

/** Somebody is logged in. */
export function loggedIn(role: "viewer" | "operator" | "admin" = "admin", mustChange = false): void {
  begin({
    isIn: true,
    sessid: "A".repeat(40),
    name: "anna",
    role,
    source: "local",
    must_change_password: mustChange,
    token: "",
  });
}
