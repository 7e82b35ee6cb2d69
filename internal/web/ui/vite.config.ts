import { readFileSync, readdirSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { join, extname } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";
import { used } from "./tokens.mjs";

const dist = join(import.meta.dirname, "dist");
const modules = join(import.meta.dirname, "node_modules");

// Empties dist but for the placeholder that keeps the folder in the
// repository (the Go program embeds it, built or not).
function empty(): Plugin {
  return {
    name: "empty",
    buildStart() {
      for (const name of readdirSync(dist)) {
        if (name !== ".keep") rmSync(join(dist, name), { recursive: true });
      }
    },
  };
}

// Keeps those design tokens that the style sheets use.
function tokens(): Plugin {
  return {
    name: "tokens",
    enforce: "pre",
    load(id) {
      return id.endsWith("design-tokens/dist/tokens-simple.css") ? used() : null;
    },
  };
}

// Writes the licence texts of what is in the bundle, and packs every file
// once at the highest level, so that the server never has to.
function finish(): Plugin {
  return {
    name: "finish",
    closeBundle() {
      const parts = ["@digital-go-jp/design-tokens", "echarts", "zrender", "tslib"].map((name) => {
        const folder = join(modules, name);
        const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
        const texts = ["LICENSE", "LICENSE.txt", "NOTICE"].filter((f) => existsSync(join(folder, f)));
        return `${name} ${version}\n\n${texts.map((f) => readFileSync(join(folder, f), "utf8").trim()).join("\n\n")}\n`;
      });
      writeFileSync(join(dist, "licenses.txt"), parts.join(`\n${"-".repeat(80)}\n\n`));
      const files = ["licenses.txt", ...readdirSync(join(dist, "assets")).map((f) => join("assets", f))];
      for (const file of files.filter((f) => [".js", ".css", ".txt"].includes(extname(f)))) {
        const body = readFileSync(join(dist, file));
        writeFileSync(join(dist, `${file}.gz`), gzipSync(body, { level: 9 }));
        writeFileSync(join(dist, `${file}.br`), brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
      }
    },
  };
}

export default defineConfig({
  base: "/assets/",
  plugins: [empty(), tokens(), finish()],
  build: {
    outDir: "dist",
    emptyOutDir: false,
    manifest: true,
    modulePreload: { polyfill: false },
    target: ["chrome123", "edge123", "firefox128", "safari17.5"],
    cssTarget: ["chrome123", "edge123", "firefox128", "safari17.5"],
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: { input: "src/page.ts" },
  },
});
