// Drives every page of a running dashboard in Chromium, in both languages, in
// light and dark, on a desk and on a phone: no console error, no request to
// another host, nothing for axe to find, no sideways scrolling, charts drawn,
// tables sorted, downloads that work, all of it by keyboard too.
//
//   node run.mjs http://127.0.0.1:8025
//
// Environment: CHROMIUM (default /usr/bin/chromium), SEKIMORI_SCREENSHOTS (a
// folder for pictures; none without), ONLY (part of a page's name), EVERY=1
// (all eight combinations of language, theme and width, not just two).
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { discover, steps } from "./pages.mjs";

const base = process.argv[2] ?? "http://127.0.0.1:8025";
const shots = process.env["SEKIMORI_SCREENSHOTS"] ?? "";
const only = process.env["ONLY"] ?? "";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
if (shots) mkdirSync(shots, { recursive: true });

/** @type {string[]} */
const faults = [];
let checks = 0;
/** @param {boolean} ok @param {string} what */
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

const pages = (await discover(browser, base)).filter((p) => p.name.includes(only));
check(only !== "" || pages.length >= 8, `only ${pages.length} kinds of pages found`);

for (const lang of ["ja", "en"]) {
  for (const theme of /** @type {const} */ (["light", "dark"])) {
    for (const width of [1280, 390]) {
      const usual = (lang === "ja" && theme === "light" && width === 1280) || (lang === "en" && theme === "dark" && width === 390);
      if (usual || process.env["EVERY"] || shots) await visit(lang, theme, width, usual);
    }
  }
}

if (!only) await steps(browser, base, check, watch);

// Paper, without JavaScript, at 200 % zoom: one page of each.
if (!only || "print".includes(only) || process.env["PRINT"]) {
  const context = await browser.newContext({ locale: "ja-JP", viewport: { width: 1280, height: 900 } });
  for (const p of pages.filter((p) => ["overview", "domain", "survey-wave"].includes(p.name) || p.name.startsWith("survey-letter"))) {
    const page = await context.newPage();
    await page.goto(base + p.path);
    await drawn(page, `${p.name} print`);
    if (shots) writeFileSync(join(shots, `print-${p.name}.pdf`), await page.pdf({ format: "A4", printBackground: true }));
    await page.close();
  }
  await context.close();
  const bare = await browser.newContext({ locale: "ja-JP", javaScriptEnabled: false, viewport: { width: 1280, height: 900 } });
  for (const p of pages.filter((p) => p.status === 200)) {
    const page = await bare.newPage();
    await page.goto(base + p.path);
    if (shots) await page.screenshot({ path: join(shots, `noscript-${p.name}.png`), fullPage: true });
    for (const t of await page.locator("table[data-figures] tbody").all()) check((await t.locator("tr").count()) > 0, `${p.name}: no figures without JavaScript`);
    await page.close();
  }
  await bare.close();
  const zoomed = await browser.newContext({ locale: "ja-JP", viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 });
  for (const p of pages) {
    const page = await zoomed.newPage();
    await page.goto(base + p.path);
    check(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth), `${p.name}: scrolls sideways at 200 %`);
    await page.close();
  }
  await zoomed.close();
}

await browser.close();
console.log(JSON.stringify({ pages: pages.length, checks, faults: faults.length }));
process.exit(faults.length === 0 ? 0 : 1);

/** watch collects what a page complains about.
 * @param {import("playwright-core").Page} page @param {string} where @param {number} [status] */
function watch(page, where, status = 200) {
  page.on("console", (m) => {
    if (m.type() !== "error" && m.type() !== "warning") return;
    if (status >= 400 && m.text().includes(`status of ${status}`)) return;
    check(false, `${where}: console: ${m.text()}`);
  });
  page.on("pageerror", (e) => check(false, `${where}: ${e.message}`));
  page.on("request", (r) => check(r.url().startsWith(base) || /^(data|blob):/.test(r.url()), `${where}: asks ${r.url()}`));
  page.on("requestfailed", (r) => r.failure()?.errorText === "net::ERR_ABORTED" || check(false, `${where}: ${r.url()} failed: ${r.failure()?.errorText}`));
}

