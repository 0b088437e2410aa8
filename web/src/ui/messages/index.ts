// Every word that the GUI says, in one place. Another language is another catalogue of the same type.
import { guests } from "./en/guests";
import { login, password } from "./en/login";
import { parts, toasts } from "./en/parts";
import { shell } from "./en/shell";

const en = { guests, login, parts, password, shell, toasts };

export type Words = typeof en;
export const words: Words = en;
