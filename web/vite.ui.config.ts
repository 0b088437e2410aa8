// The GUI: pages of one application below /ui/, packed for a server that hands files out as they are.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const brotli = promisify(brotliCompress);
const SERVER = process.env.OMS ?? "https://127.0.0.1:8000";

/** Beside each file that shrinks by it, the same as Brotli: the server compresses nothing itself. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    async writeBundle({ dir }, bundle) {
      const texts = Object.keys(bundle).filter((name) => /\.(js|css|html|svg)$/.test(name));
      await Promise.all(
        texts.map(async (name) => {
          const path = join(dir ?? "", name);
          await writeFile(`${path}.br`, await brotli(await readFile(path)));
        }),
      );
    },
  };
}

export default defineConfig({
  root: "src/ui",
  base: "/ui/",
  plugins: [react(), packed()],
  server: {
    port: 5173,
    proxy: Object.fromEntries(
      ["^/$", "^/events", "^/console/", "^/transfers/", "^/ca.pem$"].map((path) => [
        path,
        // OMS takes no call that a browser says comes from another site's page.
        { target: SERVER, secure: false, changeOrigin: true, ws: true, headers: { origin: SERVER } },
      ]),
    ),
  },
  build: {
    outDir: "../../../src/oms/server/edge/web/ui",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
});