/** drawn waits for the charts. @param {import("playwright-core").Page} page @param {string} where */
async function drawn(page, where) {
  for (const chart of await page.locator("[data-chart] .canvas").all()) {
    try {
      await chart.locator("canvas").first().waitFor({ timeout: 10_000 });
      const inked = await chart.locator("canvas").first().evaluate((c) => {
        const canvas = /** @type {HTMLCanvasElement} */ (c);
        const d = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
        return d.some((v) => v !== 0);
      });
      check(inked, `${where}: an empty chart`);
    } catch {
      check(false, `${where}: a chart is not drawn`);
    }
  }
}

/** audit runs axe. @param {import("playwright-core").Page} page @param {string} where */
async function audit(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    // @ts-expect-error axe is a global of the script just run
    const r = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    return r.violations.map((/** @type {any} */ v) => `${v.id}: ${v.nodes.slice(0, 3).map((/** @type {any} */ n) => `${n.target} ${n.any?.[0]?.message ?? ""}`).join(" | ")}`);
  });
  check(found.length === 0, `${where}: axe: ${found.join("; ")}`);
}

/** walk goes through a page by Tab: everything is reached once, and shows it.
 * @param {import("playwright-core").Page} page @param {string} where */
async function walk(page, where) {
  const total = await page.evaluate(() => {
    window.scrollTo(0, 0);
    /** @type {HTMLElement} */ (document.activeElement)?.blur();
    return [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']")].filter((e) => /** @type {HTMLElement} */ (e).checkVisibility()).length;
  });
  const seen = new Set();
  let skip = "";
  for (let i = 0; i < Math.min(total, 80); i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const e = /** @type {HTMLElement} */ (document.activeElement);
      if (!e || e === document.body) return null;
      const s = getComputedStyle(e);
      const b = e.getBoundingClientRect();
      return { id: [...document.querySelectorAll("*")].indexOf(e), tag: e.tagName, ring: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2, seen: b.bottom > 0 && b.top < innerHeight, href: e.getAttribute("href") ?? "" };
    });
    if (!at) break;
    if (i === 0) skip = at.href;
    if (seen.has(at.id)) break;
    seen.add(at.id);
    if (!at.ring || !at.seen) {
      check(false, `${where}: focus ${at.ring ? "out of sight" : "not visible"} on ${at.tag} ${at.href}`);
      break;
    }
  }
  check(skip === "#main", `${where}: the first stop is not the skip link`);
  check(seen.size >= Math.min(total, 80), `${where}: Tab reaches ${seen.size} of ${total}`);
}

/** visit opens every page as one kind of reader sees it.
 * @param {string} lang @param {"light" | "dark"} theme @param {number} width @param {boolean} usual */
async function visit(lang, theme, width, usual) {
  const context = await browser.newContext({
    locale: lang === "ja" ? "ja-JP" : "en-GB",
    timezoneId: "Asia/Tokyo",
    colorScheme: theme,
    viewport: { width, height: width === 390 ? 844 : 900 },
    deviceScaleFactor: 1,
    isMobile: width === 390,
    hasTouch: width === 390,
  });
  for (const p of pages.filter((p) => usual || !p.twice)) {
    const where = `${p.name} ${lang} ${theme} ${width}`;
    const page = await context.newPage();
    watch(page, where, p.status);
    const answer = await page.goto(base + p.path, { waitUntil: "load" });
    check(answer?.status() === p.status, `${where}: status ${answer?.status()}`);
    check((await page.locator("html").getAttribute("lang")) === lang, `${where}: language`);
    await drawn(page, where);
    const over = await page.evaluate(() => {
      const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      if (wide <= 0) return "";
      const at = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest(".scroll"));
      return `${wide}px, ${at.slice(0, 3).map((e) => `${e.tagName}.${e.className}`)}`;
    });
    check(over === "", `${where}: wider than the window (${over})`);
    if (shots) await page.screenshot({ path: join(shots, `${p.name}-${lang}-${theme}-${width}.png`), fullPage: true });
    await audit(page, where);
    if (width === 1280 && theme === "light") await walk(page, where);
    await page.close();
  }
  await context.close();
}
