// Hosts: the list, those that wait, and how one joins.
import type { FleetHost } from "../../api/contract";

export const hosts = {
  title: "Hosts",
  search: "Search hosts",
  add: "Add a host",
  columns: {
    name: "Name",
    state: "State",
    guests: "Guests",
    cpu: "CPU",
    memory: "Memory",
    disk: "Disks",
    load: "Load",
    tags: "Tags",
  },
  states: { connected: "Connected", away: "Away" },
  stateFilter: "State",
  tagFilter: "Tag",
  stateOptions: { connected: "Connected", away: "Away", attention: "Needs attention" },
  attention: {
    away: "Its agent is not connected",
    certificate: "Its certificate ends soon and was not renewed",
    disk: "A file system is more than 90 % full",
    memory: "Less than 5 % of its memory is left",
  } satisfies Record<FleetHost["attention"][number], string>,
  running: (running: number, all: number) => `${running} of ${all}`,
  runningLabel: (running: number, all: number) => `${running} of ${all} guests run`,
  used: (what: string, host: string) => `${what} in use on ${host}`,
  open: "Open",
  remove: {
    action: "Remove from OMS …",
    title: (name: string) => `Remove ${name}?`,
    text: "Its certificate is revoked and its connection cut at once. Guests on it go on running; OMS sees them no more. Its agent asks to join again about two minutes later, with a new key.",
    button: "Remove the host",
    done: (name: string) => `${name} is removed`,
    notConfirmed: (name: string) => `${name} is removed, but it could not be confirmed that its connection is cut`,
  },
  waiting: {
    title: "Waiting to be signed",
    text: "Compare each fingerprint with the one that the host's own agent shows, as in its log: “this host's key is …”. Only where they are the same is it the host that it says it is.",
    from: (address: string) => `asked from ${address}`,
    rival:
      "Another key asks for this name, or it is signed already: only one can be right. Find out which, and reject the request or remove the host.",
    facts: (cpus: number, memory: string) => `${cpus} CPUs, ${memory}`,
    key: (name: string) => `Fingerprint of ${name}'s key`,
    sign: "Sign …",
    signFor: (name: string) => `Sign ${name}`,
    reject: "Reject …",
    rejectFor: (name: string) => `Reject ${name}`,
  },
  sign: {
    title: (name: string) => `Let ${name} in?`,
    text: "OMS will trust whoever has this key to be that host. Does its agent show the very same fingerprint?",
    compared: "I have compared it: they are the same",
    button: "Sign the host",
    done: (name: string) => `${name} is signed`,
    doneText: "It connects within seconds.",
  },
  reject: {
    title: (name: string) => `Reject the request of ${name}?`,
    text: "All requests for this name are dropped. A host whose agent still runs asks again, and is then here once more.",
    button: "Reject the request",
    done: (name: string) => `The request of ${name} is rejected`,
  },
  join: {
    title: "Add a host",
    emptyTitle: "No host yet",
    emptyText: "A host joins by its agent, which asks to be let in. It waits here until you sign it.",
    first: "Install OMS on the host, as docs/operating.md says, and run there as root:",
    command: "Command that enrols a host",
    why: "The fingerprint is that of this OMS's own certificate authority: by it the agent knows that it speaks with this OMS and with nobody else.",
    second:
      "The agent shows the fingerprint of its own key, and the host appears here. Compare the two, and sign it.",
    loopback:
      "This page was opened at an address that only this machine knows: put the name by which the host reaches it instead, and see that OMS listens there (--listen 0.0.0.0:8000).",
  },
};
