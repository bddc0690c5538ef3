/**
 * A lab with the plugin as `CnpgPlugin` declares it and two S3 servers as Services `first` and `second`: where tests apply what components
 * declare. The second repository of every cluster is encrypted.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { ClusterBackupArgs } from "../../../components/databases/cnpgArgs";
import { CnpgPlugin } from "../../../components/databases/cnpgPlugin";
import { S3CompatibleRepository } from "../../../components/repositories/s3CompatibleRepository";
import type { LabParts } from "../../../tools/parts/kubernetesPrograms";
import type { RunResult } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/s3Server";
import { s3Kind } from "../interopParts";
import type { KubernetesObject } from "./kubectl";
import { type Lab, OPERATOR_NAMESPACE, startLab } from "./lab";
import { renderedObjects } from "./rendered";

export const CLUSTERS = "clusters.postgresql.cnpg.io";
export const PASSPHRASE = "a passphrase of the second one";
const BACKUPS = "backups.postgresql.cnpg.io";

interface BackupObject extends KubernetesObject {
  readonly spec: { readonly cluster: { readonly name: string } };
  readonly status?: { readonly phase?: string; readonly error?: string };
}

export interface ComponentLabOptions {
  /** Default: the operator's. */
  readonly pluginNamespace?: string;
}

export interface ComponentLab {
  readonly lab: Lab;
  readonly first: S3Server;
  readonly second: S3Server;
  /** Both repositories below `path`. */
  places(path: string): ClusterBackupArgs["repositories"];
  /** What every cluster here has, with its archive below `path`. */
  common(path: string): ClusterBackupArgs;
  /** Applies what a program declares. */
  declare(program: () => unknown): Promise<readonly KubernetesObject[]>;
  /** @throws Error with what PostgreSQL said */
  sql(pod: string, text: string, database?: string): Promise<string>;
  /** A verb on the command line of a pod's sidecar. */
  verb(pod: string, ...words: readonly string[]): Promise<RunResult>;
  /** Takes the plugin out of one namespace and installs it in another. */
  movePlugin(from: string, to: string): Promise<void>;
  /** Waits until a cluster's first backup has ended; the error that it ended with. */
  firstBackup(cluster: string): Promise<string | undefined>;
  /** Names of whole segments in a bucket below `path`. */
  segmentsOf(server: S3Server, path: string): readonly string[];
  /** Waits until both buckets hold a segment. */
  awaitSegment(path: string, name: string): Promise<void>;
  stop(): Promise<void>;
}

/** @param name of the folder of logs */
export async function startComponentLab(parts: LabParts, name: string, options: ComponentLabOptions = {}): Promise<ComponentLab> {
  const kind = await s3Kind();
  const serverOf = (bucket: string): Promise<S3Server> => S3Server.create({ kind, bucket, moreNames: [`${bucket}.default.svc`] });
  const [first, second] = await Promise.all([serverOf("first"), serverOf("second")]);
  const lab = await startLab(parts, { name });
  for (const server of [first, second]) await lab.expose(server.bucket, server.port);
  await lab.kubectl.apply([first, second].map(authorityOf));
  const installPlugin = async (namespace: string): Promise<void> => {
    await lab.kubectl.apply(await pluginIn(namespace));
    await lab.kubectl.runOk(["rollout", "status", "deployment/pgbackstop", "-n", namespace, "--timeout=120s"], { timeoutMs: 130_000 });
  };
  await installPlugin(options.pluginNamespace ?? OPERATOR_NAMESPACE);

  const places = (path: string): ClusterBackupArgs["repositories"] => ({
    repo1: { at: bucketOf(first, path).target, keepDays: 14, ca: { name: "first-ca", key: "ca.crt" } },
    repo2: { at: bucketOf(second, path, PASSPHRASE).target, keepDays: 90, ca: { name: "second-ca", key: "ca.crt" } },
  });
  const segmentsOf = (server: S3Server, path: string): readonly string[] =>
    readdirSync(join(server.bucketPath, path, "archive"), { recursive: true, encoding: "utf8" })
      .flatMap((file) => /([0-9A-F]{24})-[0-9a-f]{40}/.exec(file)?.[1] ?? [])
      .sort();
  return {
    lab,
    first,
    second,
    places,
    common: (path) => ({
      namespace: "default",
      operatorVersion: "1.30.0",
      repositories: places(path),
      schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } },
      objectives: { rpoSeconds: 90 },
      archiveTimeoutSeconds: 5,
      silence: { PB007: "no drill here", PB030: "no off-site copy here", PB042: "no encryption in the first one" },
    }),
    declare: async (program) => lab.kubectl.apply(await renderedObjects(() => void program())),
    sql: async (pod, text, database = "app") => {
      const result = await lab.kubectl.exec(pod, "postgres", ["psql", "-XAtd", database, "-c", text]);
      if (result.exitCode !== 0) throw new Error(result.stderr);
      return result.stdout.trim();
    },
    verb: (pod, ...words) => lab.kubectl.exec(pod, "plugin-pgbackstop", ["/pgbackstop/run/pgbackstop", ...words]),
    movePlugin: async (from, to) => {
      const there = (await pluginIn(from)) as KubernetesObject[];
      for (const object of there) await lab.kubectl.runOk(["delete", object.kind, object.metadata.name, "-n", from, "--ignore-not-found"]);
      await installPlugin(to);
    },
    firstBackup: (cluster) => firstBackup(lab, cluster),
    segmentsOf,
    awaitSegment: async (path, segment) => {
      // PostgreSQL's archiver looks again after a minute at the latest, whatever it missed on a busy machine.
      for (const server of [first, second]) await expect.poll(() => segmentsOf(server, path), { timeout: 180_000 }).toContain(segment);
    },
    stop: async () => {
      await lab.stop();
      await first.remove();
      await second.remove();
    },
  };
}

function pluginIn(operatorNamespace: string): Promise<readonly object[]> {
  return renderedObjects(() => void new CnpgPlugin("pgbackstop", { operatorNamespace }));
}

function authorityOf(server: S3Server): object {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: `${server.bucket}-ca`, namespace: "default" },
    stringData: { "ca.crt": readFileSync(server.caFile, "utf8") },
  };
}

function bucketOf(server: S3Server, path: string, passphrase?: string): S3CompatibleRepository {
  return new S3CompatibleRepository(`${server.bucket}${path.replaceAll("/", "-")}`, {
    endpoint: `${server.bucket}.default.svc`,
    port: server.port,
    region: server.region,
    uriStyle: "path",
    path,
    bucket: { existing: { name: server.bucket, credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey } } },
    ...(passphrase === undefined ? {} : { cipher: { passphrase } }),
  });
}

async function firstBackup({ kubectl }: Lab, cluster: string): Promise<string | undefined> {
  const ended = async (): Promise<BackupObject | undefined> =>
    (await kubectl.list<BackupObject>(BACKUPS, "default")).find(
      ({ spec, status }) => spec.cluster.name === cluster && /^(completed|failed)$/.test(status?.phase ?? ""),
    );
  await expect.poll(ended, { timeout: 180_000 }).toBeDefined();
  return (await ended())?.status?.error;
}
