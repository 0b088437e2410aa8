// What a call can end in, besides its answer.
import type { ErrorName } from "./contract";

/** OMS said no. `message` is its own sentence for a person; `reason` tells apart what one name covers. */
export class OmsError extends Error {
  readonly wireName: ErrorName;
  readonly reason: string;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(wireName: ErrorName, message: string, data: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = "OmsError";
    this.wireName = wireName;
    this.reason = typeof data.reason === "string" ? data.reason : "";
    this.data = data;
  }

  /** The job that goes on although its call was answered, or "". */
  get job(): string {
    return this.wireName === "FuncMethodTimeoutError" && typeof this.data.job === "string" ? this.data.job : "";
  }

  /** The parameter that was not right, or "". */
  get parameter(): string {
    return typeof this.data.parameter === "string" ? this.data.parameter : "";
  }
}

/** There was no answer: OMS cannot be reached, or what answered was not OMS. Whether a change was made is not known. */
export class OutOfReach extends Error {
  constructor(why: string) {
    super(why);
    this.name = "OutOfReach";
  }
}

/** Whether nobody waits for the answer any more. */
export function wasDropped(failure: unknown): boolean {
  return failure instanceof DOMException && failure.name === "AbortError";
}
