/** A one-time backup, as part of an update. */
import { checkedArguments } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import type { BackupTarget, ClusterAccess } from "../databases/cnpgArgs";
import type { HostAccess } from "../databases/hostAccess";
import { BACKUP_ENDS } from "../dynamic/clusterBackup";
import { ClusterBackupEnd } from "../dynamic/clusterBackupEnd";
import { childName, renderedName, triggeredName, typeToken } from "../internal/children";
import { declareKubernetes } from "../internal/kubernetesObjects";
import { findRepoIndex } from "../plan/model/defaults";
import { CNPG } from "../render/kubernetes/clusterObjects";
import { MANAGED_BY } from "../render/kubernetes/objects";
import { runOnHost } from "./runOnHost";

/** Kinds of backup. */
export const BackupKind = {
  Full: "full",
  Diff: "diff",
  Incr: "incr",
  /** A snapshot of the volumes, for clusters with `snapshots` alongside the engine. Retention never removes it. */
  Snapshot: "snapshot",
} as const;
export type BackupKind = (typeof BackupKind)[keyof typeof BackupKind];

const CLUSTER_MINUTES = 60;
const HOST_MINUTES = 1440;

/** Exactly one of `host` and `cluster`. */
export interface BackupNowArgs {
  /** `access` of a PostgresHost. */
  host?: HostAccess;
  /** `access` of a CnpgCluster or a CnpgBackup. */
  cluster?: ClusterAccess;
  /** Kind of the backup. @default "full" @plain how many backups there are */
  type?: BackupKind;
  /**
   * Keys of the repositories, one backup after the other. If omitted, all of them; in one pass with engine runtime.
   * @example ["repo2"]
   * @plain how many backups there are
   */
  repositories?: string[];
  /** For a cluster: the instance that the backup reads. If omitted, the cluster's `backupTarget`. */
  target?: pulumi.Input<BackupTarget>;
  /**
   * Values that take another backup when they change: a version, a digest, the output of another resource. If omitted,
   * there is one backup.
   * @example [schemaVersion]
   */
  triggers?: pulumi.Input<string>[];
  /**
   * How long the update waits for each backup. A failed one ends the update immediately, with its own error. If
   * omitted, 60 for a cluster and 1440 for a host.
   * @plain how long the engine waits for a resource
   * @minimum 1
   */
  timeoutMinutes?: number;
}

/**
 * Takes a backup when it is created, and another one whenever a trigger changes: before a migration, after an upgrade.
 *
 * On a host it is a `remote.Command` or `local.Command` of `@pulumi/command` that runs the host's own runtime over the
 * host's declared connection; in Kubernetes it is a CloudNativePG `Backup`. The update shows its progress, waits for
 * it, and fails with it. Neither its command line nor its output contains a secret. Destroying it removes nothing:
 * retention decides how long the backup stays.
 *
 * `new BackupNow("before-v2", { host: db.access, triggers: [schemaVersion] }, { dependsOn: [stopWrites] });`
 */
export class BackupNow extends pulumi.ComponentResource {
  /** Label of the backup; of the last one if there are several. */
  public readonly label: pulumi.Output<string>;

  constructor(name: string, args: BackupNowArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = checkedArguments("BackupNow", name, args, { kept: (each) => [each.cluster] });
    const { host, cluster, repositories = [], triggers = [] } = own;
    const type = own.type ?? BackupKind.Full;
    checkArguments(name, own);
    super(typeToken("BackupNow"), name, { type, repositories }, opts);
    const scope: ActionScope = { name, parent: this, type, triggers };
    this.label =
      host !== undefined
        ? onHost(scope, host, repositories, own.timeoutMinutes ?? HOST_MINUTES)
        : cluster !== undefined
          ? inCluster(scope, cluster, own, own.timeoutMinutes ?? CLUSTER_MINUTES)
          : pulumi.output("");
    this.registerOutputs({ label: this.label });
  }
}

interface ActionScope {
  readonly name: string;
  readonly parent: pulumi.Resource;
  readonly type: BackupKind;
  readonly triggers: pulumi.Input<string>[];
}

function onHost(
  { name, parent, type, triggers }: ActionScope,
  host: HostAccess,
  repositories: readonly string[],
  timeoutMinutes: number,
): pulumi.Output<string> {
  const args = ["--log-level-console=info", "backup", `--type=${type}`];
  const runs =
    repositories.length === 0 ? [args] : repositories.map((key) => [...args, `--repo=${findRepoIndex(key) ?? 0}`]);
  return runOnHost(
    childName(name, "command"),
    {
      host,
      account: host.user,
      runs: pulumi.output(host.runtimeArgv).apply((argv) => runs.map((run) => [...argv, ...run])),
      what: `take the ${type} backup`,
      limitSeconds: timeoutMinutes * 60,
      triggers,
    },
    { parent },
  ).label;
}

