/**
 * The files of a host among the inputs of its resource, as briefly as they can be. The state has these for every host,
 * and the engine copies and logs each value several times in each preview: a host has twenty files, half of whose text
 * is the same lines, such as the restrictions of services.
 */
import { createHash } from "node:crypto";
import type { OwnerRole } from "./desiredFiles";

export interface FileInput {
  /** Four octal digits. */
  readonly mode: string;
  readonly owner: OwnerRole;
  readonly text: string;
  /** True for files with secret text: their digests are secret too. */
  readonly secret: boolean;
}

/** With the usual rights, the text alone. */
export type BriefFile = FileInput | string;

const USUAL = { mode: "0644", owner: "admin", secret: false } as const satisfies Omit<FileInput, "text">;

/** @param file whose text may be deferred */
export function briefFile<T>(file: Omit<FileInput, "text"> & { readonly text: T }): T | typeof file {
  const { mode, owner, secret, text } = file;
  return mode === USUAL.mode && owner === USUAL.owner && secret === USUAL.secret ? text : file;
}

/** A line that stands for several, and their name among the files. */
const NAME = /^@[0-9a-f]{8}$/;
const NAME_DIGITS = 8;
/** Shorter ones are not worth a name. */
const LENGTH_MIN = 40;

/**
 * Takes lines that several texts share out of them, to stand once next to them; {@link wholeFiles} puts them back.
 */
export function briefTexts(files: Readonly<Record<string, BriefFile>>): Record<string, BriefFile> {
  const lines = Object.entries(files).flatMap(([path, file]) =>
    typeof file === "string" ? [[path, file.split("\n")] as const] : [],
  );
  if (lines.some(([, each]) => each.some((line) => line.startsWith("@") && NAME.test(line)))) return { ...files };
  /** The files of each line: their positions as a text, with a comma after each. */
  const sharers = new Map<string, string>();
  for (const [index, [, each]] of lines.entries())
    for (const line of new Set(each)) sharers.set(line, `${sharers.get(line) ?? ""}${index},`);
  const sharersOf = (line: string): string => sharers.get(line) ?? "";
  const common: Record<string, string> = {};
  const names = new Map<string, string>();
  const briefOf = (run: readonly string[]): readonly string[] => {
    const own = sharersOf(run[0] ?? "");
    if (own.indexOf(",") === own.length - 1) return run;
    const text = run.join("\n");
    if (text.length < LENGTH_MIN) return run;
    const name = names.get(text) ?? `@${createHash("sha256").update(text).digest("hex").slice(0, NAME_DIGITS)}`;
    names.set(text, name);
    common[name] = text;
    return [name];
  };
  const brief = lines.map(([path, each]) => {
    const runs = runsOf(each, sharersOf);
    return [path, runs.flatMap(briefOf).join("\n")] as const;
  });
  return { ...files, ...common, ...Object.fromEntries(brief) };
}

/** Files by path, from {@link briefFile} and {@link briefTexts}. */
export function wholeFiles(files: Readonly<Record<string, BriefFile>>): [path: string, FileInput][] {
  const lineOf = (line: string): string => {
    const common = NAME.test(line) ? files[line] : undefined;
    return typeof common === "string" ? common : line;
  };
  const whole = (text: string): string => text.split("\n").map(lineOf).join("\n");
  return Object.entries(files).flatMap(([path, file]): [string, FileInput][] => {
    if (NAME.test(path)) return [];
    return [[path, typeof file === "string" ? { ...USUAL, text: whole(file) } : file]];
  });
}

/** Neighbours with the same key. */
function runsOf(lines: readonly string[], keyOf: (line: string) => string): string[][] {
  const runs: string[][] = [];
  let last: string | undefined;
  for (const line of lines) {
    const key = keyOf(line);
    if (key !== last) runs.push([]);
    runs.at(-1)?.push(line);
    last = key;
  }
  return runs;
}
