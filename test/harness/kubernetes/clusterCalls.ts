/** What tests of clusters in a lab ask and wait for, whatever archives there. */
import { expect } from "vitest";
import { CnpgPlugin } from "../../../components/databases/cnpgPlugin";
import type { KubernetesObject } from "./kubectl";
import type { Lab } from "./lab";
import { renderedObjects } from "./rendered";

export const CLUSTERS = "clusters.postgresql.cnpg.io";
export const BACKUPS = "backups.postgresql.cnpg.io";
const ENDED = /^(completed|failed)$/;

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

export function pluginObjects(operatorNamespace: string): Promise<readonly object[]> {
  return renderedObjects(() => void new CnpgPlugin("pgbackstop", { operatorNamespace }));
}

/** The plugin of this package, as its component declares it. Waits until it is available. */
export async function installPlugin({ kubectl }: Lab, namespace: string): Promise<void> {
  await kubectl.apply(await pluginObjects(namespace));
  await kubectl.runOk(["rollout", "status", "deployment/pgbackstop", "-n", namespace, "--timeout=120s"], { timeoutMs: 130_000 });
}

/** @throws Error with what PostgreSQL said */
export async function sqlIn({ kubectl }: Lab, pod: string, text: string, database = "app"): Promise<string> {
  const result = await kubectl.exec(pod, "postgres", ["psql", "-XAtd", database, "-c", text]);
  if (result.exitCode !== 0) throw new Error(result.stderr);
  return result.stdout.trim();
}

/** Waits until a cluster has a Backup that has ended, well or not: the first one of the list. */
export async function endedBackup({ kubectl }: Lab, cluster: string): Promise<BackupStatus> {
  const ended = async (): Promise<BackupObject | undefined> =>
    (await kubectl.list<BackupObject>(BACKUPS, "default")).find(
      ({ spec, status }) => spec.cluster.name === cluster && ENDED.test(status?.phase ?? ""),
    );
  await expect.poll(ended, { timeout: 180_000 }).toBeDefined();
  return (await ended())?.status ?? {};
}

/** The same for a Backup by its name. */
export async function backupResult({ kubectl }: Lab, name: string): Promise<BackupStatus> {
  const { status = {} } = await kubectl.waitUntil<BackupObject>({ kind: BACKUPS, name }, (object) => ENDED.test(object.status?.phase ?? ""));
  return status;
}
