// Which pages there are, and what is done on them.

/** @typedef {{ name: string, path: string, status: number, twice?: boolean }} Kind
 * twice: looked at in two of the eight combinations, never in all. */

/** discover follows the links to one page of each kind; only is a part of the
 * names that matter, or "".
 * @param {import("playwright-core").Browser} browser @param {string} base @param {string} only @returns {Promise<Kind[]>} */
export async function discover(browser, base, only) {
  const page = await browser.newPage({ locale: "en-GB" });
  /** @param {string} path @param {string} selector */
  const link = async (path, selector) => {
    await page.goto(base + path);
    const found = page.locator(selector).first();
    return (await found.count()) > 0 ? ((await found.getAttribute("href")) ?? "") : "";
  };
  /** @type {Kind[]} */
  const out = [
    { name: "overview", path: "/", status: 200 },
    { name: "reports", path: "/reports", status: 200 },
    { name: "quarantine", path: "/quarantine", status: 200 },
    { name: "upload", path: "/upload", status: 200 },
    { name: "help", path: "/help", status: 200 },
    { name: "missing", path: "/nothing-here", status: 404 },
    { name: "search-empty", path: "/?q=zzzzzz", status: 200 },
  ];
  const domain = only.startsWith("gateway") ? "" : await link("/", "tbody th a");
  if (domain) {
    out.push({ name: "domain", path: domain, status: 200 }, { name: "domain-year", path: `${domain}?days=365`, status: 200 });
    for (const c of ["aligned", "broken", "forwarder", "unknown", "spoof"]) {
      const path = await link(`${domain}?class=${c}`, "section[aria-labelledby=sources] tbody th a");
      const at = await page.locator("section[aria-labelledby=sources] tbody td .mark").first().getAttribute("class").catch(() => "");
      if (path && at?.includes(c)) out.push({ name: `source-${c}`, path, status: 200 });
    }
  }
  if (!only.startsWith("gateway") && !only.startsWith("survey")) out.push(...(await workPages(page, base, link, domain)));
  const report = await link("/reports", "tbody th a");
  if (report) out.push({ name: "report", path: report, status: 200 });
  const odd = await link("/reports?deviations=1", "tbody th a");
  if (odd) out.push({ name: "report-deviations", path: odd, status: 200 });
  out.push({ name: "gateway", path: "/gateway", status: 200 }, { name: "gateway-week", path: "/gateway?span=week", status: 200, twice: true });
  out.push({ name: "gateway-messages", path: "/gateway/messages", status: 200 }, { name: "gateway-found", path: "/gateway/messages?sender=example&dmarc=fail&since=7d", status: 200, twice: true });
  out.push({ name: "gateway-reports", path: "/gateway/reports", status: 200, twice: true });
  for (const action of ["quarantine", "accept"]) {
    const path = await link(`/gateway/messages?action=${action}`, "tbody th a");
    if (path) out.push({ name: `gateway-message-${action}`, path, status: 200, twice: action === "accept" });
  }
  if (only.startsWith("gateway")) {
    await page.close();
    return out;
  }
  out.push({ name: "survey-all", path: "/survey", status: 200 });
  await page.goto(base + "/survey");
  const waves = await page.locator("tbody th a.name").evaluateAll((links) => links.map((a) => a.getAttribute("href") ?? ""));
  const wave = waves.at(-1) === waves[0] ? waves[0] : waves[waves.length - 2]; // the newest of two that can be compared
  if (wave) {
    if (waves[0] && waves[0] !== wave) out.push({ name: "survey-running", path: waves[0], status: 200, twice: true });
    out.push({ name: "survey-wave", path: wave, status: 200 });
    for (const part of ["list", "problems", "mail"]) out.push({ name: `survey-${part}`, path: `${wave}/${part}`, status: 200, twice: true });
    out.push({ name: "survey-list-unknown", path: `${wave}/list?fact=protected&state=unknown`, status: 200, twice: true });
    const by = await link(wave, "section header a[href*='/by?']");
    if (by) {
      out.push({ name: "survey-by", path: by, status: 200, twice: true }, { name: "survey-by-fact", path: `${by}&fact=dmarc_enforced&sort=dmarc_enforced`, status: 200, twice: true });
      const sector = await link(by, "#main tbody th a");
      if (sector) out.push({ name: "survey-sector", path: sector, status: 200, twice: true });
    }
    const moved = await link(wave, "nav.wide a[href*='/compare/']");
    if (moved) {
      out.push({ name: "survey-compare", path: moved, status: 200, twice: true });
      const changed = await link(moved, "td a[href*='from=']");
      if (changed) out.push({ name: "survey-moved", path: changed.replace(/#.*/, ""), status: 200, twice: true });
    }
    const seen = new Set();
    await page.goto(`${base}${wave}/list`);
    const entries = await page.locator("tbody th a").evaluateAll((links) => links.map((a) => a.getAttribute("href") ?? ""));
    for (const path of entries.slice(0, 16)) { // one of each verdict
      await page.goto(base + path);
      const kind = (await page.locator("section.answer .mark").first().getAttribute("class").catch(() => "")) + (await page.locator(".todo > li").count() > 0 ? " todo" : "");
      if (seen.has(kind)) continue;
      seen.add(kind);
      const name = `survey-domain-${kind.replace(/mark |mark/g, "").trim().replace(/ /g, "-")}`;
      out.push({ name, path, status: 200, twice: true });
      if (await page.locator("a[href$='/letter']").count()) out.push({ name: name.replace("domain", "letter"), path: `${path}/letter`, status: 200, twice: true });
    }
  }
  await page.close();
  return out;
}

/** workPages are the pages of the work of fixing. They make a department and a
 * link for it, as there is no other way to see what a department sees.
 * @param {import("playwright-core").Page} page @param {string} base
 * @param {(path: string, selector: string) => Promise<string>} link @param {string} domain @returns {Promise<Kind[]>} */
async function workPages(page, base, link, domain) {
  await page.goto(base + "/work");
  if (!(await page.locator("a[href='/departments']").count())) return [];
  /** @type {Kind[]} */
  const out = [{ name: "work", path: "/work", status: 200 }, { name: "work-list", path: "/work?state=found", status: 200, twice: true }];
  const one = await link("/work?state=found", "#main tbody th a");
  if (one) out.push({ name: "work-case", path: one, status: 200 });
  for (const what of ["timeline", "inventory", "monthly"]) {
    const path = await link(domain, `nav.further a[href*="/${what}"]`);
    if (path) out.push({ name: `work-${what}`, path, status: 200, twice: true });
  }
  out.push({ name: "work-departments", path: "/departments", status: 200, twice: true });
  let department = await link("/departments", "#main tbody th a");
  if (!department) {
    await page.locator("#name").fill("観光課");
    await Promise.all([page.waitForURL(/departments\/\d+/), page.locator("form[action='/departments'] button").click()]);
    department = new URL(page.url()).pathname;
    await page.locator("#domain").selectOption(decodeURIComponent(domain.split("/")[2] ?? ""));
    await page.locator("#by").fill("e2e");
    await Promise.all([page.waitForURL(/said=assigned/), page.locator("form[action$='/parts'].entry button").click()]);
  }
  await page.goto(base + department);
  await page.locator("#link-by").fill("e2e");
  await Promise.all([page.waitForURL(/said=made/), page.locator("form[action$='/links'] button.main").click()]);
  const shared = new URL((await page.locator("#new-link").textContent()) ?? "", base).pathname;
  out.push({ name: "work-department", path: department, status: 200, twice: true });
  out.push({ name: "work-narrowed", path: `${domain}?department=${department.split("/").at(-1)}`, status: 200, twice: true });
  out.push({ name: "work-shared", path: shared, status: 200, twice: true }, { name: "work-shared-board", path: `${shared}/work`, status: 200, twice: true });
  for (const [name, path, selector] of [["work-shared-source", `${shared}/sources`, "tbody th a"], ["work-shared-case", shared, "[aria-labelledby=cases] tbody th a"], ["work-shared-monthly", shared, "a[href*='/monthly/']"]]) {
    const found = await link(path ?? "", selector ?? "");
    if (found) out.push({ name: name ?? "", path: found, status: 200, twice: true });
  }
  out.push({ name: "work-shared-none", path: "/d/" + "A".repeat(43), status: 404, twice: true });
  return out;
}

/** steps does what a reader does: sort, search, switch, copy, download, upload.
 * @param {import("playwright-core").Browser} browser @param {string} base
 * @param {(ok: boolean, what: string) => void} check
 * @param {(page: import("playwright-core").Page, where: string) => void} watch */
export async function steps(browser, base, check, watch) {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "Europe/Berlin", permissions: ["clipboard-read", "clipboard-write"], viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  watch(page, "steps");

  await page.goto(base + "/");
  const sizes = await page.evaluate(() => performance.getEntriesByType("resource").map((e) => /** @type {PerformanceResourceTiming} */ (e)).filter((e) => e.name.endsWith(".js")).map((e) => e.decodedBodySize));
  const script = sizes.reduce((a, b) => a + b, 0);
  console.log(`script of the first page: ${script} bytes`);
  check(script < 300_000, `the first page has ${script} bytes of script`);

  const column = () => page.locator("#main table.fold tbody tr td:nth-child(4)").allTextContents();
  const numbers = (/** @type {string[]} */ t) => t.map((s) => Number(s.replace(/[^0-9]/g, "")));
  const sort = () => page.getByRole("columnheader", { name: "Messages" }).getByRole("link").click();
  await Promise.all([page.waitForURL(/desc=0/), sort()]);
  let values = numbers(await column());
  check((await page.locator("th[aria-sort]").first().getAttribute("aria-sort")) === "ascending", "a second click does not turn the order round");
  check(values.every((v, i) => i === 0 || v >= (values[i - 1] ?? 0)), "the table is not sorted upwards");
  await Promise.all([page.waitForURL(/desc=1/), sort()]);
  values = numbers(await column());
  check(values.every((v, i) => i === 0 || v <= (values[i - 1] ?? Infinity)), "the table is not sorted downwards");

  const name = (await page.locator("tbody th a").first().textContent()) ?? "";
  await page.getByRole("searchbox").fill(name);
  await Promise.all([page.waitForURL(/[?&]q=/), page.keyboard.press("Enter")]);
  check((await page.locator("tbody th a").first().textContent()) === name, "the search does not find a domain by its name");

  for (const kind of ["csv", "xlsx"]) {
    for (const path of ["/", await first("/", "tbody th a")]) {
      await page.goto(base + path);
      for (const a of await page.locator(`a[href*=".${kind}?"]`).all()) {
        const href = (await a.getAttribute("href")) ?? "";
        const r = await page.request.get(base + href);
        const body = await r.body();
        check(r.ok() && (kind === "csv" ? body.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf])) : body.subarray(0, 2).toString() === "PK"), `${href}: ${r.status()}`);
      }
    }
  }

  await page.goto(base + (await first("/", "tbody th a")));
  const copy = page.locator("[data-copy=next-record]");
  if ((await copy.count()) > 0) {
    await copy.click();
    await page.getByText("Copied").waitFor();
    const text = await page.evaluate(() => navigator.clipboard.readText());
    check(text.startsWith("v=DMARC1"), `copied ${text}`);
  }
  for (const kind of ["png", "svg"]) {
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator(`[data-save=${kind}]`).first().click()]);
    check(file.suggestedFilename().endsWith(`.${kind}`), `saved as ${file.suggestedFilename()}`);
    const shots = process.env["SEKIMORI_SCREENSHOTS"];
    if (shots) await file.saveAs(`${shots}/saved.${kind}`);
  }
  await page.locator("figure summary").first().click();
  check(await page.locator("[data-figures]").first().isVisible(), "the figures do not unfold");

  await gatewaySteps();
  await workSteps();

  await page.goto(base + "/help");
  await page.getByRole("button", { name: "Dark" }).click();
  await page.locator("html[data-theme=dark]").waitFor(); // the theme switches
  check(new URL(page.url()).pathname === "/help", "the theme switch does not come back");
  await page.getByRole("link", { name: "日本語" }).click();
  await page.locator("html[lang=ja]").waitFor(); // the language switches
  await page.goto(base + "/quarantine");
  check((await page.locator("html").getAttribute("lang")) === "ja" && (await page.locator("html").getAttribute("data-zone")) === "Europe/Berlin", "language or zone is not remembered");

  await page.goto(base + "/upload?lang=en");
  await page.locator("input[type=file]").setInputFiles({ name: "broken.xml", mimeType: "text/xml", buffer: Buffer.from("<feedback>bad") });
  await page.getByRole("button", { name: "Upload" }).click();
  await page.locator("#outcome").waitFor();
  check(((await page.locator("#outcome").textContent()) ?? "").includes("could not be read"), "a broken upload is not explained");
  await context.close();

  /** gatewaySteps lets time pass on the page that refreshes itself, finds a
   * message, and downloads what was found. */
  async function gatewaySteps() {
    const live = await context.newPage();
    watch(live, "gateway");
    await live.clock.install();
    await live.goto(base + "/gateway");
    if ((await live.locator("[data-refresh]").count()) === 0) return live.close();
    const pause = live.getByRole("button", { name: "Pause updates" });
    await pause.waitFor(); // the script is there
    await live.locator("[data-chart] canvas").nth(1).waitFor();
    await live.locator("figure summary").first().click();
    await live.evaluate(() => document.querySelectorAll("#live-sums a, #results-rows td, #live-at time").forEach((e) => (e.textContent = "stale")));
    const [answer] = await Promise.all([live.waitForResponse((r) => r.url().endsWith("/gateway")), live.clock.runFor(10_500)]);
    check(answer.ok(), "the gateway's page cannot be fetched again");
    await live.getByText("stale").first().waitFor({ state: "detached" });
    check(await live.locator("#results-rows").isVisible(), "an update folds the figures");
    await pause.click();
    check((await pause.getAttribute("aria-pressed")) === "true", "updates do not pause");
    let asked = 0;
    live.on("request", () => asked++);
    await live.clock.runFor(30_000);
    check(asked === 0, "updates go on while they are paused");
    await live.close();

    await page.goto(base + "/gateway/messages?dmarc=fail");
    const id = ((await page.locator("tbody td.names span").first().textContent()) ?? "").trim();
    await page.getByRole("searchbox").fill(id);
    await Promise.all([page.waitForURL(/[?&]q=/), page.keyboard.press("Enter")]);
    check((await page.locator("tbody tr").count()) > 0, `${id} is not found`);
    for (const a of await page.locator(".export a").all()) {
      const href = (await a.getAttribute("href")) ?? "";
      const r = await page.request.get(base + href);
      check(r.ok() && (await r.body()).length > 100, `${href}: ${r.status()}`);
    }
  }

  /** workSteps carries a piece of work on, and says whose its source is. */
  async function workSteps() {
    await page.goto(base + "/work");
    const one = page.locator(".column .case a").first();
    if ((await one.count()) === 0) return;
    await one.click();
    await page.locator("#state").selectOption({ index: 1 });
    await page.locator("#note").fill("called them");
    await page.locator("#by").fill("e2e");
    await Promise.all([page.waitForURL(/said=saved/), page.getByRole("button", { name: "Save" }).click()]);
    check(((await page.locator(".history").first().textContent()) ?? "").includes("called them"), "a note is not in the history");
    check((await page.locator("#by").inputValue()) === "e2e", "the name is not remembered");
    const source = page.locator("#main .head a");
    if ((await source.count()) === 0) return;
    await source.click();
    await Promise.all([page.waitForURL(/said=saved/), page.getByRole("button", { name: "I don’t know" }).click()]);
    await page.getByText("What was said before").click();
    check(await page.getByText("I don’t know.").first().isVisible(), "what was said is not shown");
  }

  /** @param {string} path @param {string} selector */
  async function first(path, selector) {
    await page.goto(base + path);
    return (await page.locator(selector).first().getAttribute("href")) ?? "/";
  }
}
