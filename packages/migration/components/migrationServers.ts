/** Both sides of a migration: plain settings for the plan, and deferred values for its arguments. */
import * as pulumi from "@pulumi/pulumi";
import { given } from "pgbackstop/kit";
import type { KeyRef } from "pgbackstop";
import { type MigrationArgs, type MigrationServerArgs, MigrationStage } from "./migrationArgs";
import {
  type KnownServer,
  type MigrationSettings,
  runnerOf,
  SERVER_FILES,
  type ServerSettings,
} from "./migrationSteps";

const PROCESS_MAX = 2;

/** Names, counts and flags; some may come later. */
export function settingsOf(name: string, args: MigrationArgs): GivenSettings {
  const kindOf = (server: MigrationServerArgs): ServerSettings["kind"] =>
    server.host !== undefined ? "host" : server.cluster !== undefined ? "cluster" : "server";
  const sides = { source: { kind: kindOf(args.source) }, target: { kind: kindOf(args.target) } };
  const runner = runnerOf(sides);
  const isInCluster = runner !== null && sides[runner].kind === "cluster";
  const namespace = namespaceOf(args);
  const settings = (server: MigrationServerArgs): GivenServer =>
    serverSettings(server, kindOf(server), isInCluster, namespace);
  return {
    name,
    until: args.until ?? MigrationStage.Plan,
    source: settings(args.source),
    target: settings(args.target),
    workloads: (args.workloads ?? []).map(({ kind, name: workload, namespace: own }) => ({
      kind,
      name: workload,
      namespace: own,
    })),
    secrets: (args.secrets ?? []).map((secret) => ({
      name: secret.name,
      namespace: secret.namespace,
      keys: Object.keys(secret.values),
    })),
    units: (args.units ?? []).map(({ names }) => names),
    hasNamespace: namespace !== undefined,
    databases: args.databases ?? [],
    excludedDatabases: args.excludedDatabases ?? [],
    keepRoles: args.keepRoles ?? [],
    rolePasswords: args.rolePasswords ?? true,
    tablespaces: args.tablespaces ?? true,
    disconnect: args.disconnect ?? false,
    replace: args.replace ?? false,
    sourceStopped: args.sourceStopped ?? false,
    processMax: args.processMax ?? PROCESS_MAX,
    binDirectory: args.binDirectory,
    drill: args.drill,
    drills: Object.keys(args.target.cluster?.verbs?.drills ?? {}),
  };
}

/** Settings before their deferred values are known. */
type GivenServer = { readonly [Key in keyof ServerSettings]: pulumi.Input<ServerSettings[Key]> };
interface GivenSettings extends Omit<Given<MigrationSettings>, "secrets" | "source" | "target" | "workloads"> {
  readonly source: GivenServer;
  readonly target: GivenServer;
  readonly workloads: readonly Given<MigrationSettings["workloads"][number]>[];
  readonly secrets: readonly Given<MigrationSettings["secrets"][number]>[];
}
type Given<T> = { readonly [Key in keyof T]: T[Key] | pulumi.Input<Writable<T[Key]>> };
type Writable<T> = T extends readonly (infer Item)[] ? pulumi.Input<Item>[] : T;

/** Namespace of the Jobs; undefined without Jobs. */
export function namespaceOf({ namespace, source, target }: MigrationArgs): pulumi.Input<string> | undefined {
  return namespace ?? target.cluster?.namespace ?? source.cluster?.namespace;
}

function serverSettings(
  server: MigrationServerArgs,
  kind: ServerSettings["kind"],
  isInCluster: boolean,
  namespace: pulumi.Input<string> | undefined,
): GivenServer {
  const { address, ca, caSecret, cluster, host, password, passwordSecret } = server;
  const own = cluster?.namespace;
  const isElsewhere = isInCluster && typeof own === "string" && typeof namespace === "string" && own !== namespace;
  const isNamed = isInCluster && cluster !== undefined && !isElsewhere;
  return {
    kind,
    hasRuntime:
      (host === undefined || host.databaseUser !== undefined) && (cluster === undefined || cluster.verbs !== undefined),
    isElsewhere,
    isInSecret: passwordSecret !== undefined || caSecret !== undefined,
    // A deferred address exists: its text is read when a server is queried.
    address: typeof address === "string" ? address : address === undefined ? undefined : "later",
    port: server.port,
    user: server.user,
    database: server.database,
    sslMode: server.sslMode,
    lacksSuperuser:
      isNamed && password === undefined && passwordSecret === undefined ? isRefused(cluster.superuserAccess) : false,
    hasPassword: password !== undefined || passwordSecret !== undefined || isNamed,
    hasCa: ca !== undefined || caSecret !== undefined || isNamed,
  };
}

