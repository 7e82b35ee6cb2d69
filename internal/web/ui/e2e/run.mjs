// Drives every page of a running dashboard in Chromium, in both languages, in
// light and dark, on a desk and on a phone: no console error, no request to
// another host, nothing for axe to find, no sideways scrolling, charts drawn,
// tables sorted, downloads that work, all of it by keyboard too.
//
//   node run.mjs http://127.0.0.1:8025
//
// Environment: CHROMIUM (default /usr/bin/chromium), SEKIMORI_SCREENSHOTS (a
// folder for pictures; none without), ONLY (part of a page's name, or steps), EVERY=1
// (all eight combinations of language, theme and width, not just two: the other
// six are had by turning a loaded page).
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

// Two pages at a time: as many as a small machine has processors.
// Pictures are taken one by one, or Chromium mixes them up.
const abreast = shots ? 1 : 2;

const pages = (await discover(browser, base, only)).filter((p) => p.name.includes(only));
check(only !== "" || pages.length >= 8, `only ${pages.length} kinds of pages found`);

await visit("ja", "light", 1280);
await visit("en", "dark", 390);
if (process.env["EVERY"] || shots) {
  await turn("ja", [["dark", 1280], ["light", 390], ["dark", 390]]);
  await turn("en", [["light", 1280], ["dark", 1280], ["light", 390]]);
}

if (!only || only === "steps") await steps(browser, base, check, watch);

// Paper, and without JavaScript: one page of each.
if (!only || "print".includes(only) || process.env["PRINT"]) {
  const context = await browser.newContext({ locale: "ja-JP", viewport: { width: 1280, height: 900 } });
  for (const p of pages.filter((p) => ["overview", "domain", "survey-wave", "work-monthly"].includes(p.name) || p.name.startsWith("survey-letter"))) {
    const page = await context.newPage();
    await page.goto(base + p.path);
    await drawn(page, `${p.name} print`);
    if (shots) writeFileSync(join(shots, `print-${p.name}.pdf`), await page.pdf({ format: "A4", printBackground: true }));
    await page.close();
  }
  await context.close();
  const bare = await browser.newContext({ locale: "ja-JP", javaScriptEnabled: false, viewport: { width: 1280, height: 900 } });
  await each(pages.filter((p) => p.status === 200), async (p) => {
    const page = await bare.newPage();
    await page.goto(base + p.path);
    if (shots) await page.screenshot({ path: join(shots, `noscript-${p.name}.png`), fullPage: true });
    for (const t of await page.locator("table[data-figures] tbody").all()) check((await t.locator("tr").count()) > 0, `${p.name}: no figures without JavaScript`);
    await page.close();
  });
  await bare.close();
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
        // Of a copy: the browser warns of reading the same canvas again.
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
        copy?.drawImage(canvas, 0, 0);
        const d = copy?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
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
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
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
  let last = -1;
  for (let i = 0; i < Math.min(total, 80) + 8; i++) {
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
    if (at.id === last) continue; // a date has several stops
    last = at.id;
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

/** each does something with every kind of page, several abreast.
 * @param {import("./pages.mjs").Kind[]} list @param {(p: import("./pages.mjs").Kind) => Promise<void>} work */
async function each(list, work) {
  const left = [...list];
  await Promise.all(Array.from({ length: abreast }, async () => {
    for (let p = left.shift(); p; p = left.shift()) await work(p);
  }));
}

/** kindOf is a kind of reader.
 * @param {string} lang @param {"light" | "dark"} theme @param {number} width @param {boolean} phone */
function kindOf(lang, theme, width, phone) {
  return {
    locale: lang === "ja" ? "ja-JP" : "en-GB",
    timezoneId: "Asia/Tokyo",
    colorScheme: theme,
    viewport: { width, height: width === 390 ? 844 : 900 },
    deviceScaleFactor: 1,
    isMobile: phone,
    hasTouch: phone,
  };
}

/** fits checks that nothing is wider than the window.
 * @param {import("playwright-core").Page} page @param {string} where */
async function fits(page, where) {
  // Charts take a frame to follow the window's width, and another to be laid out.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done)))));
  const over = await page.evaluate(() => {
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    if (wide <= 0) return "";
    const at = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest(".scroll"));
    return `${wide}px, ${at.slice(0, 3).map((e) => `${e.tagName}.${e.className}`)}`;
  });
  check(over === "", `${where}: wider than the window (${over})`);
}

/** visit opens every page as one kind of reader sees it.
 * @param {string} lang @param {"light" | "dark"} theme @param {number} width */
async function visit(lang, theme, width) {
  const context = await browser.newContext(kindOf(lang, theme, width, width === 390));
  await each(pages, async (p) => {
    const where = `${p.name} ${lang} ${theme} ${width}`;
    const page = await context.newPage();
    watch(page, where, p.status);
    const answer = await page.goto(base + p.path, { waitUntil: "load" });
    check(answer?.status() === p.status, `${where}: status ${answer?.status()}`);
    check((await page.locator("html").getAttribute("lang")) === lang, `${where}: language`);
    await drawn(page, where);
    await fits(page, where);
    const unsaid = (await page.locator("html").innerText()).match(/⟦[^⟧]*⟧/);
    check(!unsaid, `${where}: nothing says ${unsaid?.[0]}`);
    if (shots) await page.screenshot({ path: join(shots, `${p.name}-${lang}-${theme}-${width}.png`), fullPage: true });
    await audit(page, where);
    if (width === 1280) {
      await walk(page, where);
      await page.setViewportSize({ width: 640, height: 450 }); // what 200 % leaves of 1280
      await fits(page, `${where} at 200 %`);
    }
    await page.close();
  });
  await context.close();
}

/** turn opens every page once, and turns it from one kind of reader to the
 * next: other colours, another width.
 * @param {string} lang @param {["light" | "dark", number][]} kinds */
async function turn(lang, kinds) {
  // Without transitions, or colours are looked at on their way to the next theme.
  const context = await browser.newContext({ ...kindOf(lang, "light", 1280, false), reducedMotion: "reduce" });
  await each(pages.filter((p) => !p.twice), async (p) => {
    const page = await context.newPage();
    watch(page, `${p.name} ${lang}`, p.status);
    await page.goto(base + p.path, { waitUntil: "load" });
    await drawn(page, `${p.name} ${lang}`);
    for (const [theme, width] of kinds) {
      const where = `${p.name} ${lang} ${theme} ${width}`;
      await page.emulateMedia({ colorScheme: theme });
      await page.setViewportSize({ width, height: width === 390 ? 844 : 900 });
      await fits(page, where);
      await drawn(page, where);
      if (shots) await page.screenshot({ path: join(shots, `${p.name}-${lang}-${theme}-${width}.png`), fullPage: true });
      await audit(page, where);
      if (width === 1280 && theme === "light") await walk(page, where);
    }
    await page.close();
  });
  await context.close();
}
