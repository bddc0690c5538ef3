/** The house plan: a table of allowed imports, and the import graph that it is checked against. */
import { existsSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import type ts from "typescript";
import { compiler, positionOf, type Source, walk } from "./sources";

export interface Import {
  readonly from: string;
  /** `path:line` of the import. */
  readonly position: string;
  /** A project path (`runtime/base/errors`), a built-in (`node:fs`) or a package (`@pulumi/pulumi`). */
  readonly to: string;
  readonly kind: "project" | "builtin" | "package";
  readonly typeOnly: boolean;
}

interface Room {
  /** Path prefix of the room's files. The longest match wins. */
  readonly prefix: string;
  /** Purpose, for docs/architecture.md. Entries for single files omit it. */
  readonly about?: string;
  /** Prefixes of project files that it may import, besides its own. */
  readonly mayImport: readonly string[];
  /** Prefixes of project files of which it may import types only. */
  readonly mayImportTypes?: readonly string[];
  /** Packages that it may import. Default: none. */
  readonly packages?: readonly string[];
  /** Built-ins that it must not import. */
  readonly bannedBuiltins?: readonly string[];
}

const OUTSIDE_WORLD = [
  "node:fs",
  "node:fs/promises",
  "node:net",
  "node:tls",
  "node:http",
  "node:https",
  "node:child_process",
  "node:worker_threads",
];
/** Rooms that the commands and the CloudNativePG plugin may import. */
const COMMAND_ROOMS = [
  "runtime/base",
  "runtime/config",
  "runtime/operations",
  "runtime/metrics",
  "runtime/notify",
  "runtime/recoverability",
  "runtime/repository",
  "runtime/postgres",
  "runtime/local",
];
const PLAN_ROOMS = ["runtime/base", "runtime/format", "runtime/operations"];

/** The house plan. A file outside these rooms fails the check. */
export const ROOMS: readonly Room[] = [
  {
    prefix: "runtime/base",
    about: "errors, log, clock, randomness, bytes, retries: used everywhere",
    mayImport: [],
    bannedBuiltins: OUTSIDE_WORLD,
  },
  {
    prefix: "runtime/format",
    about:
      "pgBackRest's repository format and PostgreSQL's files as pure functions: info files, manifests, codecs, WAL, pages",
    mayImport: ["runtime/base"],
    bannedBuiltins: [...OUTSIDE_WORLD, "node:os", "node:timers"],
  },
  {
    prefix: "runtime/config",
    about: "options, configuration files and the command line, parsed once into one frozen value",
    mayImport: ["runtime/base", "runtime/version"],
  },
  { prefix: "runtime/local", about: "files, locks, spool and programs of this machine", mayImport: ["runtime/base"] },
  {
    prefix: "runtime/fuse",
    about: "a file system of our own: the kernel's requests and their answers, the device and its mount",
    mayImport: ["runtime/base"],
    bannedBuiltins: [...OUTSIDE_WORLD, "node:os"],
  },
  { prefix: "runtime/fuse/device", mayImport: ["runtime/base", "runtime/fuse", "runtime/local"] },
  {
    prefix: "runtime/web",
    about: "one HTTP request to a service other than a storage, and a small HTTP server",
    mayImport: ["runtime/base"],
    packages: ["undici"],
  },
  {
    prefix: "runtime/storage",
    about: "one interface and its drivers: POSIX, S3, Azure, Google, SFTP",
    mayImport: ["runtime/base", "runtime/local/nodeFiles", "runtime/web"],
    mayImportTypes: ["runtime/config/types"],
    packages: ["undici", "ssh2"],
  },
  {
    prefix: "runtime/storage/posix",
    mayImport: [
      "runtime/base",
      "runtime/local",
      "runtime/storage/storage",
      "runtime/storage/paths",
      "runtime/storage/posixProbe",
    ],
  },
  { prefix: "runtime/storage/open", mayImport: ["runtime/base", "runtime/config", "runtime/storage"] },
  {
    prefix: "runtime/repository",
    about: "one repository on a storage: info files, archive, backups, leases, encryption",
    mayImport: ["runtime/base", "runtime/format", "runtime/storage/storage", "runtime/storage/overlaid"],
  },
  {
    prefix: "runtime/recoverability",
    about:
      "what can be recovered: the facts of each repository, read once for each command, and what follows from them",
    mayImport: [
      "runtime/base",
      "runtime/format",
      "runtime/repository",
      "runtime/storage/storage",
      "runtime/storage/overlaid",
    ],
  },
  {
    prefix: "runtime/postgres",
    about: "PostgreSQL: sessions, data directory, streaming replication, its programs",
    mayImport: ["runtime/base", "runtime/format", "runtime/local"],
    packages: ["pg"],
  },
  {
    prefix: "runtime/operations",
    about: "what the verbs do, one folder each: backup, restore, archive-push, expire, verify, …",
    mayImport: [
      "runtime/base",
      "runtime/format",
      "runtime/fuse",
      "runtime/local",
      "runtime/recoverability",
      "runtime/repository",
      "runtime/postgres",
      "runtime/storage/storage",
    ],
    mayImportTypes: ["runtime/config/types", "runtime/web/httpServer"],
  },
  {
    prefix: "runtime/process",
    about:
      "what a command gets from its process: files, sockets, signals, environment, opened repositories and servers",
    mayImport: [],
    mayImportTypes: [
      "runtime/base",
      "runtime/config",
      "runtime/format",
      "runtime/local",
      "runtime/operations",
      "runtime/postgres",
      "runtime/repository",
    ],
  },
  {
    prefix: "runtime/process/realProcess",
    mayImport: [
      "runtime/base",
      "runtime/config",
      "runtime/local",
      "runtime/operations",
      "runtime/postgres",
      "runtime/process/openRepositories",
      "runtime/repository",
      "runtime/storage",
      "runtime/workers",
    ],
    mayImportTypes: ["runtime/process/commandProcess"],
  },
  {
    prefix: "runtime/process/openRepositories",
    mayImport: [
      "runtime/base",
      "runtime/config",
      "runtime/format/repository/blockSize",
      "runtime/local/nodeFiles",
      "runtime/operations/expire/repoRetention",
      "runtime/storage",
    ],
    mayImportTypes: ["runtime/repository"],
  },
  {
    prefix: "runtime/process/storageProcesses",
    mayImport: ["runtime/version"],
    mayImportTypes: ["runtime/storage/open"],
  },
  {
    prefix: "runtime/metrics",
    about: "metrics for Prometheus and OpenTelemetry",
    mayImport: ["runtime/base", "runtime/operations", "runtime/version", "runtime/web"],
    mayImportTypes: ["runtime/format", "runtime/local", "runtime/recoverability"],
  },
  {
    prefix: "runtime/metrics/gather",
    mayImport: [
      "runtime/base",
      "runtime/metrics",
      "runtime/operations",
      "runtime/local",
      "runtime/recoverability",
      "runtime/format/repository/infoFile",
      "runtime/version",
    ],
    mayImportTypes: ["runtime/process/commandProcess", "runtime/config/types"],
  },
  // No repository code: a notice must not contain a secret of a repository.
  {
    prefix: "runtime/notify",
    about: "notices by e-mail, ntfy, Alertmanager and webhook",
    mayImport: ["runtime/base", "runtime/config/usableFile", "runtime/web"],
    mayImportTypes: ["runtime/local"],
  },
  {
    prefix: "runtime/commands",
    about: "one file for each verb: turns options into an operation, and its result into text or JSON",
    mayImport: [...COMMAND_ROOMS, "runtime/format/repository/json", "runtime/format/wal/walSegment"],
    mayImportTypes: ["runtime/process/commandProcess"],
  },
  {
    // Which service a bucket is at decides its price.
    prefix: "runtime/commands/watch/report",
    mayImport: [
      "runtime/base",
      "runtime/commands/watch/status",
      "runtime/config",
      "runtime/operations",
      "runtime/recoverability",
      "runtime/storage/prices",
      "runtime/storage/s3/quirks",
    ],
    mayImportTypes: ["runtime/process/commandProcess"],
  },
  {
    prefix: "runtime/commands/recovery/openedWal",
    mayImport: [
      "runtime/agent/controlSocket",
      "runtime/archiver",
      "runtime/base",
      "runtime/format/wal/walSegment",
      "runtime/local",
      "runtime/operations",
    ],
    mayImportTypes: ["runtime/process/commandProcess"],
  },
  // Imports the file of each command.
  {
    prefix: "runtime/commands/table",
    mayImport: ["runtime/agent", "runtime/cnpg", "runtime/commands", "runtime/config/commands"],
    mayImportTypes: [
      "runtime/metrics/gather",
      "runtime/operations/report/reportFields",
      "runtime/process/commandProcess",
    ],
  },
  {
    prefix: "runtime/archiver",
    about: "archives the WAL of one cluster in a process that keeps running: the agent or the sidecar",
    mayImport: [
      "runtime/base",
      "runtime/operations",
      "runtime/repository",
      "runtime/local",
      "runtime/format/wal/walSegment",
      "runtime/postgres/postmasterPid",
    ],
    mayImportTypes: ["runtime/process/commandProcess"],
  },
  {
    prefix: "runtime/agent",
    about: "the agent of a host: answers `archive_command` and `restore_command`, serves metrics",
    mayImport: [
      "runtime/archiver",
      "runtime/base",
      "runtime/local/nodeFiles",
      "runtime/web/httpServer",
      "runtime/operations",
      "runtime/metrics",
      "runtime/format/wal/walSegment",
      "runtime/local/sameDirectory",
    ],
    mayImportTypes: ["runtime/process/commandProcess"],
  },
  {
    prefix: "runtime/cnpg",
    about: "the plugin for CloudNativePG: operator, sidecar, restore, drills",
    mayImport: ["runtime/archiver", ...COMMAND_ROOMS, "runtime/version", "runtime/format", "runtime/web"],
    mayImportTypes: ["runtime/process/commandProcess"],
    packages: ["@grpc/grpc-js", "@grpc/proto-loader", "protobufjs"],
  },
  {
    prefix: "runtime/cnpg/operator/sidecarPatch",
    mayImport: ["runtime/base", "runtime/cnpg"],
    bannedBuiltins: [...OUTSIDE_WORLD, "node:os"],
  },
  {
    prefix: "runtime/workers",
    about: "worker threads that run the operations' jobs",
    mayImport: ["runtime/base", "runtime/local/nodeFiles", "runtime/operations"],
    mayImportTypes: ["runtime/config/types", "runtime/repository"],
  },
  { prefix: "runtime/version", about: "the version of the package", mayImport: [] },
  {
    prefix: "runtime/main",
    about: "the bundle's program, which `runtime/start` loads: finds and runs the command",
    mayImport: ["runtime"],
  },
  {
    prefix: "runtime/jobThread",
    about: "the program of a worker thread",
    mayImport: ["runtime/base", "runtime/process", "runtime/version", "runtime/workers"],
  },
  // The head of the bundle starts the program and contains none of it.
  {
    prefix: "runtime/start",
    mayImport: [
      "runtime/base/nodeVersion",
      "runtime/base/recoveryExit",
      "runtime/stay/askStaying",
      "runtime/stay/place",
    ],
  },
  {
    prefix: "runtime/stay",
    about:
      "the process that stays after `archive-push` or `archive-get`: where it listens, who asks it, what it serves",
    mayImport: ["runtime/base", "runtime/local"],
  },
  // Parts of the head.
  { prefix: "runtime/stay/askStaying", mayImport: [] },
  { prefix: "runtime/stay/place", mayImport: [] },
  {
    prefix: "components/plan",
    about: "pure functions from arguments to plans, findings, topologies and runbooks",
    mayImport: [
      "runtime/base/declaredTypes",
      "runtime/base/given",
      "runtime/cnpg/names",
      "runtime/config",
      "runtime/notify/events",
      "runtime/recoverability/troubles",
      "runtime/storage/prices",
      "runtime/storage/s3/quirks",
      "runtime/storage/sftp/hostKey",
    ],
    // Settings are the components' arguments as plain values.
    mayImportTypes: ["components/databases", "components/drills", "components/repositories"],
    bannedBuiltins: [...OUTSIDE_WORLD, "node:os"],
  },
  {
    prefix: "components/render",
    about: "pure functions from plans to files, units, objects and pages",
    mayImport: [
      "components/plan",
      "runtime/base/given",
      "runtime/base/html",
      "runtime/base/limits",
      "runtime/base/recoveryExit",
      "runtime/cnpg/names",
      "runtime/cnpg/programStart",
      "runtime/config",
      "runtime/storage/s3/quirks",
      "runtime/version",
    ],
    bannedBuiltins: [...OUTSIDE_WORLD, "node:os"],
  },
  // No imports from Pulumi: these clients do not know the engine.
  { prefix: "components/cloud", about: "clients of cloud services, for the dynamic resources", mayImport: [] },
  {
    prefix: "components",
    about: "the Pulumi components, their dynamic resources, and connections to hosts",
    mayImport: [
      "runtime/base/given",
      "runtime/base/html",
      "runtime/base/nearNames",
      "runtime/base/nodeVersion",
      "runtime/cnpg/names",
      "runtime/config",
      "runtime/version",
    ],
    packages: ["@pulumi/pulumi"],
  },
  // The preview refuses targets that the runtime would refuse.
  {
    prefix: "components/credentials/notifyFile",
    mayImport: ["components", "runtime/base/declaredTypes", "runtime/notify/targets", "runtime/version"],
    packages: ["@pulumi/pulumi"],
  },
  {
    prefix: "components/credentials/otlpFile",
    mayImport: ["components", "runtime/base/errors", "runtime/metrics/otlpTarget"],
    packages: ["@pulumi/pulumi"],
  },
  // Shares the code for host keys with the SFTP storage.
  {
    prefix: "components/host/ssh",
    mayImport: [
      "components",
      "runtime/base/given",
      "runtime/storage/sftp/handshake",
      "runtime/storage/sftp/hostKey",
      "runtime/storage/sftp/privateKey",
    ],
    packages: ["ssh2", "@pulumi/command"],
  },
  // Only this file loads Command's package, on demand.
  {
    prefix: "components/actions/runOnHost",
    mayImport: ["components"],
    packages: ["@pulumi/pulumi", "@pulumi/command"],
  },
  // For packages that build on this one, which import nothing else of it.
  {
    prefix: "components/kit",
    mayImport: [
      "components",
      "runtime/base/declaredTypes",
      "runtime/base/given",
      "runtime/cnpg/names",
      "runtime/cnpg/programStart",
    ],
  },
  { prefix: "components/dynamic/x509", mayImport: [], packages: ["@peculiar/x509", "reflect-metadata"] },
  { prefix: "components/bin/render", mayImport: ["components"], packages: ["js-yaml"] },
  // Only this file imports the large cloud packages, so that they are loaded on demand.
  {
    prefix: "components/internal/cloudPackages",
    mayImport: [],
    packages: ["@pulumi/pulumi", "@pulumi/aws", "@pulumi/cloudflare"],
  },
  {
    prefix: "components/internal/kubernetesObjects",
    mayImport: ["components/internal/cloudPackages", "components/internal/registeredObjects"],
    packages: ["@pulumi/pulumi", "@pulumi/kubernetes"],
  },
  {
    prefix: "components/policy",
    about: "the policy pack",
    mayImport: ["components/plan"],
    packages: ["@pulumi/policy"],
  },
  // Like a user, through what the package exports; its own version decides what the kit has.
  {
    prefix: "packages/migration/components",
    about: "`Migration`, a component that moves databases: a package of its own",
    mayImport: ["packages/migration/names"],
    packages: ["@pulumi/pulumi", "pgbackstop", "pgbackstop/kit"],
  },
  {
    prefix: "packages/migration/runtime",
    about: "the programs of `Migration`: copy and compare databases, change workloads and Secrets of Kubernetes",
    mayImport: [
      "packages/migration/names",
      "runtime/base",
      "runtime/cnpg/kubernetes",
      "runtime/cnpg/names",
      "runtime/local",
      "runtime/postgres",
      "runtime/version",
    ],
  },
  { prefix: "packages/migration/names", mayImport: [] },
  {
    prefix: "packages/migration/example",
    mayImport: [],
    packages: ["@pulumi/pulumi", "pgbackstop", "pgbackstop-migration"],
  },
  {
    prefix: "packages/migration/test",
    mayImport: ["components", "packages/migration", "runtime", "test", "tools"],
    packages: ["*"],
  },
  {
    prefix: "examples",
    about: "programs that users start from",
    mayImport: [],
    packages: ["@pulumi/pulumi", "pgbackstop", "@pulumi/hcloud", "@pulumi/tls"],
  },
  {
    prefix: "tools",
    about: "build, checks, benchmarks, demo, and the real programs that tests use",
    mayImport: ["runtime", "components", "examples", "packages/migration/components", "test/harness"],
    packages: ["*"],
  },
  {
    prefix: "test",
    about: "a test for each source file at the same path, and suites with real programs",
    mayImport: ["runtime", "components", "examples", "packages/migration", "tools"],
    packages: ["*"],
  },
  { prefix: "vitest.config", mayImport: ["tools/parts"], packages: ["vitest"] },
];

/** All imports, re-exports, dynamic imports and requires of a source. */
export function importsOf(source: Source, root: string): Import[] {
  const result: Import[] = [];
  const add = (node: ts.Node, specifier: ts.Node | undefined, typeOnly: boolean): void => {
    if (specifier === undefined || !compiler.isStringLiteralLike(specifier)) return;
    result.push({
      from: source.path,
      position: positionOf(source, node),
      typeOnly,
      ...resolveImport(source.path, specifier.text, root),
    });
  };
  walk(source, (node) => {
    if (compiler.isImportDeclaration(node)) add(node, node.moduleSpecifier, isTypeImport(node));
    else if (compiler.isExportDeclaration(node)) add(node, node.moduleSpecifier, node.isTypeOnly);
    else if (compiler.isImportTypeNode(node) && compiler.isLiteralTypeNode(node.argument))
      add(node, node.argument.literal, true);
    else if (compiler.isCallExpression(node) && isLoad(node)) add(node, node.arguments[0], false);
  });
  return result;
}

/** Returns a message for each import that the table does not allow. */
export function checkImports(imports: readonly Import[]): string[] {
  return imports.flatMap((each) => {
    const room = roomOf(each.from);
    if (room === undefined) return [`${each.position}: ${each.from} is in no room of the house plan`];
    const reason = refusal(room, each);
    return reason === null ? [] : [`${each.position}: ${room.prefix} must not import ${each.to}${reason}`];
  });
}

/**
 * Groups of files that import each other directly or indirectly, types included: strongly connected components (Tarjan
 * 1972).
 */
export function findCircles(imports: readonly Import[]): string[][] {
  const graph = new Map<string, string[]>();
  for (const { from, kind, to } of imports) {
    const file = withoutExtension(from);
    if (kind === "project") graph.set(file, [...(graph.get(file) ?? []), to]);
  }
  const order = new Map<string, number>();
  const open: string[] = [];
  const circles: string[][] = [];
  /** Returns the lowest position that `file` reaches among the open ones. */
  const visit = (file: string): number => {
    const position = order.size;
    order.set(file, position);
    open.push(file);
    const next = graph.get(file) ?? [];
    const low = Math.min(
      position,
      ...next.map((to) => (order.has(to) ? (open.includes(to) ? (order.get(to) ?? position) : position) : visit(to))),
    );
    if (low < position) return low;
    const group = open.splice(open.indexOf(file));
    if (group.length > 1 || next.includes(file)) circles.push(group.sort());
    return position;
  };
  for (const file of graph.keys()) if (!order.has(file)) visit(file);
  return circles;
}

/** Packages that a file, and what it imports, load. */
export function packagesOf(path: string, imports: readonly Import[]): string[] {
  const files = new Set([withoutExtension(path)]);
  const packages = new Set<string>();
  for (const file of files) {
    for (const { from, kind, to, typeOnly } of imports) {
      if (typeOnly || withoutExtension(from) !== file) continue;
      if (kind === "project") files.add(to);
      if (kind === "package") packages.add(to);
    }
  }
  return [...packages];
}

/** Rooms without files, and table entries that no import needs. */
export function checkTable(imports: readonly Import[], paths: readonly string[]): string[] {
  const roomByPath = new Map(paths.map((path) => [path, roomOf(path)]));
  const byRoom = new Map([...roomByPath.values()].map((room): [Room | undefined, Import[]] => [room, []]));
  for (const each of imports) byRoom.get(roomByPath.get(each.from))?.push(each);
  return ROOMS.flatMap((room) => {
    const all = byRoom.get(room);
    if (all === undefined) return [`${room.prefix}: the room is empty`];
    const own = all.filter((each) => !isWithin(each.to, room.prefix));
    const types = own.filter((each) => each.typeOnly && !room.mayImport.some((prefix) => isWithin(each.to, prefix)));
    const isUnused = (entry: string, among: readonly Import[]): boolean =>
      entry !== "*" && !among.some((each) => isWithin(each.to, entry));
    return [
      ...[...room.mayImport, ...(room.packages ?? [])].filter((entry) => isUnused(entry, own)),
      ...(room.mayImportTypes ?? []).filter((entry) => isUnused(entry, types)),
    ].map((entry) => `${room.prefix}: nothing there imports ${entry}`);
  });
}

function refusal(room: Room, each: Import): string | null {
  if (each.kind === "builtin") {
    return (room.bannedBuiltins ?? []).includes(each.to) ? ": it is pure" : null;
  }
  if (each.kind === "package") {
    const packages = room.packages ?? [];
    return packages.includes("*") || packages.some((name) => isWithin(each.to, name)) ? null : " (package)";
  }
  const file = each.from.split("/").at(-1) ?? "";
  if (room.prefix === "runtime/operations" && /(Plan|^select)\.ts$/.test(file)) {
    return PLAN_ROOMS.some((prefix) => isWithin(each.to, prefix)) || each.typeOnly ? null : ": a plan is pure";
  }
  if (isWithin(each.to, room.prefix)) return null;
  if (room.mayImport.some((prefix) => isWithin(each.to, prefix))) return null;
  if ((room.mayImportTypes ?? []).some((prefix) => isWithin(each.to, prefix)))
    return each.typeOnly ? null : " but for its types";
  return "";
}

function roomOf(path: string): Room | undefined {
  const fitting = ROOMS.filter((room) => isWithin(withoutExtension(path), room.prefix));
  return fitting.sort((a, b) => b.prefix.length - a.prefix.length)[0];
}

function isWithin(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}

function isTypeImport(node: ts.ImportDeclaration): boolean {
  const clause = node.importClause;
  if (clause === undefined) return false;
  if (clause.phaseModifier === compiler.SyntaxKind.TypeKeyword) return true;
  const bindings = clause.namedBindings;
  return (
    clause.name === undefined &&
    bindings !== undefined &&
    compiler.isNamedImports(bindings) &&
    bindings.elements.every((element) => element.isTypeOnly)
  );
}

function isLoad(node: ts.CallExpression): boolean {
  return (
    node.expression.kind === compiler.SyntaxKind.ImportKeyword ||
    (compiler.isIdentifier(node.expression) && node.expression.text === "require")
  );
}

function resolveImport(from: string, specifier: string, root: string): { to: string; kind: Import["kind"] } {
  if (specifier.startsWith("node:")) return { to: specifier, kind: "builtin" };
  if (!specifier.startsWith(".")) return { to: specifier, kind: "package" };
  const path = normalize(join(dirname(from), specifier));
  const isFolder = existsSync(join(root, path)) && statSync(join(root, path)).isDirectory();
  return { to: withoutExtension(isFolder ? `${path}/index` : path), kind: "project" };
}

function withoutExtension(path: string): string {
  return path.replace(/\.(ts|mjs|cjs|js)$/, "");
}
