// Light, dark, or as the system: kept in this browser.
import { type Store, store } from "../parts/store";

export type Theme = "system" | "light" | "dark";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];
const KEPT = "oms.theme";
const DARK_CLASS = "pf-v6-theme-dark";
const wantsDark = matchMedia("(prefers-color-scheme: dark)");

export const theme: Store<Theme> = store<Theme>(kept());

function kept(): Theme {
  const word = localStorage.getItem(KEPT);
  return THEMES.find((known) => known === word) ?? "system";
}

function show(): void {
  const dark = theme.get() === "dark" || (theme.get() === "system" && wantsDark.matches);
  document.documentElement.classList.toggle(DARK_CLASS, dark);
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
}

/** Show the page in the theme that is chosen, now and whenever it changes. */
export function followTheme(): void {
  show();
  wantsDark.addEventListener("change", show);
  theme.subscribe(() => {
    localStorage.setItem(KEPT, theme.get());
    show();
  });
}
