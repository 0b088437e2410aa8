import "@testing-library/jest-dom/vitest";
import { cleanup, configure } from "@testing-library/react";
import { afterEach, vi } from "vitest";
import { session } from "../api/session";
import { toasts } from "../parts/toasts";

// A busy machine may take its time; a failure shows the words, not the whole page.
configure({
  asyncUtilTimeout: 15_000,
  // Whether something is hidden takes long to tell here: where it matters, a test asks toBeVisible.
  defaultHidden: true,
  getElementError: (message) => new Error(`${message}\n\n${document.body.textContent?.slice(0, 2000)}`),
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  sessionStorage.clear();
  localStorage.clear();
  session.set({ isIn: false, sessid: "", why: "" });
  toasts.set([]);
});
