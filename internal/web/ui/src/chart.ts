// Draws the daily charts from the tables beside them. ECharts is cut down to
// what these charts use. Nothing here writes inline styles as markup, so that
// the strict Content-Security-Policy holds: the tooltip is drawn on the canvas.
import { BarChart, type BarSeriesOption } from "echarts/charts";
import { AriaComponent, GridComponent, type GridComponentOption, TooltipComponent, type TooltipComponentOption } from "echarts/components";
import { type ComposeOption, type EChartsType, init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { patternOf } from "./pattern.ts";

use([BarChart, GridComponent, TooltipComponent, AriaComponent, CanvasRenderer]);

type Option = ComposeOption<BarSeriesOption | GridComponentOption | TooltipComponentOption>;

interface Figures {
  days: string[];
  series: { key: string; name: string; values: number[] }[];
}

/** drawAll draws every chart, and again when the colours change. */
export function drawAll(figures: HTMLElement[]): void {
  const redraw = figures.map((f) => draw(f));
  const again = () => redraw.forEach((r) => r());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);

  // Paper is white: the charts are drawn for it, and back again afterwards.
  const root = document.documentElement;
  let theme: string | undefined;
  addEventListener("beforeprint", () => {
    theme = root.dataset["theme"];
    root.dataset["theme"] = "light";
    again();
  });
  addEventListener("afterprint", () => {
    if (theme === undefined) delete root.dataset["theme"];
    else root.dataset["theme"] = theme;
    again();
  });
}

/** read takes a chart's figures from its table. */
function read(figure: HTMLElement): Figures {
  const table = figure.querySelector<HTMLTableElement>("table[data-figures]")!;
  const heads = [...table.tHead!.querySelectorAll<HTMLElement>("th[data-key]")];
  const rows = [...table.tBodies[0]!.rows];
  return {
    days: rows.map((r) => r.cells[0]!.textContent.trim()),
    series: heads.map((h, i) => ({
      key: h.dataset["key"]!,
      name: h.textContent.trim(),
      values: rows.map((r) => Number(r.cells[i + 1]!.dataset["v"])),
    })),
  };
}

/** colour reads what a custom property amounts to in this theme. */
function colour(name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  probe.hidden = true;
  document.body.append(probe);
  const c = getComputedStyle(probe).color;
  probe.remove();
  return c;
}

function option(data: Figures, unit: string, width: number, clock: boolean): Option {
  const ink = colour("--ink"), soft = colour("--ink-soft"), line = colour("--line"), card = colour("--card");
  const font = getComputedStyle(document.body).fontFamily;
  const count = new Intl.NumberFormat("en-US");
  const short = new Intl.NumberFormat(document.documentElement.lang, { notation: "compact", maximumFractionDigits: 1 });
  return {
    animation: false,
    textStyle: { fontFamily: font, color: ink, fontSize: 13 },
    aria: { enabled: false },
    grid: { left: 8, right: 12, top: 12, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    tooltip: {
      trigger: "axis",
      renderMode: "richText",
      axisPointer: { type: "shadow" },
      confine: true,
      backgroundColor: card,
      borderColor: soft,
      textStyle: { color: ink, fontSize: 13 },
      valueFormatter: (v) => count.format(Number(v)) + unit,
      order: "seriesDesc",
    },
    xAxis: {
      type: "category",
      data: data.days,
      axisTick: { alignWithLabel: true, lineStyle: { color: soft } },
      axisLine: { lineStyle: { color: soft } },
      axisLabel: { color: soft, hideOverlap: true, formatter: clock ? (d: string) => d : (d: string) => d.slice(5).replace("-", "/"), interval: Math.max(0, Math.ceil(data.days.length / Math.max(3, width / 70)) - 1) },
    },
    yAxis: {
      type: "value",
      splitNumber: 4,
      axisLabel: { color: soft, formatter: (n: number) => short.format(n) },
      splitLine: { lineStyle: { color: line } },
    },
    series: data.series.map((s): BarSeriesOption => ({
      type: "bar",
      stack: "all",
      name: s.name,
      data: s.values,
      barCategoryGap: data.days.length > 100 ? "0%" : "22%",
      itemStyle: { color: colour(`--c-${s.key}`), decal: patternOf(s.key, card), borderColor: card, borderWidth: data.days.length > 100 ? 0 : 0.5 },
      emphasis: { disabled: true },
    })),
  };
}

/** draw puts one chart on its canvas and returns how to draw it again. */
function draw(figure: HTMLElement): () => void {
  const place = figure.querySelector<HTMLElement>(".canvas")!;
  const unit = figure.dataset["unit"] ?? "";
  const clock = figure.dataset["clock"] !== undefined; // its steps are shorter than a day
  let data = read(figure);
  place.textContent = "";
  place.classList.add("drawn");
  const chart = init(place, null, { renderer: "canvas" });
  const redraw = () => {
    chart.resize();
    chart.setOption(option(data, unit, place.clientWidth, clock), { notMerge: true });
  };
  redraw();
  place.dataset["drawn"] = "1";

  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (place.clientWidth === width) return;
    width = place.clientWidth;
    redraw();
  }).observe(place);
  figure.addEventListener("figures", () => {
    data = read(figure);
    redraw();
  });
  tools(figure, chart, () => data, unit, clock);
  return redraw;
}

/** tools shows the buttons that save the chart as a picture. */
function tools(figure: HTMLElement, chart: EChartsType, data: () => Figures, unit: string, clock: boolean): void {
  const row = figure.querySelector<HTMLElement>("[data-chart-tools]");
  if (!row) return;
  row.hidden = false;
  const name = figure.dataset["file"] ?? "chart";
  const title = figure.querySelector("h2")?.textContent ?? "";
  row.addEventListener("click", (e) => {
    const kind = (e.target as HTMLElement).closest<HTMLElement>("[data-save]")?.dataset["save"];
    if (kind) void import("./save.ts").then((m) => m.save(kind, { name, title, background: colour("--card"), ink: colour("--ink"), option: option(data(), unit, 960, clock), legend: data().series.map((s) => s.name), chart }));
  });
}
