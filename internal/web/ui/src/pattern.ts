// A pattern for each meaning, so that charts are told apart without colour:
// plain for what is well, and a texture of its own for everything else.
type Decal = { symbol?: string; symbolSize?: number; dashArrayX?: number | number[] | number[][]; dashArrayY?: number | number[]; rotation?: number; color: string; backgroundColor?: string };

const textures: Record<string, Omit<Decal, "color">> = {
  broken: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: -Math.PI / 4 },
  forwarder: { symbol: "circle", symbolSize: 0.7, dashArrayX: [[6, 6], [0, 6, 6, 0]], dashArrayY: [6, 0] },
  unknown: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [1.5, 5] },
  spoof: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [1.5, 4], rotation: Math.PI / 4 },
  // What the gateway found, and what it did.
  fail: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [1.5, 4], rotation: Math.PI / 4 },
  nopolicy: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [1.5, 5] },
  marked: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [1.5, 5] },
  trouble: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: -Math.PI / 4 },
  quarantine: { symbol: "circle", symbolSize: 0.7, dashArrayX: [[6, 6], [0, 6, 6, 0]], dashArrayY: [6, 0] },
  reject: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [1.5, 4], rotation: Math.PI / 4 },
};

/** patternOf returns the texture of a series in the colour given, none for the plain ones. */
export function patternOf(key: string, color: string): Decal | { symbol: "none"; color: string } {
  const t = textures[key];
  return t ? { ...t, color } : { symbol: "none", color };
}
