import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, extname } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";
import { used } from "./tokens.mjs";

// The build is made beside dist and moved there when it is whole, because the
// Go program embeds dist, built or not, and may be compiled at any time.
const made = join(import.meta.dirname, "dist.next");
const dist = join(import.meta.dirname, "dist");
const modules = join(import.meta.dirname, "node_modules");

// The fonts of the PDFs: they are embedded where those are made, and never go
// to a browser.
const fonts = join(import.meta.dirname, "..", "..", "publish", "font");
const noto = join(modules, "@expo-google-fonts", "noto-sans-jp");

// Adds those design tokens that the style sheets use.
function tokens(): Plugin {
  return {
    name: "tokens",
    enforce: "pre",
    transform(code, id) {
      return id.endsWith("/src/style.css") ? code + used() : null;
    },
  };
}

// Puts the fonts in their place, each whole at once.
function typefaces() {
  mkdirSync(fonts, { recursive: true });
  for (const [folder, weight] of [
    ["400Regular", "Regular"],
    ["700Bold", "Bold"],
  ] as const) {
    const name = `NotoSansJP-${weight}.ttf`;
    copyFileSync(join(noto, folder, `NotoSansJP_${folder}.ttf`), join(fonts, `.${name}.next`));
    renameSync(join(fonts, `.${name}.next`), join(fonts, name));
  }
}

// Writes the licence texts of what is in the program, packs every file once at
// the highest level, so that the server never has to, and moves all to dist.
function finish(): Plugin {
  return {
    name: "finish",
    closeBundle() {
      typefaces();
      const parts = ["@digital-go-jp/design-tokens", "echarts", "zrender", "tslib", "@expo-google-fonts/noto-sans-jp"].map((name) => {
        const folder = join(modules, name);
        const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
        const texts = ["LICENSE", "LICENSE.txt", "LICENSE_FONT", "NOTICE"].filter((f) => existsSync(join(folder, f)));
        return `${name} ${version}\n\n${texts.map((f) => readFileSync(join(folder, f), "utf8").trim()).join("\n\n")}\n`;
      });
      writeFileSync(join(made, "licenses.txt"), parts.join(`\n${"-".repeat(80)}\n\n`));
      for (const file of readdirSync(made).filter((f) => [".js", ".css", ".txt"].includes(extname(f)))) {
        const body = readFileSync(join(made, file));
        writeFileSync(join(made, `${file}.gz`), gzipSync(body, { level: 9 }));
        writeFileSync(join(made, `${file}.br`), brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
      }
      for (const name of readdirSync(dist).filter((f) => f !== ".keep")) rmSync(join(dist, name), { recursive: true });
      for (const name of readdirSync(made)) renameSync(join(made, name), join(dist, name));
      rmSync(made, { recursive: true });
    },
  };
}

export default defineConfig({
  base: "/assets/",
  plugins: [tokens(), finish()],
  build: {
    outDir: "dist.next",
    assetsDir: "",
    emptyOutDir: true,
    manifest: true,
    modulePreload: { polyfill: false },
    target: ["chrome123", "edge123", "firefox128", "safari17.5"],
    cssTarget: ["chrome123", "edge123", "firefox128", "safari17.5"],
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: { input: "src/page.ts" },
  },
});
