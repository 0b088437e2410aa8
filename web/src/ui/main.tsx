import "@patternfly/react-core/dist/styles/base.css";
import "./app/app.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/App";
import { followTheme } from "./shell/theme";

const LOADED_ANEW = "oms.loaded-anew";
const ONCE_MS = 10_000;

// A part of the GUI could not be had: the server has another version by now, or the network broke for a moment. The
// page is loaded anew, once.
addEventListener("vite:preloadError", () => {
  const last = Number(sessionStorage.getItem(LOADED_ANEW) ?? 0);
  if (Date.now() - last < ONCE_MS) return;
  sessionStorage.setItem(LOADED_ANEW, String(Date.now()));
  location.reload();
});

followTheme();
createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
