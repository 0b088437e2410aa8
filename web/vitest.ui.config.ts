// The tests of the GUI's parts: beside its build, which has to do without what only tests need.
import { defineConfig, mergeConfig } from "vitest/config";
import ui from "./vite.ui.config";

export default mergeConfig(
  ui,
  defineConfig({
    test: {
      environment: "happy-dom",
      environmentOptions: { happyDOM: { width: 1400, height: 900 } },
      setupFiles: ["testing/setup.ts"],
      css: false,
      // One after the other and in one place: what takes long is to load PatternFly.
      isolate: false,
      fileParallelism: false,
      testTimeout: 60_000,
    },
  }),
);
