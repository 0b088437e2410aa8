// Every word that the GUI says, in one place. Another language is another catalogue of the same type.
import { audit, overview } from "./en/audit";
import { guests } from "./en/guests";
import { host } from "./en/host";
import { hosts } from "./en/hosts";
import { jobs } from "./en/jobs";
import { login, password } from "./en/login";
import { parts, toasts } from "./en/parts";
import { people } from "./en/people";
import { shell } from "./en/shell";

const en = { audit, guests, host, hosts, jobs, login, overview, parts, password, people, shell, toasts };

export type Words = typeof en;
export const words: Words = en;
