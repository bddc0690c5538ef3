/**
 * A lab for tests that apply what components declare: the plugin as `CnpgPlugin` declares it, and two S3 servers as the
 * Services `first` and `second`. The second repository of every cluster is encrypted.
 */
import { expect } from "vitest";
import type { ClusterBackupArgs } from "../../../components/databases/cnpgArgs";
import type { LabParts } from "../../../tools/parts/kubernetes/kubernetesPrograms";
import type { RunResult } from "../../../tools/parts/process";
import type { S3Server } from "../../../tools/parts/servers/s3Server";
import { type BackupStatus, endedBackup, endSegment, installPlugin, pluginObjects, sqlIn } from "./clusterCalls";
import type { KubernetesObject } from "./kubectl";
import { type Lab, OPERATOR_NAMESPACE, startLab } from "./lab";
import type { ImageDouble } from "./procklet/config";
import { renderedObjects } from "./rendered";
import { createStores, exposeStores, repositoryIn, segmentsOf } from "./stores";

export const PASSPHRASE = "a passphrase of the second one";
/** After three failures on a busy machine, PostgreSQL's archiver pauses for a minute. */
const ARCHIVE_LIMIT_SECONDS = 180;

export interface ComponentLabOptions {
  /** Default: the operator's namespace. */
  readonly pluginNamespace?: string;
  /** Instead of a new server `first`; the lab removes it. */
  readonly first?: S3Server;
  /** Doubles of further images. */
  readonly images?: readonly ImageDouble[];
}

export interface ComponentLab {
  readonly lab: Lab;
  readonly first: S3Server;
  readonly second: S3Server;
  /** Both repositories, below `path`. */
  repositoriesAt(path: string): ClusterBackupArgs["repositories"];
  /** Arguments that every cluster here shares, with its archive below `path`. */
  common(path: string): ClusterBackupArgs;
  /** Applies the objects that a program declares. */
  declare(program: () => unknown): Promise<readonly KubernetesObject[]>;
  /** @throws Error with PostgreSQL's message */
  sql(pod: string, text: string, database?: string): Promise<string>;
  /** Runs a command of ours in a pod's sidecar. */
  verb(pod: string, ...args: readonly string[]): Promise<RunResult>;
  /** `check`, which must find that both repositories get a new segment. @throws AssertionError with what it printed */
  check(pod: string): Promise<void>;
  /** Removes the plugin from one namespace and installs it in another. */
  movePlugin(from: string, to: string): Promise<void>;
  /** Waits until a cluster's first backup has ended. */
  firstBackup(cluster: string): Promise<BackupStatus>;
  /** Names of complete segments in a bucket below `path`. */
  segmentsOf(server: S3Server, path: string): readonly string[];
  /** Ends the current segment in a writable pod. Returns its name, which gets archived no matter who ended it. */
  endSegment(pod: string, database?: string): Promise<string>;
  /** Waits until both buckets hold a segment. @param timeoutMs for each; default: 180 seconds */
  awaitSegment(path: string, name: string, timeoutMs?: number): Promise<void>;
  stop(): Promise<void>;
}

/** @param name of the folder of logs */
export async function startComponentLab(
  parts: LabParts,
  name: string,
  options: ComponentLabOptions = {},
): Promise<ComponentLab> {
  const [first] = options.first === undefined ? ((await createStores("first")) as [S3Server]) : [options.first];
  const [second] = (await createStores("second")) as [S3Server];
  const lab = await startLab(parts, { name, ...(options.images === undefined ? {} : { images: options.images }) });
  await exposeStores(lab, [first, second]);
  await installPlugin(lab, options.pluginNamespace ?? OPERATOR_NAMESPACE);

  // Schedule backups half a day away: tests count backups and must not see scheduled ones.
  const hour = (new Date().getUTCHours() + 12) % 24;
  const repositoriesAt = (path: string): ClusterBackupArgs["repositories"] => ({
    repo1: repositoryIn(first, path, 14),
    repo2: repositoryIn(second, path, 90, PASSPHRASE),
  });
  const verb: ComponentLab["verb"] = (pod, ...args) =>
    lab.kubectl.exec(pod, "plugin-pgbackstop", ["/pgbackstop/run/pgbackstop", ...args]);
  return {
    lab,
    first,
    second,
    repositoriesAt,
    common: (path) => ({
      namespace: "default",
      operatorVersion: "1.30.0",
      repositories: repositoriesAt(path),
      schedules: { full: { cron: `0 ${hour} * * 0` }, incr: { cron: `0 ${hour} * * 1-6` } },
      objectives: { rpoSeconds: 90 },
      archiveTimeoutSeconds: 5,
      // Nothing here waits for the Job.
      firstBackupTimeoutMinutes: 0,
      silence: { PB007: "no drill here", PB030: "no off-site copy here", PB042: "no encryption in the first one" },
    }),
    declare: async (program) => lab.kubectl.apply(await renderedObjects(() => void program())),
    sql: (pod, text, database) => sqlIn(lab, pod, text, database),
    verb,
    check: async (pod) => {
      const { exitCode, stdout, stderr } = await verb(pod, "check", `--archive-timeout=${ARCHIVE_LIMIT_SECONDS}`);
      const printed = `${stdout}${stderr}`;
      expect(printed).not.toContain("ERROR");
      expect(exitCode, printed).toBe(0);
    },
    movePlugin: async (from, to) => {
      const there = (await pluginObjects(from)) as KubernetesObject[];
      for (const object of there)
        await lab.kubectl.runOk(["delete", object.kind, object.metadata.name, "-n", from, "--ignore-not-found"]);
      await installPlugin(lab, to);
    },
    firstBackup: (cluster) => endedBackup(lab, cluster),
    segmentsOf,
    endSegment: (pod, database) => endSegment(lab, pod, database),
    awaitSegment: async (path, segment, timeoutMs = ARCHIVE_LIMIT_SECONDS * 1000) => {
      for (const server of [first, second])
        await expect.poll(() => segmentsOf(server, path), { timeout: timeoutMs }).toContain(segment);
    },
    stop: async () => {
      await lab.stop();
      await first.remove();
      await second.remove();
    },
  };
}
