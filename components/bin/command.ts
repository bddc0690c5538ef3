/** What the commands of this package share: their arguments, their files, and how they end. */
import { nearNames } from "../../runtime/base/nearNames";
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";

/** Wrong arguments, or a file that cannot be used. */
export class UsageError extends Error {}

/** Commands that the runtime does not have. */
export const OWN_COMMANDS = ["topology", "render", "alerts", "dashboard", "explain"] as const;

/** The command of these that a mistyped name means. */
export function intendedCommand(name: string): string | undefined {
  return nearNames(name, OWN_COMMANDS)[0];
}

export interface Arguments {
  readonly files: readonly string[];
  /** In their order; an option without a value has "". */
  readonly options: readonly { readonly name: string; readonly value: string }[];
}

/**
 * Runs a command. Prints the help for `--help` and for no arguments. Returns the exit code: 2 for errors of the
 * `expected` kinds.
 * @throws other errors of `command`
 */
export function runCommand(
  name: string,
  argv: readonly string[],
  help: string,
  expected: readonly (new (message: string) => Error)[],
  command: () => number,
): number {
  if (argv.includes("--help") || argv.length === 0) {
    process.stdout.write(help);
    return argv.length === 0 ? 2 : 0;
  }
  try {
    return command();
  } catch (error) {
    const isDeep = error instanceof RangeError && error.message.includes("call stack");
    if (!(error instanceof Error && (isDeep || expected.some((kind) => error instanceof kind)))) throw error;
    process.stderr.write(`pgbackstop ${name}: ${isDeep ? "the file's values nest too deeply" : error.message}\n`);
    return 2;
  }
}

/** Reads `--name=value`, `--name value` and `--flag`. @throws UsageError */
export function readArguments(
  argv: readonly string[],
  types: Readonly<Record<string, "string" | "boolean">>,
): Arguments {
  const options = Object.fromEntries(Object.entries(types).map(([name, type]) => [name, { type }]));
  const { positionals, tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const given = tokens.filter((token) => token.kind === "option");
  return {
    files: positionals,
    options: given.map(({ name, rawName, value = "" }) => ({ name, value: checked(types, name, rawName, value) })),
  };
}

function checked(
  types: Readonly<Record<string, "string" | "boolean">>,
  name: string,
  rawName: string,
  value: string,
): string {
  const type = Object.hasOwn(types, name) && rawName.startsWith("--") ? types[name] : undefined;
  if (type === undefined) {
    const names = [...Object.keys(types), "help"].map((each) => `--${each}`);
    throw new UsageError(`unknown option '${rawName}': use one of ${names.join(", ")}`);
  }
  if ((type === "string") === (value === ""))
    throw new UsageError(`--${name} takes ${type === "string" ? "a" : "no"} value`);
  return value;
}

/** @param file `-` is stdin. @throws UsageError */
export function readText(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new UsageError(`unable to read ${nameOf(file)}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** @param file null is stdout. @throws UsageError */
export function writeOutput(file: string | null, content: string | Uint8Array): void {
  if (file === null) {
    process.stdout.write(content);
    return;
  }
  try {
    writeFileSync(file, content);
  } catch (error) {
    throw new UsageError(`unable to write ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export function nameOf(file: string): string {
  return file === "-" ? "stdin" : file;
}
