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
import { isFields } from "../plan/model/anyValue";
import { nameOf, readArguments, readText, runCommand, UsageError, writeOutput } from "./command";

const HELP = `pgbackstop render: CloudNativePG clusters with their backups as YAML; a host as a NixOS module

  pgbackstop render FILE             FILE is YAML or JSON; - is stdin

  --format=yaml|json|nixos           json is a List (default: yaml); nixos renders one of the file's hosts
  --host=NAME                        which host, if the file has several
  --output=FILE                      instead of stdout; files that a module needs (runtime.cjs, pgbackrest-client) are written beside it
  --without-runtime                  omits and lists the ConfigMaps with the program, a megabyte each; or the files that a module needs
  --help                             this text

The file holds the components' arguments, by name (docs/kubernetes/yaml.md):
  plugin: { operatorNamespace: cnpg-system, certManager: true }
  clusters: { orders: { namespace: orders, storageGiB: 50, repositories: { repo1: { at: { s3: … } } } } }
  attach: { legacy: { namespace: db, repositories: … } }
  flux: { variables: [CLOUDFLARE_ACCOUNT_ID] }   # "\${CLOUDFLARE_ACCOUNT_ID}" stays in texts, any other "\${" is escaped
It refers to Secrets and never contains them: existingSecret with the names of its keys.
For NixOS it holds the arguments of PostgresHost, by name (docs/hosts/nixos.md):
  hosts: { ledger: { dataDirectory: /var/lib/postgresql/17, repositories: { repo1: { at: { path: /mnt/nas/pg, encrypted: true }, keepDays: 7 } } } }

Warnings and notes go to stderr. Exit codes: 0; 1 for errors in the file's arguments; 2 for invalid options or unreadable files.
`;

interface Yaml {
  load(text: string, options: object): unknown;
  dump(value: unknown, options: object): string;
  readonly CORE_SCHEMA: { extend(types: object): object };
  readonly types: { readonly merge: object };
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
  const file = readFile(order.file);
  if (Object.keys(file).join() === "hosts")
    throw new UsageError(`${nameOf(order.file)} has hosts only: render them by --format=nixos`);
  const { findings, manifests } = renderGitops(file, bundle, order.withRuntime);
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

/** One host of the file as a module, with the program next to it. */
function renderHost(order: Order): number {
  const file = readFile(order.file);
  const { findings, text } = renderNixosHost(hostNameOf(order, file), file);
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

/** @throws UsageError */
function hostNameOf({ host }: Order, { hosts }: NixosFile): string {
  // Whatever else it is, the check of the file says.
  if (hosts !== undefined && !isFields(hosts)) return "";
  const names = Object.keys(hosts ?? {});
  const name = host ?? (names.length === 1 ? names[0] : undefined);
  if (name !== undefined && names.includes(name)) return name;
  throw new UsageError(`--host=NAME takes one of the file's hosts: ${names.join(", ") || "it has none"}`);
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

/** The sections of a file. @throws UsageError */
function readFile(file: string): GitopsFile & NixosFile {
  const name = nameOf(file);
  const value = parseYaml(name, readText(file));
  if (!isFields(value)) {
    const fact = value === undefined || value === null ? "is empty" : "has no sections";
    throw new UsageError(`${name} ${fact}: write clusters, attach, plugin or hosts (pgbackstop render --help)`);
  }
  const { apiVersion, kind } = value;
  if (typeof apiVersion === "string" && typeof kind === "string")
    throw new UsageError(
      `${name} is a ${kind} of Kubernetes: render makes such objects from arguments (pgbackstop render --help)`,
    );
  return value;
}

/** YAML 1.2, in which a date is text, and merge keys. @throws UsageError */
function parseYaml(name: string, text: string): unknown {
  const { CORE_SCHEMA, load, types } = yaml();
  try {
    const value = load(text, { schema: CORE_SCHEMA.extend({ implicit: [types.merge] }) });
    // Fails for an alias of what it is in.
    JSON.stringify(value);
    return value;
  } catch (error) {
    if (error instanceof RangeError) throw error;
    const isLoop = error instanceof TypeError && error.message.includes("circular");
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`unable to read ${name}: ${isLoop ? "a section contains itself by an alias" : reason}`);
  }
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
