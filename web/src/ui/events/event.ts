// An event as OMS tells it, as far as it matters for what is asked again.
export interface Event {
  sequence: number;
  /** `noun.verb`, as in `job.ended`. */
  kind: string;
  host: string;
  guest: { type: "kvm" | "openvz"; id: string; name: string } | null;
  job: string;
  user: string;
  data: Readonly<Record<string, unknown>>;
}
