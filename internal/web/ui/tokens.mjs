// The design tokens of the Digital Agency (npm @digital-go-jp/design-tokens)
// that our style sheets use. A style sheet repeats each token's value as its
// fallback, for a program built without this front end; `npm run check` finds
// a fallback that differs from the token.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;
const source = join(here, "node_modules/@digital-go-jp/design-tokens/dist/tokens-simple.css");
const sheets = join(here, "../style");

/** @returns {Map<string, string>} the tokens by name */
function declared() {
  return new Map([...readFileSync(source, "utf8").matchAll(/(--[\w-]+):\s*([^;]+);/g)].map((m) => [m[1] ?? "", (m[2] ?? "").trim()]));
}

/** @returns {{ name: string, fallback: string, sheet: string }[]} every use of a token */
function uses() {
  return readdirSync(sheets)
    .filter((f) => f.endsWith(".css"))
    .flatMap((sheet) =>
      [...readFileSync(join(sheets, sheet), "utf8").matchAll(/var\((--(?:color|font|elevation)-[\w-]+)(?:,\s*([^)]+))?\)/g)].map((m) => ({
        name: m[1] ?? "",
        fallback: (m[2] ?? "").trim(),
        sheet,
      })),
    );
}

/** used returns a style sheet of the tokens in use. */
export function used() {
  const all = declared();
  const names = [...new Set(uses().map((u) => u.name))].sort();
  return `:root {\n${names.map((n) => `  ${n}: ${all.get(n) ?? ""};`).join("\n")}\n}\n`;
}

/** faults lists uses of tokens that do not exist or whose fallback differs. */
export function faults() {
  const all = declared();
  return uses().flatMap((u) => {
    const value = all.get(u.name);
    if (value === undefined) return [`${u.sheet}: no design token ${u.name}`];
    if (value.toLowerCase() !== u.fallback.toLowerCase()) return [`${u.sheet}: ${u.name} is ${value}, the fallback says ${u.fallback || "nothing"}`];
    return [];
  });
}

if (process.argv[1] === import.meta.filename) {
  const found = faults();
  for (const f of found) console.error(f);
  process.exit(found.length === 0 ? 0 : 1);
}
