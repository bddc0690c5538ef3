/** Calls and waits shared by tests of clusters in a lab, for any archiver. */
import { expect } from "vitest";
import { CnpgPlugin } from "../../../components/databases/cnpgPlugin";
import { conditionOf, type KubernetesObject } from "./kubectl";
import type { Lab } from "./lab";
import { renderedObjects } from "./rendered";

export const CLUSTERS = "clusters.postgresql.cnpg.io";
export const BACKUPS = "backups.postgresql.cnpg.io";
const ENDED = /^(completed|failed)$/;
/** The phase of a Backup that has not started. */
const WAITS = /^(pending)?$/;
/**
 * The operator fails a Backup if the instance did not answer the last status request in time or its pod was not ready
 * at that moment, as on a busy machine.
 */
const UNREACHED = /no status found for target pod|target pod \S+ is not healthy for backup/;
/** A look costs little. Each hurry ends a segment, which both repositories then store. */
const LOOKS_BEFORE_HURRY = 6;
/** Time limit for a backup on a busy machine. */
const BACKUP_MS = 300_000;

export interface BackupStatus {
  readonly phase?: string;
  readonly error?: string;
  readonly beginWal?: string;
  readonly pluginMetadata?: Readonly<Record<string, string>>;
}

interface BackupObject extends KubernetesObject {
  readonly spec: { readonly cluster: { readonly name: string } };
  readonly status?: BackupStatus;
}

interface ClusterObject extends KubernetesObject {
  readonly status?: { readonly currentPrimary?: string };
}

export function pluginObjects(operatorNamespace: string): Promise<readonly object[]> {
  return renderedObjects(() => void new CnpgPlugin("pgbackstop", { operatorNamespace }));
}

/** Installs this package's plugin as its component declares it, and waits until it is available. */
export async function installPlugin({ kubectl }: Lab, namespace: string): Promise<void> {
  await kubectl.apply(await pluginObjects(namespace));
  await kubectl.runOk(["rollout", "status", "deployment/pgbackstop", "-n", namespace, "--timeout=120s"], {
    timeoutMs: 130_000,
  });
}

/** @throws Error with PostgreSQL's message */
export async function sqlIn({ kubectl }: Lab, pod: string, text: string, database = "app"): Promise<string> {
  const result = await kubectl.exec(pod, "postgres", ["psql", "-XAtd", database, "-c", text]);
  if (result.exitCode !== 0) throw new Error(result.stderr);
  return result.stdout.trim();
}

/**
 * Ends the current WAL segment.
 *
 * @returns the segment's name, which gets archived no matter who ended it. The result of `pg_switch_wal` is unsuitable:
 * if `archive_timeout` was faster, it names an empty segment that nobody archives.
 */
export async function endSegment(lab: Lab, pod: string, database?: string): Promise<string> {
  const output = await sqlIn(
    lab,
    pod,
    "select pg_walfile_name(pg_create_restore_point('the end')); select pg_switch_wal()",
    database,
  );
  return output.split("\n")[0] ?? "";
}

/** Waits until a cluster has a completed or failed Backup: the first in the list that reached its instance. */
export async function endedBackup(lab: Lab, cluster: string, namespace = "default"): Promise<BackupStatus> {
  return hurried(lab, namespace, async () => {
    const backups = (await lab.kubectl.list<BackupObject>(BACKUPS, namespace)).filter(
      ({ spec }) => spec.cluster.name === cluster,
    );
    const reached = backups.filter(({ status }) => !UNREACHED.test(status?.error ?? ""));
    if (reached.length === 0) await Promise.all(backups.map((backup) => repeatBackup(lab, backup)));
    return reached.find(({ status }) => ENDED.test(status?.phase ?? ""));
  });
}

/** Repeats a Backup as its owner would, because the operator never does. */
async function repeatBackup(
  { kubectl }: Lab,
  { apiVersion, kind, metadata: { name, namespace = "default" }, spec }: BackupObject,
): Promise<void> {
  await kubectl.apply([{ apiVersion, kind, metadata: { name: `${name}-again`, namespace }, spec }]);
}

/** Like {@link endedBackup}, for a Backup by name. */
export function backupResult(
  lab: Lab,
  name: string,
  namespace = "default",
  timeoutMs = BACKUP_MS,
): Promise<BackupStatus> {
  const look = async (): Promise<BackupObject | null | undefined> => {
    const result = await lab.kubectl.find<BackupObject>(BACKUPS, name, namespace);
    return ENDED.test(result?.status?.phase ?? "") ? result : undefined;
  };
  return hurried(lab, namespace, look, timeoutMs);
}

async function hurried(
  lab: Lab,
  namespace: string,
  look: () => Promise<BackupObject | null | undefined>,
  timeoutMs = BACKUP_MS,
): Promise<BackupStatus> {
  let result: BackupObject | null | undefined;
  let looks = 0;
  const isEnded = async (): Promise<boolean> => {
    result = await look();
    if (!result && looks++ % LOOKS_BEFORE_HURRY === 0) await hurryBackups(lab, namespace);
    return Boolean(result);
  };
  await expect.poll(isEnded, { timeout: timeoutMs, interval: 500, message: "a Backup that has ended" }).toBe(true);
  return result?.status ?? {};
}

/**
 * Removes the waits of a quiet lab. The operator revisits a Backup that was declared with its Cluster only after 30
 * seconds, unless someone changes it. Without writes no segment ends: a backup from a standby waits for one and gives
 * up after a minute.
 */
export async function hurryBackups({ kubectl }: Lab, namespace: string): Promise<void> {
  const clusters = (await kubectl.list<ClusterObject>(CLUSTERS, namespace)).filter(
    (cluster) => conditionOf(cluster, "Ready")?.status === "True",
  );
  const isReady = ({ spec }: BackupObject): boolean =>
    clusters.some(({ metadata }) => metadata.name === spec.cluster.name);
  for (const backup of await kubectl.list<BackupObject>(BACKUPS, namespace)) {
    if (!isReady(backup) || !WAITS.test(backup.status?.phase ?? "")) continue;
    await kubectl.run([
      "annotate",
      BACKUPS,
      backup.metadata.name,
      "-n",
      namespace,
      "--overwrite",
      `test/touched=${Date.now()}`,
    ]);
  }
  // End the segment now: after a clean restart, PostgreSQL's checkpointer may sleep past archive_timeout until its next
  // checkpoint, minutes later. A replica cluster accepts no writes. It waits for the segment of its source.
  for (const { status } of clusters)
    await kubectl.exec(
      status?.currentPrimary ?? "",
      "postgres",
      ["psql", "-XAtqc", "select pg_create_restore_point('a write'), pg_switch_wal()"],
      namespace,
    );
}
