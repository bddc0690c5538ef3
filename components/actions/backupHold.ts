/** A backup that must stay, as part of a program. */
import * as pulumi from "@pulumi/pulumi";
import type { ClusterAccess, ClusterVerbs } from "../databases/cnpgArgs";
import type { HostAccess } from "../databases/hostAccess";
import { childName, renderedName, triggeredName, typeToken } from "../internal/children";
import { declareKubernetes } from "../internal/kubernetesObjects";
import { checkedArguments } from "../internal/validate";
import { objectName } from "../plan/schedule/declaredDrills";
import { HOLD_SECONDS, type HoldJobSpec, withOptions } from "../render/kubernetes/holdJob";
import { MANAGED_BY } from "../render/kubernetes/objects";
import { runOnHost } from "./runOnHost";

/** Exactly one of `host` and `cluster`. */
export interface BackupHoldArgs {
  /** `access` of a PostgresHost. */
  host?: HostAccess;
  /** `access` of a CnpgCluster or a CnpgBackup with engine runtime. */
  cluster?: ClusterAccess;
  /** Label of the backup: `label` of a BackupNow, or one that `info` lists. @example "20261231-020000F" */
  backup: pulumi.Input<string>;
  /** Why it must stay, on one line of up to 500 characters. @example "audit 2026" */
  reason: pulumi.Input<string>;
  /** Last day in UTC, or a time. If omitted, only the verb `release` ends the hold. @example "2027-12-31" */
  until?: pulumi.Input<string>;
}

/**
 * Keeps a backup and what it needs from retention, `expire` and `stanza-delete`, in every repository that has it: the
 * verb `hold`. A changed reason or end replaces the note; another `backup` is held too. The update fails if no
 * repository has the backup.
 *
 * On a host it is a `remote.Command` or `local.Command` of `@pulumi/command` over the host's declared connection; in
 * Kubernetes it is a Job, which repeats a failure for a minute, because a running backup excludes it. Destroying it
 * leaves the hold, so that no destroy costs the backup: `release` ends it.
 *
 * `new BackupHold("audit", { host: db.access, backup: "20261231-020000F", reason: "audit 2026" });`
 */
export class BackupHold extends pulumi.ComponentResource {
  /** What was held, in which repositories; for a cluster, the command that shows it. */
  public readonly report: pulumi.Output<string>;

  constructor(name: string, args: BackupHoldArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = checkedArguments("BackupHold", name, args, { kept: (each) => [each.cluster] });
    checkDatabase(name, own);
    super(typeToken("BackupHold"), name, {}, opts);
    const { cluster, host } = own;
    const scope = { name, parent: this, hold: [own.backup, own.reason, own.until ?? ""] };
    this.report =
      host !== undefined
        ? onHost(scope, host)
        : cluster?.verbs !== undefined
          ? inCluster(scope, cluster, cluster.verbs)
          : pulumi.output("");
    this.registerOutputs({ report: this.report });
  }
}

function checkDatabase(name: string, { cluster, host }: BackupHoldArgs): void {
  const wrong = (propertyPath: string, reason: string): never => {
    throw new pulumi.InputPropertyError({ propertyPath, reason: `BackupHold ${name}: ${reason}` });
  };
  if ((host === undefined) === (cluster === undefined)) wrong("host", "give the access of either a host or a cluster");
  if (cluster !== undefined && cluster.verbs === undefined)
    wrong("cluster", "its engine cannot hold backups: only engine runtime can");
}

interface HoldScope {
  readonly name: string;
  readonly parent: pulumi.Resource;
  /** Label, reason and end. */
  readonly hold: pulumi.Input<string>[];
}

function optionsOf([set, reason, until]: readonly string[]): string[] {
  return [`--set=${set}`, `--reason=${reason}`, ...(until === "" ? [] : [`--until=${until}`])];
}

function onHost({ name, parent, hold }: HoldScope, host: HostAccess): pulumi.Output<string> {
  return runOnHost(
    childName(name, "command"),
    {
      host,
      account: host.user,
      runs: pulumi
        .all([host.runtimeArgv, pulumi.all(hold)])
        .apply(([argv, known]) => [[...argv, "--log-level-console=info", "hold", ...optionsOf(known)]]),
      what: "hold the backup",
      limitSeconds: HOLD_SECONDS,
      triggers: hold,
    },
    { parent },
  ).report;
}

function inCluster(
  { name, parent, hold }: HoldScope,
  { clusterName, namespace }: ClusterAccess,
  { hold: spec }: ClusterVerbs,
): pulumi.Output<string> {
  const objectNamed = pulumi
    .all([clusterName, pulumi.all(hold)])
    .apply(([cluster, known]) => objectName(triggeredName(`${cluster}-${name}`, known)));
  const own = pulumi
    .all([spec, pulumi.all(hold)])
    .apply(([job, known]) => withOptions(job as HoldJobSpec, optionsOf(known)));
  // The next update repeats a failed Job.
  const annotations = { "pulumi.com/replaceUnready": "true" };
  const metadata = { name: objectNamed, namespace, labels: MANAGED_BY, annotations };
  const object = { apiVersion: "batch/v1", kind: "Job", metadata, spec: own };
  const options = {
    parent,
    // A Job never changes. Another hold has another name; one that comes back has its first name.
    ignoreChanges: ["spec"],
    deleteBeforeReplace: true,
    customTimeouts: { create: `${HOLD_SECONDS}s` },
  };
  declareKubernetes(renderedName(name, "job"), object, options);
  return pulumi.interpolate`kubectl logs -n ${namespace} job/${objectNamed}`;
}
