// What a method does, in words: `kvmservices.create_vm_from_iso` is "Create machine from ISO".
const GUEST: Readonly<Record<string, string>> = { kvmservices: "machine", ovzservices: "container" };
const SPELLED: Readonly<Record<string, string>> = {
  iso: "ISO",
  lv: "logical volume",
  nic: "interface",
  cdrom: "CD",
  ssh: "SSH",
  vnc: "VNC",
};

export function methodInWords(method: string): string {
  const [service = "", name = ""] = method.split(".");
  const said = name
    .split("_")
    .map((word) => (word === "vm" ? (GUEST[service] ?? "guest") : (SPELLED[word] ?? word)))
    .join(" ");
  return said.charAt(0).toUpperCase() + said.slice(1);
}