function isRefused(superuserAccess: pulumi.Input<boolean> | undefined): pulumi.Input<boolean> {
  if (superuserAccess === undefined || typeof superuserAccess === "boolean") return superuserAccess === false;
  return pulumi.output(superuserAccess).apply((known) => !known);
}

/** Includes the final address, and the port and account of a host's own server. */
export function knownServer(
  server: MigrationServerArgs,
  settings: pulumi.Output<MigrationSettings>,
  side: "source" | "target",
): pulumi.Output<KnownServer> {
  const own = server.address === undefined ? server.host?.server : undefined;
  return pulumi
    .all([addressOf(server), settings, pulumi.output(own)])
    .apply(([address, known, listening]): KnownServer => {
      const { port = listening?.port, user = listening?.user } = known[side];
      return { address, settings: { ...known[side], port, user } };
    });
}

function addressOf({ address, cluster, host }: MigrationServerArgs): pulumi.Output<string> {
  if (address !== undefined) return pulumi.output(address);
  if (cluster !== undefined) return pulumi.interpolate`${cluster.clusterName}-rw.${cluster.namespace}`;
  return pulumi.output(host?.server).apply((server) => server?.socketDirectory ?? "/var/run/postgresql");
}

/** Passwords and certificates given as values, by their file names. */
export function serverFiles({ source, target }: MigrationArgs): Record<string, pulumi.Input<string>> {
  return given({
    [SERVER_FILES.source.password]: source.password,
    [SERVER_FILES.source.ca]: source.ca,
    [SERVER_FILES.target.password]: target.password,
    [SERVER_FILES.target.ca]: target.ca,
  }) as Record<string, pulumi.Input<string>>;
}

/**
 * The same for Jobs, which also read Secrets: sources of a projected volume.
 * @param secretName of those given as values
 */
export function serverSources(
  args: MigrationArgs,
  settings: MigrationSettings,
  secretName: string,
): pulumi.Output<object[]> {
  const names = Object.keys(serverFiles(args));
  const named = (["source", "target"] as const).flatMap((side) => {
    const { ca, password } = secretRefs(args[side], settings[side]);
    const files = SERVER_FILES[side];
    const mayBeGone = side === "source" ? (args.sourceStopped ?? false) : false;
    return [...refSource(password, files.password, mayBeGone), ...refSource(ca, files.ca, mayBeGone)];
  });
  const own =
    names.length === 0
      ? []
      : [pulumi.output({ secret: { name: secretName, items: names.map((name) => ({ key: name, path: name })) } })];
  return pulumi.all<object>([...own, ...named]);
}

function secretRefs(
  server: MigrationServerArgs,
  settings: ServerSettings,
): { readonly password?: KeyRef; readonly ca?: KeyRef } {
  const { ca, caSecret, cluster, password, passwordSecret } = server;
  const named = (suffix: string, key: string): KeyRef | undefined =>
    cluster === undefined || settings.isElsewhere
      ? undefined
      : { name: pulumi.interpolate`${cluster.clusterName}-${suffix}`, key };
  const passwordRef = password === undefined ? (passwordSecret ?? named("superuser", "password")) : undefined;
  const caRef = ca === undefined ? (caSecret ?? named("ca", "ca.crt")) : undefined;
  return given({ password: passwordRef, ca: caRef });
}

function refSource(ref: KeyRef | undefined, path: string, mayBeGone: pulumi.Input<boolean>): pulumi.Output<object>[] {
  if (ref === undefined) return [];
  return [
    pulumi.all([ref.name, ref.key, mayBeGone]).apply(([name, key, isOptional]) => ({
      secret: { name, ...(isOptional ? { optional: true } : {}), items: [{ key, path }] },
    })),
  ];
}
