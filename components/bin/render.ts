/**
 * `pgbackstop render`: the objects that components declare, as YAML, for clusters that are made by Flux, Argo or kubectl, and what a host gets as a
 * module of NixOS. Reads one file or stdin, needs no engine, no cluster and no network. Exit codes: 0, 1 where the file says what cannot be, 2 for words and files that cannot be
 * read.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { loadArchiveClient, loadRuntimeBundle, runtimeBundleGzip, runtimeBundleSha256 } from "../internal/runtimeBundle";
import { findingText } from "../plan/findings/findings";
import { type GitopsFile, renderGitops } from "../render/kubernetes/gitops";
import { type NixosFile, renderNixosHost } from "../render/host/nixosFile";

const HELP = `pgbackstop render: the objects of clusters of CloudNativePG with their backups, as YAML; a host as a module of NixOS

  pgbackstop render FILE             FILE is YAML or JSON; - is stdin

  --format=yaml|json|nixos           json is a List (default: yaml); nixos is one of the file's hosts
  --host=NAME                        which one, where there are several
  --output=FILE                      instead of stdout; what a module needs (runtime.cjs, pgbackrest-client) is written beside it
  --without-runtime                  leaves out the ConfigMaps with the program, of a megabyte each, and names them; or what a module needs
  --help                             this text

The file has the arguments of the components, by name (docs/kubernetes.md):
  plugin: { operatorNamespace: cnpg-system, certManager: true }
  clusters: { orders: { namespace: orders, storageGiB: 50, repositories: { repo1: { at: { s3: … } } } } }
  attach: { legacy: { namespace: db, repositories: … } }
Secrets are named, never held: existingSecret with the names of its keys.
For NixOS it has those of PostgresHost, by name (docs/hosts.md):
  hosts: { ledger: { dataDirectory: /var/lib/postgresql/17, repositories: { repo1: { at: { path: /mnt/nas/pg, encrypted: true }, keepDays: 7 } } } }

Warnings and notes go to stderr. Exit codes: 0; 1 when the file asks for what cannot be; 2 when words or files cannot be read.
`;

interface Yaml {
  load(text: string): unknown;
  dump(value: unknown, options: object): string;
}

/** Wrong words on the command line, or a file that is none. */
class UsageError extends Error {}

interface Order {
  readonly file: string;
  readonly format: "yaml" | "json" | "nixos";
  readonly host: string | null;
  readonly output: string | null;
  readonly withRuntime: boolean;
}

/**
 * Runs the command; what it returns is the exit code.
 * @public loaded by pgbackstop.ts when it is asked for
 */
export function renderMain(argv: readonly string[]): number {
  if (argv.includes("--help") || argv.length === 0) {
    process.stdout.write(HELP);
    return argv.length === 0 ? 2 : 0;
  }
  try {
    const order = readWords(argv);
    if (order.format === "nixos") return renderHost(order);
    const bundle = { gzipBase64: order.withRuntime ? runtimeBundleGzip() : "", sha256: runtimeBundleSha256() };
    const { findings, manifests } = renderGitops(readFile(order.file), bundle, order.withRuntime);
    for (const found of findings) process.stderr.write(`${found.severity}: ${findingText(found)}\n`);
    if (findings.some(({ severity }) => severity === "error")) return 1;
    const text = order.format === "json" ? listText(manifests) : manifests.map((manifest) => `---\n${yaml().dump(manifest, YAML)}`).join("");
    if (order.output === null) process.stdout.write(text);
    else writeFile(order.output, text);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`pgbackstop render: ${error.message}\n`);
    return 2;
  }
}

/** One host of the file as a module, with the program beside it. */
function renderHost(order: Order): number {
  const hosts = (readFile(order.file) as NixosFile).hosts ?? {};
  const names = Object.keys(hosts);
  const name = order.host ?? (names.length === 1 ? names[0] : undefined);
  const host = name === undefined ? undefined : hosts[name];
  if (name === undefined || host === undefined) {
    throw new UsageError(`--host=NAME takes one of the file's hosts: ${names.join(", ") || "it has none"}`);
  }
  const { findings, text } = renderNixosHost(name, host);
  for (const found of findings) process.stderr.write(`${found.severity}: ${findingText(found)}\n`);
  if (text === null) return 1;
  if (order.output === null) process.stdout.write(text);
  else {
    writeFile(order.output, text);
    if (order.withRuntime) {
      const folder = dirname(order.output);
      writeFile(join(folder, "runtime.cjs"), loadRuntimeBundle());
      writeFile(join(folder, "pgbackrest-client"), loadArchiveClient());
    }
  }
  return 0;
}

/** Long lines are not folded, and equal parts are written out: what is read is what was meant. */
const YAML = { lineWidth: -1, noRefs: true, quotingType: '"' };

/** Loaded when it is needed. */
function yaml(): Yaml {
  return require("js-yaml") as Yaml;
}

function listText(items: readonly object[]): string {
  return `${JSON.stringify({ apiVersion: "v1", kind: "List", items }, undefined, 2)}\n`;
}

function readFile(file: string): GitopsFile & NixosFile {
  const name = file === "-" ? "stdin" : file;
  let value: unknown;
  try {
    value = yaml().load(readFileSync(file === "-" ? 0 : file, "utf8"));
  } catch (error) {
    throw new UsageError(`unable to read ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new UsageError(`${name} is no file of clusters`);
  const unknown = Object.keys(value).filter((field) => !["plugin", "clusters", "attach", "hosts"].includes(field));
  if (unknown.length > 0) throw new UsageError(`${name} has ${unknown.join(", ")}: there is plugin, clusters, attach, hosts`);
  return value;
}

function writeFile(file: string, text: string | Uint8Array): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new UsageError(`unable to write ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function readWords(argv: readonly string[]): Order {
  const files = argv.filter((word) => !word.startsWith("-") || word === "-");
  const words = new Map(argv.filter((word) => word.startsWith("--")).map((word): [string, string | undefined] => splitWord(word)));
  const unknown = [...words.keys()].find((word) => !["--format", "--host", "--output", "--without-runtime"].includes(word));
  if (unknown !== undefined) throw new UsageError(`unknown option '${unknown}': there is --format, --host, --output, --without-runtime, --help`);
  const [file] = files;
  if (file === undefined || files.length > 1) throw new UsageError(`render takes one file, found ${files.length}`);
  const format = words.get("--format") ?? "yaml";
  if (format !== "yaml" && format !== "json" && format !== "nixos") throw new UsageError(`--format takes yaml, json or nixos, found '${format}'`);
  if (words.has("--output") && (words.get("--output") ?? "") === "") throw new UsageError("--output takes a value: --output=FILE");
  return { file, format, host: words.get("--host") ?? null, output: words.get("--output") ?? null, withRuntime: !words.has("--without-runtime") };
}

function splitWord(word: string): [string, string | undefined] {
  const place = word.indexOf("=");
  return place === -1 ? [word, undefined] : [word.slice(0, place), word.slice(place + 1)];
}
