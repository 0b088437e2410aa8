// What is said at the corner of the page: that something was done, or was not, for whoever looks elsewhere by now.
import { OmsError, OutOfReach, wasDropped } from "../api/errors";
import { words } from "../messages";
import { type Store, store } from "./store";

export interface Toast {
  readonly id: number;
  readonly kind: "success" | "info" | "warning" | "danger";
  readonly title: string;
  readonly text?: string;
  /** The job that it is about: it can be looked at. */
  readonly job?: string;
}

const MOST = 5;
export const toasts: Store<readonly Toast[]> = store<readonly Toast[]>([]);
let said = 0;

/** Say something at the corner, what is said there already anew. Good news goes by itself. */
export function say(kind: Toast["kind"], title: string, more: { text?: string; job?: string } = {}): void {
  said += 1;
  const others = toasts
    .get()
    .filter(
      (toast) =>
        toast.kind !== kind || toast.title !== title || toast.text !== more.text || toast.job !== more.job,
    );
  toasts.set([...others, { id: said, kind, title, ...more }].slice(-MOST));
}

/** Say why something was not done, in OMS's own words. */
export function sayWrong(failure: unknown): void {
  if (wasDropped(failure)) return;
  if (failure instanceof OmsError && failure.job) {
    say("info", words.toasts.goesOn, { text: words.toasts.goesOnText, job: failure.job });
  } else if (failure instanceof OutOfReach) {
    say("danger", words.toasts.noAnswer, { text: `${failure.message} ${words.toasts.notKnown}` });
  } else {
    say("danger", words.toasts.notDone, { text: failure instanceof Error ? failure.message : String(failure) });
  }
}

export function dismiss(id: number): void {
  toasts.set(toasts.get().filter((toast) => toast.id !== id));
}
