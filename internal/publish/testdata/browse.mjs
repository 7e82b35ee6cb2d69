// Opens report.html in Chromium as its readers do: no request but for the file,
// nothing in the console, no sideways scrolling. The first page is seen in both
// languages, in light and dark, on a desk and on a phone, by keyboard without
// JavaScript and at 200 %, and axe finds nothing in it. The others have the same
// elements with other contents: each is seen once, in turn on a phone and on a
// desk.
//
//   node browse.mjs FOLDER-OF-THE-FRONT-END report.html…
//
// Environment: CHROMIUM (default /usr/bin/chromium), SEKIMORI_SCREENSHOTS (a
// folder for pictures and PDF; none without), EVERY=1 (all of it for all pages).
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
  page.on("console", (m) => check(false, `${where()}: console: ${m.text()}`));
  page.on("pageerror", (e) => check(false, `${where()}: ${e.message}`));
  page.on("dialog", (d) => {
    check(false, `${where()}: a dialog: ${d.message()}`);
    d.dismiss();
  });
  page.on("request", (r) => check(r.url().split("#")[0] === url, `${where()}: asks ${r.url()}`));
}

// accessible asks axe, which takes most of the time: two kinds of readers,
// between them every language, theme and width, are enough.
async function accessible(page, where) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const r = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"] });
    return r.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.target} ${n.any?.[0]?.message ?? ""}`).join(" | ")}`);
  });
  check(found.length === 0, `${where}: axe: ${found.join("; ")}`);
}

const everything = !!process.env["EVERY"] || !!shots;
for (const [at, file] of files.entries()) {
  const url = pathToFileURL(file).href;
  const name = basename(dirname(file));
  const all = at === 0 || everything;
  const phone = at % 2 === 1;
  for (const width of [1280, 390]) {
    if (!all && (width === 390) !== phone) continue;
    const context = await browser.newContext({ colorScheme: "light", viewport: { width, height: width === 390 ? 844 : 900 }, isMobile: width === 390, hasTouch: width === 390 });
    const page = await context.newPage();
    let where = `${name} ${width}`;
    watch(page, () => where, url);
    await page.goto(url);
    for (const lang of ["ja", "en"]) {
      if (!all && (lang === "en") !== phone) continue;
      await page.locator(`#choose-${lang}`).check();
      for (const theme of ["light", "dark"]) {
        if (!all && theme === "dark") continue;
        where = `${name} ${lang} ${theme} ${width}`;
        await page.emulateMedia({ colorScheme: theme });
        const seen = await page.evaluate(() => [...document.querySelectorAll("article")].filter((a) => a.checkVisibility()).map((a) => a.lang));
        check(seen.join() === lang, `${where}: the languages shown are ${seen}`);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        check(over <= 0, `${where}: ${over}px wider than the window`);
        const text = await page.locator(`article[lang=${lang}]`).innerText();
        check(!/⟦|undefined|NaN|%!/.test(text), `${where}: ${text.match(/.{0,40}(⟦|undefined|NaN|%!).{0,40}/)?.[0]}`);
        if (shots) await page.screenshot({ path: join(shots, `${name}-${lang}-${theme}-${width}.png`), fullPage: true });
        const desk = lang === "ja" && theme === "light" && width === 1280;
        const hand = lang === "en" && theme === "dark" && width === 390;
        if (everything || (all && (desk || hand))) await accessible(page, where);
        if (shots && theme === "dark" && width === 1280) await page.pdf({ path: join(shots, `${name}-${lang}.pdf`), format: "A4", preferCSSPageSize: true, printBackground: true });
      }
    }
    await context.close();
  }
  if (!all) continue;
  // Without JavaScript, by keyboard: the other language is chosen by an arrow key.
  const bare = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 900 } });
  const page = await bare.newPage();
  watch(page, () => `${name} without JavaScript`, url);
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
