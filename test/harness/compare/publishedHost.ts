/** Compares published host configurations in `test/vectors/published` with what an example declares instead. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { type GivenInputs, readInputs } from "../../../components/dynamic/host";
import { type FileInput, wholeFiles } from "../../../components/host/briefFiles";
import { projectFolder } from "../../../tools/parts/cache";
import type { Difference } from "./published";

/** The contents of a host according to a preview. */
export interface DeclaredHost {
  readonly files: Readonly<Record<string, FileInput>>;
  readonly settings: Readonly<Record<string, string>>;
}

/** The inputs of the stack's only host and the engine's output. Secret texts are `[secret]`. */
export async function previewHost(stack: Stack): Promise<{ host: DeclaredHost; printed: string }> {
  let host: DeclaredHost | null = null;
  const { stdout } = await stack.preview({
    onEvent: ({ resourcePreEvent }) => {
      const inputs = (resourcePreEvent?.metadata.new?.inputs ?? {}) as Partial<GivenInputs>;
      if (inputs.files === undefined || inputs.settings === undefined) return;
      const { files, settings } = readInputs(inputs as GivenInputs);
      host = { files: Object.fromEntries(wholeFiles(files)), settings };
    },
  });
  if (host === null) throw new Error(`no host in the preview:\n${stdout}`);
  return { host, printed: stdout };
}

/** A file of `test/vectors/published`. */
export function publishedText(name: string): string {
  return readFileSync(join(projectFolder(), "test", "vectors", "published", name), "utf8");
}

/** Values of pgbackrest.conf by `[section] option`. */
export function optionsOf(text: string): Map<string, string> {
  const result = new Map<string, string>();
  let section = "";
  for (const line of text.split("\n")) {
    const [, name] = /^\[(.+)\]$/.exec(line) ?? [];
    const [, option, value] = /^([a-z0-9-]+)=(.*)$/.exec(line) ?? [];
    if (name !== undefined) section = name;
    if (option !== undefined && value !== undefined) result.set(`[${section}] ${option}`, value);
  }
  return result;
}

/** Settings in the form `name = 'value'` (postgresql.conf) or `name = "value";` (Nix). */
export function settingsOf(text: string): Map<string, string> {
  const result = [...text.matchAll(/^([a-z_]+) = (?:'([^']*)'|"([^"]*)";|(\S+))/gm)];
  return new Map(result.map(([, name = "", single, double, bare]) => [name, single ?? double ?? bare ?? ""]));
}

/** The published value and ours, by name, where they differ. */
export function mapDifferences(
  published: ReadonlyMap<string, string>,
  ours: ReadonlyMap<string, string>,
): Record<string, Difference> {
  const names = [...new Set([...published.keys(), ...ours.keys()])].sort();
  return Object.fromEntries(
    names
      .filter((name) => published.get(name) !== ours.get(name))
      .map((name) => [name, [published.get(name), ours.get(name)] as const]),
  );
}

/** The lines of a unit that start with `key=`. */
export function linesOf(host: DeclaredHost, unit: string, key: string): string[] {
  const text = Object.entries(host.files).find(([path]) => path.endsWith(`/${unit}`))?.[1].text ?? "";
  return text
    .split("\n")
    .filter((line) => line.startsWith(`${key}=`))
    .map((line) => line.slice(key.length + 1));
}
