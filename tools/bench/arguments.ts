/**
 * Parses the arguments after `npm run bench --` by a table of defaults: `--name=value` or `--name value`.
 *
 * The default's type decides what is allowed: a number (whole, at least 1), a list of values whose first is the
 * default, or false for an option without a value. Anything else is a `UsageError` of one line with the error and the
 * choices.
 */
import { parseArgs } from "node:util";

export class UsageError extends Error {}

type Default = number | false | readonly string[];
type Value<D extends Default> = D extends number
  ? number
  : D extends false
    ? boolean
    : D extends readonly (infer Item)[]
      ? Item
      : never;

/** @throws UsageError */
export function readArguments<const T extends Readonly<Record<string, Default>>>(
  argv: readonly string[],
  defaults: T,
): { readonly [K in keyof T]: Value<T[K]> } {
  const values: Record<string, number | boolean | string> = {};
  for (const [name, value] of Object.entries(defaults))
    values[name] = typeof value === "object" ? (value[0] ?? "") : value;
  const options = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [name, { type: value === false ? "boolean" : "string" } as const]),
  );
  for (const token of parseArgs({ args: [...argv], options, strict: false, tokens: true }).tokens) {
    const kind = token.kind === "option" && Object.hasOwn(defaults, token.name) ? defaults[token.name] : undefined;
    if (token.kind !== "option" || kind === undefined)
      throw new UsageError(`unknown argument '${argv[token.index] ?? ""}': use ${usageOf(defaults)}`);
    if (kind === false && token.value !== undefined)
      throw new UsageError(`--${token.name} takes no value: '${argv[token.index] ?? ""}'`);
    values[token.name] = kind === false ? true : valueOf(token.name, kind, token.value);
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
    .map(([name, value]) =>
      value === false ? `--${name}` : `--${name}=${typeof value === "number" ? value : value.join("|")}`,
    )
    .join(" ");
}
