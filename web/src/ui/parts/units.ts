// Numbers as people read them.
const STEPS = ["KB", "MB", "GB", "TB", "PB"] as const;

/** An amount of so many KB. */
export function kb(amount: number): string {
  let left = amount;
  let step = 0;
  while (left >= 1024 && step < STEPS.length - 1) {
    left /= 1024;
    step += 1;
  }
  return `${left >= 100 || step === 0 ? Math.round(left) : Number(left.toFixed(1))} ${STEPS[step]}`;
}

/** An amount of so many MB. */
export function mb(amount: number): string {
  return kb(amount * 1024);
}
