// What every page loads: small comforts on top of pages that work without.
// Charts and uploads are separate chunks, fetched where there is one.
import "./style.css";

const moved = keepZone();
wholeLinks();
showCopyButtons();

const charts = [...document.querySelectorAll<HTMLElement>("[data-chart]")];
if (charts.length > 0) {
  for (const c of charts) c.querySelector<HTMLElement>("[data-waiting]")?.removeAttribute("hidden");
  void import("./chart.ts").then((m) => m.drawAll(charts), () => charts.forEach(failed));
}

const live = document.querySelector<HTMLElement>("[data-refresh]");
if (live) void import("./live.ts").then((m) => m.watch(live, moved));

const upload = document.querySelector<HTMLFormElement>("form[data-upload]");
if (upload) void import("./upload.ts").then((m) => m.enhance(upload));

function failed(figure: HTMLElement): void {
  const canvas = figure.querySelector<HTMLElement>(".canvas");
  if (canvas) canvas.textContent = canvas.dataset["failed"] ?? "";
}

/** keepZone tells the server the viewer's time zone for the next page, and
 * shows the times of this one in it; true where it was another. */
function keepZone(): boolean {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const root = document.documentElement;
  if (!zone || zone === root.dataset["zone"]) return false;
  document.cookie = `tz=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
  const format = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short", timeZone: zone });
  const parts = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone: zone });
  for (const t of document.querySelectorAll<HTMLTimeElement>("time[data-at]")) {
    const at = new Date(t.dateTime);
    if (!Number.isNaN(at.valueOf())) t.textContent = format.format(at);
  }
  // Times that are shown in part stay as long as they were: 09:30, 09:30:05, 11/22 09:30.
  for (const t of document.querySelectorAll<HTMLTimeElement>("time[data-clock]")) {
    const full = parts.format(new Date(t.dateTime)); // 2026-11-22 09:30:05
    const form = t.textContent.trim();
    t.textContent = /^\d+-/.test(form) ? full : form.includes("/") ? full.slice(5, 16).replace("-", "/") : full.slice(11, 11 + form.length);
  }
  const stated = document.querySelector("[data-zone-name]");
  if (stated) stated.textContent = zone;
  return true;
}

/** wholeLinks puts this server's address before links that are to be passed on. */
function wholeLinks(): void {
  for (const e of document.querySelectorAll<HTMLElement>("[data-link]")) e.textContent = new URL(e.textContent.trim(), location.href).href;
}

/** showCopyButtons reveals buttons that need the clipboard. */
function showCopyButtons(): void {
  if (!navigator.clipboard) return; // only in a secure context; loopback is one
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const text = document.getElementById(button.dataset["copy"] ?? "")?.textContent ?? "";
      void navigator.clipboard.writeText(text.trim()).then(() => {
        const said = button.parentElement?.querySelector("[data-copied]");
        if (said) said.textContent = button.dataset["done"] ?? "";
      });
    });
  }
}