type BackupResource = pulumi.CustomResource & {
  readonly metadata: pulumi.Output<{ readonly uid?: string }>;
  readonly status: pulumi.Output<
    { readonly backupId?: string; readonly error?: string; readonly phase?: string } | undefined
  >;
};

/** Matches the `status` of a Backup that has ended, successfully or not: JSONPath as of RFC 9535. */
const HAS_ENDED = `jsonpath={$[?(${BACKUP_ENDS.map((phase) => `@.phase == '${phase}'`).join(" || ")})]}`;

function inCluster(
  { name, parent, type, triggers }: ActionScope,
  cluster: ClusterAccess,
  { repositories, target }: Pick<BackupNowArgs, "repositories" | "target">,
  timeoutMinutes: number,
): pulumi.Output<string> {
  const { namespace, clusterName } = cluster;
  const wanted =
    repositories === undefined
      ? (cluster.backups[type] ?? [])
      : repositories.flatMap((key) => cluster.repositoryBackups?.[key]?.[type] ?? []);
  const runs = target === undefined ? wanted : wanted.map((spec) => ({ ...spec, target }));
  const ends: ClusterBackupEnd[] = [];
  for (const [index, spec] of runs.entries()) {
    const run = runs.length === 1 ? "backup" : `backup-${index + 1}`;
    // Another backup needs another name: nothing else of a Backup may change.
    const objectName = pulumi
      .all([clusterName, ...triggers])
      .apply(([owner, ...values]) => triggeredName(`${owner}-${name}-${run}`, values));
    const annotations = { "pulumi.com/waitFor": HAS_ENDED };
    const metadata = { name: objectName, namespace, labels: MANAGED_BY, annotations };
    const awaited = { apiVersion: CNPG, kind: "Backup", metadata, spec, status: undefined };
    const made = declareKubernetes(
      renderedName(name, run),
      awaited,
      // In sequence: a cluster takes one backup at a time.
      { parent, dependsOn: [...ends], customTimeouts: { create: `${timeoutMinutes}m` } },
    ) as BackupResource;
    const statusOf = (field: "backupId" | "error" | "phase"): pulumi.Output<string> =>
      made.status.apply((known) => known?.[field] ?? "");
    const uid = made.metadata.apply((known) => known.uid ?? "");
    const end = {
      namespace,
      backup: objectName,
      uid,
      phase: statusOf("phase"),
      error: statusOf("error"),
      backupId: statusOf("backupId"),
    };
    ends.push(new ClusterBackupEnd(renderedName(name, `${run}-end`), end, { parent }));
  }
  return pulumi.all(ends.map(({ label }) => label)).apply((labels) => labels.findLast((label) => label !== "") ?? "");
}

function checkArguments(
  name: string,
  { cluster, host, target, type = BackupKind.Full, repositories }: BackupNowArgs,
): void {
  const wrong = (propertyPath: string, reason: string): never => {
    throw new pulumi.InputPropertyError({ propertyPath, reason: `BackupNow ${name}: ${reason}` });
  };
  if ((host === undefined) === (cluster === undefined)) wrong("host", "give the access of either a host or a cluster");
  if (!Object.values(BackupKind).includes(type))
    wrong("type", `"${type}" is not one of ${Object.values(BackupKind).join(", ")}`);
  if (cluster !== undefined && cluster.backups[type] === undefined) {
    const possible = Object.keys(cluster.backups);
    const hint = type === BackupKind.Snapshot ? ": set snapshots of the cluster" : "";
    wrong(
      "type",
      possible.length === 0
        ? "the cluster has no repositories: give it some to take a backup"
        : `the cluster takes no ${type} backups, only ${possible.join(", ")}${hint}`,
    );
  }
  if (host !== undefined && type === BackupKind.Snapshot)
    wrong("type", "a snapshot needs a cluster; take full, diff or incr");
  if (host !== undefined && target !== undefined) wrong("target", "leave it out: it is for clusters");
  const known = Object.keys(cluster?.repositoryBackups ?? {});
  const stranger = cluster === undefined ? undefined : repositories?.find((key) => !known.includes(key));
  if (stranger !== undefined)
    wrong("repositories", `"${stranger}" is not a repository of the cluster: ${known.join(", ")}`);
  if (repositories !== undefined && type === BackupKind.Snapshot)
    wrong("repositories", "leave it out: a snapshot stays in the cluster's storage");
  for (const key of repositories ?? []) {
    if (findRepoIndex(key) === null) wrong("repositories", `"${key}" is not a repository key: use repo1 to repo256`);
  }
  if (repositories?.length === 0) wrong("repositories", "the list is empty: leave it out for all repositories");
}
