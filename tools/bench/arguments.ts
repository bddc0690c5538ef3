/**
 * The words after `npm run bench --`, read against a table of defaults: `--name=value` or `--name value`.
 *
 * A default's kind tells what is allowed: a number (whole, at least 1), a list of words of which the first one is the default, or false for
 * an option without a value. Anything else is a `UsageError`, one line that names what is wrong and what there is.
 */
export class UsageError extends Error {}

type Default = number | false | readonly string[];
type Value<D extends Default> = D extends number ? number : D extends false ? boolean : D extends readonly (infer Word)[] ? Word : never;

/** @throws UsageError */
export function readArguments<const T extends Readonly<Record<string, Default>>>(
  argv: readonly string[],
  defaults: T,
): { readonly [K in keyof T]: Value<T[K]> } {
  const values: Record<string, number | boolean | string> = {};
  for (const [name, value] of Object.entries(defaults)) values[name] = typeof value === "object" ? (value[0] ?? "") : value;
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? "";
    const [, name = "", joined] = /^--([a-z-]+)(?:=(.*))?$/s.exec(word) ?? [];
    const kind = Object.hasOwn(defaults, name) ? defaults[name] : undefined;
    if (kind === undefined) throw new UsageError(`unknown argument '${word}': there is ${usageOf(defaults)}`);
    if (kind === false) {
      if (joined !== undefined) throw new UsageError(`--${name} takes no value: '${word}'`);
      values[name] = true;
      continue;
    }
    if (joined === undefined) index += 1;
    values[name] = valueOf(name, kind, joined ?? argv[index]);
  }
  return values as { readonly [K in keyof T]: Value<T[K]> };
}

function valueOf(name: string, kind: number | readonly string[], text: string | undefined): number | string {
  if (typeof kind === "number" && /^[1-9]\d{0,8}$/.test(text ?? "")) return Number(text);
  if (typeof kind === "object" && text !== undefined && kind.includes(text)) return text;
  const wanted = typeof kind === "number" ? "a whole number of at least 1" : kind.join(" or ");
  throw new UsageError(`--${name} takes ${wanted}, found ${text === undefined ? "nothing" : `'${text}'`}`);
}

/** `--rounds=5 --compress=zst|gz --write`. */
function usageOf(defaults: Readonly<Record<string, Default>>): string {
  return Object.entries(defaults)
    .map(([name, value]) => (value === false ? `--${name}` : `--${name}=${typeof value === "number" ? value : value.join("|")}`))
    .join(" ");
}
