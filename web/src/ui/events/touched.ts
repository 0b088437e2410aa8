// Which answers an event makes old: a pure table from kinds of events, or their nouns, to methods.
import type { Method } from "../api/contract";
import type { Event } from "./event";

interface Rule {
  /** Methods, or the beginnings of their names. */
  readonly methods: readonly string[];
  /** Whether only answers of the event's host are meant, where a method is asked of a host. */
  readonly ofHost?: boolean;
}

const GUESTS = ["kvmservices.", "ovzservices.", "kvmplusovzservices.", "fleetservices."];
const OF_A_HOST = ["isoservices.", "lvmservices.", "netinterfaceservices."];
const RULES: Readonly<Record<string, Rule>> = {
  server: { methods: [""] },
  job: { methods: ["taskservices.", "fleetservices.summarize"] },
  host: { methods: ["funcservices.", "fleetservices.", "statsservices.get_stats"], ofHost: true },
  // What could not be asked meanwhile can be now.
  "host.connected": {
    methods: ["funcservices.", "statsservices.get_stats", ...GUESTS, ...OF_A_HOST],
    ofHost: true,
  },
  "host.measured": {
    methods: ["fleetservices.list_hosts", "fleetservices.summarize", "statsservices.get_stats"],
    ofHost: true,
  },
  guest: { methods: GUESTS, ofHost: true },
  guests: { methods: GUESTS, ofHost: true },
  images: { methods: ["kvmservices."], ofHost: true },
  templates: { methods: ["kvmservices.", "ovzservices.", "kvmplusovzservices."], ofHost: true },
  isos: { methods: ["isoservices."], ofHost: true },
  volumes: { methods: ["lvmservices."], ofHost: true },
  networks: { methods: ["netinterfaceservices."], ofHost: true },
  tag: { methods: ["tagservices.", "funcservices.", ...GUESTS] },
  user: { methods: ["userservices."] },
  session: { methods: ["userservices."] },
  token: { methods: ["userservices."] },
  console: { methods: ["consoleservices."] },
};

/** Whether the answer of a method with those parameters may be another after the event. */
export function touches(event: Event, method: Method, params: Readonly<Record<string, unknown>>): boolean {
  const rule = RULES[event.kind] ?? RULES[event.kind.split(".")[0] ?? ""];
  if (rule === undefined) return false;
  if (!rule.methods.some((beginning) => method.startsWith(beginning))) return false;
  const asked = params.server_hostname ?? params.server_name;
  return !rule.ofHost || typeof asked !== "string" || asked === "" || asked === event.host;
}
