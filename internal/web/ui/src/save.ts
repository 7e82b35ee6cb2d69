// Saves a chart as a picture with its title and legend. The SVG renderer is
// loaded only here, and writes a string: nothing of it enters the page.
import { LegendComponent, TitleComponent } from "echarts/components";
import { type EChartsType, init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

use([SVGRenderer, TitleComponent, LegendComponent]);

interface Picture {
  name: string;
  title: string;
  background: string;
  ink: string;
  option: object;
  legend: string[];
  chart: EChartsType;
}

/** save downloads the picture as "png" or "svg". */
export function save(kind: string, p: Picture): void {
  const width = 960, height = 480;
  const option = {
    ...p.option,
    backgroundColor: p.background,
    tooltip: undefined,
    title: { text: p.title, left: 16, top: 12, textStyle: { fontSize: 18, color: p.ink } },
    legend: { data: p.legend, left: 16, top: 44, itemGap: 16, textStyle: { color: p.ink, fontSize: 13 } },
    grid: { left: 16, right: 20, top: 84, bottom: 16, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
  };
  if (kind === "svg") {
    const drawing = init(null, null, { renderer: "svg", ssr: true, width, height });
    drawing.setOption(option);
    const text = drawing.renderToSVGString();
    drawing.dispose();
    download(URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })), `${p.name}.svg`);
    return;
  }
  const canvas = document.createElement("canvas");
  const drawing = init(canvas, null, { renderer: "canvas", width, height, devicePixelRatio: 2 });
  drawing.setOption(option);
  drawing.getZr().flush();
  canvas.toBlob((blob) => {
    if (blob) download(URL.createObjectURL(blob), `${p.name}.png`);
    drawing.dispose();
  });
}

function download(url: string, name: string): void {
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
