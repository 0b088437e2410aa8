// The web pages of OMS: built into the server's package, which serves them under any path and at several ports,
// so every address in them is relative.
import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  build: {
    outDir: "../src/oms/server/edge/web/consoles",
    emptyOutDir: true,
    target: "es2022",
    // No script in the page itself: the pages' policy allows none.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rollupOptions: { input: ["vnc.html", "terminal.html"] },
  },
});
