// Opens report.html in Chromium as its readers do: in both languages, in light
// and dark, on a desk and on a phone, with and without JavaScript, by keyboard,
// printed. Nothing for axe to find, no request but for the file, nothing in the
// console, no sideways scrolling.
//
//   node browse.mjs FOLDER-OF-THE-FRONT-END report.html…
//
// Environment: CHROMIUM (default /usr/bin/chromium), SEKIMORI_SCREENSHOTS (a
// folder for pictures and PDF; none without), EVERY=1 (all combinations).
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [ui, ...files] = process.argv.slice(2);
const require = createRequire(join(ui, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env["SEKIMORI_SCREENSHOTS"] ?? "";
if (shots) mkdirSync(shots, { recursive: true });

const faults = [];
let checks = 0;
function check(ok, what) {
  checks++;
  if (!ok) {
    faults.push(what);
    console.error(`FAULT ${what}`);
  }
}

const browser = await chromium.launch({
  executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--font-render-hinting=none"],
});

function watch(page, where, url) {
  page.on("console", (m) => check(false, `${where}: console: ${m.text()}`));
  page.on("pageerror", (e) => check(false, `${where}: ${e.message}`));
  page.on("dialog", (d) => {
    check(false, `${where}: a dialog: ${d.message()}`);
    d.dismiss();
  });
  page.on("request", (r) => check(r.url().split("#")[0] === url, `${where}: asks ${r.url()}`));
}

for (const file of files) {
  const url = pathToFileURL(file).href;
  const name = basename(dirname(file));
  for (const lang of ["ja", "en"]) {
    for (const theme of ["light", "dark"]) {
      for (const width of [1280, 390]) {
        // The first page is seen by two kinds of readers, each of the others by one.
        const desk = lang === "ja" && theme === "light" && width === 1280;
        const phone = lang === "en" && theme === "dark" && width === 390;
        const at = files.indexOf(file);
        const usual = (desk && at % 2 === 0) || (phone && (at === 0 || at % 2 === 1));
        if (!usual && !process.env["EVERY"] && !shots) continue;
        const where = `${name} ${lang} ${theme} ${width}`;
        const context = await browser.newContext({ colorScheme: theme, viewport: { width, height: width === 390 ? 844 : 900 }, isMobile: width === 390, hasTouch: width === 390 });
        const page = await context.newPage();
        watch(page, where, url);
        await page.goto(url);
        await page.locator(`#choose-${lang}`).check();
        const seen = await page.evaluate(() => [...document.querySelectorAll("article")].filter((a) => a.checkVisibility()).map((a) => a.lang));
        check(seen.join() === lang, `${where}: the languages shown are ${seen}`);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        check(over <= 0, `${where}: ${over}px wider than the window`);
        const text = await page.locator(`article[lang=${lang}]`).innerText();
        check(!/⟦|undefined|NaN|%!/.test(text), `${where}: ${text.match(/.{0,40}(⟦|undefined|NaN|%!).{0,40}/)?.[0]}`);
        if (shots) await page.screenshot({ path: join(shots, `${name}-${lang}-${theme}-${width}.png`), fullPage: true });
        await page.evaluate(axe);
        const found = await page.evaluate(async () => {
          const r = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
          return r.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.target} ${n.any?.[0]?.message ?? ""}`).join(" | ")}`);
        });
        check(found.length === 0, `${where}: axe: ${found.join("; ")}`);
        if (shots && theme === "dark" && width === 1280) await page.pdf({ path: join(shots, `${name}-${lang}.pdf`), format: "A4", preferCSSPageSize: true, printBackground: true });
        await context.close();
      }
    }
  }
  // Without JavaScript, by keyboard: the other language is chosen by an arrow key.
  const bare = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 900 } });
  const page = await bare.newPage();
  watch(page, `${name} without JavaScript`, url);
  await page.goto(url);
  const before = await page.locator("article:visible").getAttribute("lang");
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowRight");
  const after = await page.locator("article:visible").getAttribute("lang");
  check(before !== after, `${name}: the arrow key leaves the language ${before}`);
  check((await page.locator("article:visible").count()) === 1, `${name}: more than one language is shown`);
  await bare.close();
  // At 200 % zoom.
  const zoomed = await browser.newContext({ viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 });
  const big = await zoomed.newPage();
  await big.goto(url);
  check(await big.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth), `${name}: scrolls sideways at 200 %`);
  await zoomed.close();
}

await browser.close();
console.log(JSON.stringify({ files: files.length, checks, faults: faults.length }));
process.exit(faults.length === 0 ? 0 : 1);
