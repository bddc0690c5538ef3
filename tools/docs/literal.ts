/** Data as source text, in the form that the formatter gives it. */

const WIDTH = 120;
const NAME = /^[A-Za-z_]\w*$/;

/** @param indent of the line's other text, and what follows the value */
export function literal(value: unknown, indent = 0, used = 0): string {
  const line = inline(value);
  if (typeof value !== "object" || value === null || indent + used + line.length <= WIDTH) return line;
  const inner = " ".repeat(indent + 2);
  const rows = Array.isArray(value)
    ? value.map((item) => `${inner}${literal(item, indent + 2, 1)},`)
    : Object.entries(value).map(([key, item]) => {
        const name = `${nameOf(key)}: `;
        return `${inner}${name}${literal(item, indent + 2, name.length + 1)},`;
      });
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return [open, ...rows, `${" ".repeat(indent)}${close}`].join("\n");
}

function inline(value: unknown): string {
  if (typeof value === "string")
    return value.includes('"') && !value.includes("'") ? `'${value.replaceAll("\\", "\\\\")}'` : JSON.stringify(value);
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  const rows = Object.entries(value).map(([key, item]) => `${nameOf(key)}: ${inline(item)}`);
  return rows.length === 0 ? "{}" : `{ ${rows.join(", ")} }`;
}

function nameOf(key: string): string {
  return NAME.test(key) ? key : JSON.stringify(key);
}
