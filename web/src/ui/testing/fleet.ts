// A host for tests, as the fleet lists it.
import type { FleetHost } from "../api/contract";

export const HOST: FleetHost = {
  name: "node1",
  id: "1".repeat(32),
  state: "connected",
  type: "KVM",
  tags: [{ tag: "KVM", level: 1 }],
  attention: ["disk"],
  agent_version: "1.0",
  architecture: "x86_64",
  distribution: "Debian 12",
  kernel: "6.1",
  hypervisors: ["kvm"],
  cpus: 8,
  memory_mb: 16384,
  load: 0.5,
  cpu_percent: 12.4,
  memory_used_mb: 4096,
  disk_mb: null,
  disk_used_mb: null,
  uptime_seconds: 100,
  guests: 5,
  guests_running: 3,
  unfinished_jobs: 0,
  certificate_not_after: "2026-03-01T12:00:00Z",
  last_seen: "2026-01-01T12:00:00Z",
};
