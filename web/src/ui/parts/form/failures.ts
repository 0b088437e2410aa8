// Which field a refusal is about: OMS names the parameter, or its reason does.
import { OmsError } from "../../api/errors";

/** The words for one field, or undefined where the refusal is about another or none. */
export function wrongAt(failure: Error | null, parameter: string, ...reasons: string[]): string | undefined {
  if (!(failure instanceof OmsError)) return undefined;
  if (failure.parameter === parameter || reasons.includes(failure.reason)) return failure.message;
  return undefined;
}

/** The refusal, where none of the fields shows it. */
export function elsewhere(failure: Error | null, ...shown: (string | undefined)[]): Error | null {
  return shown.some((words) => words !== undefined) ? null : failure;
}
