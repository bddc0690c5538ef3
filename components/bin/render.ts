/**
 * `pgbackstop render`: the components' objects as YAML, for clusters created by Flux, Argo or kubectl, and a host's
 * files as a NixOS module. Reads one file or stdin, needs no engine, no cluster and no network. Exit codes: 0, 1 for an
 * invalid declaration, 2 for invalid arguments and unreadable files.
 */
import { dirname, join } from "node:path";
import {
  loadArchiveClient,
  loadRuntimeBundle,
  runtimeBundleGzip,
  runtimeBundleSha256,
} from "../internal/runtimeBundle";
import { findingText } from "../plan/findings/findings";
import { type GitopsFile, renderGitops } from "../render/kubernetes/gitops";
import { type NixosFile, renderNixosHost } from "../render/host/nixosFile";
import { nameOf, readArguments, readText, runCommand, UsageError, writeOutput } from "./command";

const HELP = `pgbackstop render: CloudNativePG clusters with their backups as YAML; a host as a NixOS module

  pgbackstop render FILE             FILE is YAML or JSON; - is stdin

  --format=yaml|json|nixos           json is a List (default: yaml); nixos renders one of the file's hosts
  --host=NAME                        which host, if the file has several
  --output=FILE                      instead of stdout; files that a module needs (runtime.cjs, pgbackrest-client) are written beside it
  --without-runtime                  leaves out and names the ConfigMaps with the program, a megabyte each; or the files that a module needs
  --help                             this text

The file holds the components' arguments, by name (docs/kubernetes.md):
  plugin: { operatorNamespace: cnpg-system, certManager: true }
  clusters: { orders: { namespace: orders, storageGiB: 50, repositories: { repo1: { at: { s3: … } } } } }
  attach: { legacy: { namespace: db, repositories: … } }
  flux: { variables: [CLOUDFLARE_ACCOUNT_ID] }   # "\${CLOUDFLARE_ACCOUNT_ID}" stays in texts, any other "\${" is escaped
It refers to Secrets and never contains them: existingSecret with the names of its keys.
For NixOS it holds the arguments of PostgresHost, by name (docs/hosts.md):
  hosts: { ledger: { dataDirectory: /var/lib/postgresql/17, repositories: { repo1: { at: { path: /mnt/nas/pg, encrypted: true }, keepDays: 7 } } } }

Warnings and notes go to stderr. Exit codes: 0; 1 for errors in the file's arguments; 2 for invalid options or unreadable files.
`;

interface Yaml {
  load(text: string): unknown;
  dump(value: unknown, options: object): string;
}

interface Order {
  readonly file: string;
  readonly format: "yaml" | "json" | "nixos";
  readonly host: string | null;
  readonly output: string | null;
  readonly withRuntime: boolean;
}

/**
 * Runs the command; returns the exit code.
 * @public loaded on demand by pgbackstop.ts
 */
export function renderMain(argv: readonly string[]): number {
  return runCommand("render", argv, HELP, [UsageError], () => {
    const order = readOrder(argv);
    return order.format === "nixos" ? renderHost(order) : renderObjects(order);
  });
}

function renderObjects(order: Order): number {
  const bundle = { gzipBase64: order.withRuntime ? runtimeBundleGzip() : "", sha256: runtimeBundleSha256() };
  const { findings, manifests } = renderGitops(readFile(order.file), bundle, order.withRuntime);
  for (const finding of findings) process.stderr.write(`${finding.severity}: ${findingText(finding)}\n`);
  if (findings.some(({ severity }) => severity === "error")) return 1;
  writeOutput(
    order.output,
    order.format === "json"
      ? listText(manifests)
      : manifests.map((manifest) => `---\n${yaml().dump(manifest, YAML)}`).join(""),
  );
  return 0;
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
  for (const finding of findings) process.stderr.write(`${finding.severity}: ${findingText(finding)}\n`);
  if (text === null) return 1;
  writeOutput(order.output, text);
  if (order.output !== null && order.withRuntime) {
    const folder = dirname(order.output);
    writeOutput(join(folder, "runtime.cjs"), loadRuntimeBundle());
    writeOutput(join(folder, "pgbackrest-client"), loadArchiveClient());
  }
  return 0;
}

/** Does not fold long lines, and repeats equal parts, so that readers see the real values. */
const YAML = { lineWidth: -1, noRefs: true, quotingType: '"' };

/** Loaded on demand. */
function yaml(): Yaml {
  return require("js-yaml") as Yaml;
}

function listText(items: readonly object[]): string {
  return `${JSON.stringify({ apiVersion: "v1", kind: "List", items }, undefined, 2)}\n`;
}

function readFile(file: string): GitopsFile & NixosFile {
  const name = nameOf(file);
  const text = readText(file);
  let value: unknown;
  try {
    value = yaml().load(text);
  } catch (error) {
    throw new UsageError(`unable to read ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UsageError(`${name} does not declare clusters or hosts`);
  const unknown = Object.keys(value).filter(
    (field) => !["plugin", "clusters", "attach", "flux", "hosts"].includes(field),
  );
  if (unknown.length > 0)
    throw new UsageError(`${name} has ${unknown.join(", ")}: only plugin, clusters, attach, flux and hosts are known`);
  return value;
}

function readOrder(argv: readonly string[]): Order {
  const { files, options } = readArguments(argv, {
    format: "string",
    host: "string",
    output: "string",
    "without-runtime": "boolean",
  });
  const last = (name: string): string | undefined => options.findLast((option) => option.name === name)?.value;
  const [file] = files;
  if (file === undefined || files.length > 1) throw new UsageError(`render takes one file, found ${files.length}`);
  const format = last("format") ?? "yaml";
  if (format !== "yaml" && format !== "json" && format !== "nixos")
    throw new UsageError(`--format takes yaml, json or nixos, found '${format}'`);
  return {
    file,
    format,
    host: last("host") ?? null,
    output: last("output") ?? null,
    withRuntime: last("without-runtime") === undefined,
  };
}
