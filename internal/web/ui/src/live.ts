// Fetches the page again every few seconds and puts the parts marked data-live
// in the place of the old ones. What a reader is at (focus, an open table, the
// scrolling) stays; where updates are paused, or the page is out of sight,
// nothing is fetched. Only a change of the answer's tone is announced.

/** watch keeps the page up to date; row is the line that tells of it. stale
 * says that sentences of the page tell times of another zone. */
export function watch(row: HTMLElement, stale: boolean): void {
  const every = Number(row.dataset["refresh"]) * 1000;
  const button = row.querySelector<HTMLButtonElement>("[data-pause]")!;
  const state = row.querySelector<HTMLElement>("[data-state]")!;
  const say = row.querySelector<HTMLElement>("[data-say]")!;
  let busy = false;
  // Who asked for less motion gets still figures, until they ask for others.
  let paused = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const show = () => {
    button.setAttribute("aria-pressed", String(paused));
    state.textContent = paused ? (row.dataset["paused"] ?? "") : "";
  };
  const update = async (once = false) => {
    if (busy || (paused && !once) || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(every) });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!paused || once) take(next, say);
      show();
    } catch {
      if (!paused) state.textContent = row.dataset["failed"] ?? "";
    } finally {
      busy = false;
    }
  };
  button.hidden = false;
  show();
  if (stale) void update(true);
  button.addEventListener("click", () => {
    paused = !paused;
    show();
    void update();
  });
  document.addEventListener("visibilitychange", () => void update());
  setInterval(() => void update(), every);
}

/** take puts the parts of a newer page in their places. */
function take(next: Document, say: HTMLElement): void {
  for (const old of document.querySelectorAll<HTMLElement>("[data-live]")) {
    const part = next.getElementById(old.id);
    if (!part || part.innerHTML === old.innerHTML || old.contains(document.activeElement)) continue;
    old.replaceChildren(...[...part.childNodes].map((n) => document.importNode(n, true)));
  }
  const tone = document.querySelector<HTMLElement>("[data-tone]");
  const now = next.querySelector<HTMLElement>("[data-tone]");
  if (tone && now && tone.dataset["tone"] !== now.dataset["tone"]) {
    tone.className = now.className;
    tone.dataset["tone"] = now.dataset["tone"];
    say.textContent = now.querySelector("h2")?.textContent ?? "";
  }
  for (const figure of document.querySelectorAll("[data-chart][data-clock]")) figure.dispatchEvent(new Event("figures"));
}
