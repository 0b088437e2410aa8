import "@patternfly/react-core/dist/styles/base.css";
import "./app/app.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/App";
import { followTheme } from "./shell/theme";

const LOADED_ANEW = "oms.loaded-anew";
const AT_MOST = 3;
const FORGOTTEN_MS = 10_000;
const PAUSE_MS = 300;

/**
 * A part of the GUI could not be had: the server has another version by now, or the network broke for a moment. The page is
 * loaded anew, a few times at most.
 */
function loadAnew(): void {
  const [times = 0, last = 0] = (sessionStorage.getItem(LOADED_ANEW) ?? "").split(" ").map(Number);
  const now = Date.now() - last < FORGOTTEN_MS ? times + 1 : 1;
  if (now > AT_MOST) return;
  sessionStorage.setItem(LOADED_ANEW, `${now} ${Date.now()}`);
  setTimeout(() => location.reload(), (now - 1) * PAUSE_MS);
}

/** A stylesheet that could not be had is there, and lets nobody look into it. */
function isThere(sheet: CSSStyleSheet): boolean {
  try {
    return sheet.cssRules !== null;
  } catch {
    return false;
  }
}

addEventListener("vite:preloadError", loadAnew);
if (![...document.styleSheets].every(isThere)) loadAnew();

followTheme();
createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
