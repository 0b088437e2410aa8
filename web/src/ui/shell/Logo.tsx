import { words } from "../messages";

/** The mark and the name. */
export function Logo(): React.ReactNode {
  return (
    <span className="oms-logo">
      <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
        <rect width="32" height="32" rx="7" fill="var(--pf-t--global--color--brand--default)" />
        <circle
          cx="16"
          cy="16"
          r="8"
          fill="none"
          stroke="var(--pf-t--global--text--color--on-brand--default)"
          strokeWidth="3"
        />
        <circle cx="16" cy="16" r="2.6" fill="var(--pf-t--global--text--color--on-brand--default)" />
      </svg>
      <span className="oms-logo-name">{words.shell.short}</span>
    </span>
  );
}
