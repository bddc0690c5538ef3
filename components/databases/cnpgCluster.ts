/** A PostgreSQL cluster of CloudNativePG with its backups. */
import { given } from "../../runtime/base/given";
import { checkedArguments, throwErrors } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import { sharedByCluster, type SharedUses } from "./sharedUse";
import { drilledDatabase, warnUndrilled } from "../drills/drilled";
import type { DrilledDatabase } from "../drills/drillArgs";
import { renderedName, typeToken } from "../internal/children";
import { guardChildren } from "../internal/destroyGuard";
import { suffixed } from "../internal/inputs";
import {
  type ConfigMap,
  type CustomResource,
  leavesOf,
  type Secret,
  shownChild,
  shownChildren,
} from "../internal/kubernetesObjects";
import { applicationOf, applicationSecretOf, caSecretOf } from "../plan/cluster/secretNames";
import { type ArchiveRole, archiveRole } from "../plan/repositories/archiveUses";
import { type ClusterPlan, majorOfCluster } from "../plan/cluster/clusterPlan";
import { renderTopology, topologyOf } from "../plan/topology/topology";
import type { EngineContext } from "../render/engines/engine";
import { checkSpec, renderCluster } from "../render/kubernetes/clusterObjects";
import { FULL_BACKUP_ROLE, renderFullBackupGate } from "../render/kubernetes/fullBackupGate";
import type { RenderedObject } from "../render/kubernetes/objects";
import { recoverySource } from "../render/kubernetes/source";
import {
  type CheckedCluster,
  checkedCluster,
  clusterAccess,
  clusterHosts,
  clusterOutputs,
  declareObjects,
  deliverSecrets,
  destinationsOf,
  fullBackupOptions,
  openRepositories,
  openSettings,
  scheduleNamesOf,
  serviceHost,
  sourceOf,
} from "./clusterParts";
import type { ClusterAccess, ClusterLikeArgs, CnpgClusterArgs, RecoveryArgs } from "./cnpgArgs";
import { runtimeOf } from "./clusterRuntime";
import { keptTargets } from "../repositories/common";
import { readOr } from "../plan/model/deferred";

/**
 * A CloudNativePG cluster with its backup configuration, schedules, poolers and monitor.
 *
 * Creates a `Cluster`, for engine "runtime" two ConfigMaps, a Secret for each repository with given keys, a
 * `ScheduledBackup` for each schedule, and a `CronJob` with its account if snapshots have a retention. The Cluster is
 * protected: a destroy is refused before anything of it is deleted. Set `{ protect: false }` and run an update before
 * destroying it; its repositories and backups stay.
 * Passwords that CloudNativePG keeps in Secrets (superuser, application) are in no backup.
 *
 * ```ts
 * const plugin = new CnpgPlugin("pgbackstop", {});
 * new CnpgCluster("orders", {
 *   namespace: "orders", plugin: plugin.ref, instances: 3, postgresVersion: 18, storageGiB: 50,
 *   repositories: { repo1: { at: b2.target, keepDays: 14 }, repo2: { at: r2.target, keepDays: 90 } },
 *   schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } },
 * });
 * ```
 */
export class CnpgCluster extends pulumi.ComponentResource {
  /** Name of the Cluster. Resolves when it exists. */
  public readonly clusterName: pulumi.Output<string>;
  /** Pass this to `BackupNow`. Resolves when the cluster exists. */
  public readonly access: ClusterAccess;
  /**
   * For a host that runs the drills declared with `elsewhere`: `new FireDrill("drills", { of: orders.drilled, … })`.
   */
  public readonly drilled: DrilledDatabase;
  /**
   * Location of its backups, for copies (`CnpgRestore`, replica clusters):
   * `{ like: orders.like, source: { ...orders.source, target } }`.
   */
  public readonly source: RecoveryArgs;
  /** What a copy needs to start: image, extensions, libraries, parameters and volumes. */
  public readonly like: ClusterLikeArgs;
  /** Name of the cluster in the repositories. */
  public readonly stanza: pulumi.Output<string>;
  /** JSON text of the topology of copies, for comparisons. */
  public readonly topology: pulumi.Output<string>;
  /** Keys of the repositories, ascending. */
  public readonly repositoryNames: pulumi.Output<string[]>;
  /** Host name for reading and writing, inside Kubernetes: the primary. */
  public readonly writeHost: pulumi.Output<string>;
  /** Host name of the standbys. */
  public readonly readOnlyHost: pulumi.Output<string>;
  /** Host name of any instance, for reading. */
  public readonly readHost: pulumi.Output<string>;
  /** Host name of each pooler, by its name in the arguments. */
  public readonly poolerHosts: pulumi.Output<{ [name: string]: string }>;
  /**
   * Name of the Secret with the application's `username`, `password`, `dbname` and `uri`. Empty if the bootstrap makes
   * none: an import of type monolith, a replica without `ownerSecret`.
   */
  public readonly applicationSecret: pulumi.Output<string>;
  /** Name of the Secret whose `ca.crt` verifies the server. */
  public readonly caSecret: pulumi.Output<string>;
  /** Names of the ScheduledBackups. */
  public readonly scheduleNames: pulumi.Output<string[]>;
  /**
   * JSON text of what each repository held when this update, or an earlier one, waited for full backups: its newest
   * full backup and its newest WAL segment, as `PostgresHost` has it. Empty with `firstBackupTimeoutMinutes: 0`.
   */
  public readonly destinations: pulumi.Output<string>;

  constructor(name: string, args: CnpgClusterArgs, opts?: pulumi.ComponentResourceOptions) {
    const { checked, own, shared } = PREPARED.get(args) ?? preparedCluster(name, args);
    const { derive, known } = checked;
    shared.refuse();
    super(typeToken("CnpgCluster"), name, { topology: derive(({ database }) => topologyOf(database)) }, opts);
    checked.warn(this);
    shared.judge(this);
    const recovery = own.bootstrap?.recovery;
    const cluster = derive(({ database }) => database.cluster);
    const stanza = derive(({ database }) => database.stanza);
    const scope = { title: `CnpgCluster ${name}`, name, cluster, namespace: own.namespace, parent: this };
    const delivered = deliverSecrets(scope, own.repositories);
    const source = deliverSecrets(
      { ...scope, name: renderedName(name, "source"), cluster: suffixed(cluster, "-source") },
      recovery?.repositories ?? {},
      { path: "bootstrap.recovery.repositories", role: "source-secret" },
    );
    const contents = [...delivered.contents, ...source.contents];
    const others = { runtime: runtimeOf(scope, known, own), pluginName: own.plugin?.name };
    const objects = declareObjects(
      { ...scope, contents },
      checked,
      { ...others, secrets: delivered.named, sourceSecrets: source.named },
      renderAll,
      (role, made) => ({
        ...(role === FULL_BACKUP_ROLE ? fullBackupOptions(checked, made) : { dependsOn: waitedFor(role, made) }),
        ...(role === "cluster" ? { protect: opts?.protect ?? true } : {}),
      }),
    );
    guardChildren(name, leavesOf([...contents, ...objects.values()]), this, opts?.protect ?? true);
    const inputs = { ...others, secrets: delivered.secrets, sourceSecrets: source.secrets };

    const made = objects.get("cluster");
    this.clusterName = made === undefined ? pulumi.output(cluster) : made.urn.apply(() => pulumi.output(cluster));
    this.drilled = drilledDatabase(name, own, (make) => derive(({ database }) => make(database)));
    warnUndrilled(this, this.drilled, known.database.silence);
    this.access = {
      ...clusterAccess(checked, inputs, own.namespace, this.clusterName),
      superuserAccess: derive(({ definition }) => definition.superuserAccess),
    };
    // An image without a version has been refused.
    const postgresVersion = derive(({ definition }) => majorOfCluster(definition) ?? undefined);
    const application = {
      database: derive((plan) => applicationOf(plan).database),
      owner: derive((plan) => applicationOf(plan).owner),
    };
    this.source = sourceOf(stanza, own, given({ postgresVersion, ...application }) as Partial<RecoveryArgs>);
    this.like = derive(({ definition }) => definition.like) as ClusterLikeArgs;
    this.stanza = pulumi.output(stanza);
    this.topology = checked.resolved.apply(({ database }) => renderTopology(topologyOf(database)));
    this.repositoryNames = pulumi.output(known.database.repositories.map((repository) => repository.name));
    const { read, readOnly, write } = clusterHosts(this.clusterName, own.namespace);
    [this.writeHost, this.readOnlyHost, this.readHost] = [write, readOnly, read];
    this.poolerHosts = poolerHosts(known.definition, objects, this.clusterName, own.namespace);
    const existing = (secret: pulumi.Input<string>): pulumi.Output<string> =>
      pulumi.all([this.clusterName, secret]).apply(([, secretName]) => secretName);
    this.applicationSecret = existing(derive(applicationSecretOf));
    this.caSecret = existing(derive(caSecretOf));
    this.scheduleNames = pulumi.output(cluster).apply((named) => scheduleNamesOf(named, objects));
    this.destinations = destinationsOf(objects);
    // The state has the topology among the inputs.
    this.registerOutputs(clusterOutputs(this, "poolerHosts", "applicationSecret", "caSecret"));
  }

  /** The Cluster. */
  public get cluster(): CustomResource {
    return shownChild(this, "cluster") as CustomResource;
  }

  /** The Poolers, by their names in `poolers`. */
  public get poolers(): { [name: string]: CustomResource } {
    return shownChildren(this, "pooler-");
  }

  /** The ScheduledBackups, by their schedules' names: `full`, `diff`, `incr`, and `snapshot`. */
  public get schedules(): { [name: string]: CustomResource } {
    return shownChildren(this, "schedule-");
  }

  /** The ConfigMap with the configuration of engine "runtime". */
  public get configMap(): ConfigMap | undefined {
    return shownChild(this, "config") as ConfigMap | undefined;
  }

  /** The Secrets created here, by their repositories' keys. */
  public get secrets(): { [repository: string]: Secret } {
    return shownChildren(this, "secret-");
  }

  /** The PodMonitor, with `monitoring.podMonitor`. */
  public get podMonitor(): CustomResource | undefined {
    return shownChild(this, "pod-monitor") as CustomResource | undefined;
  }

  /** The PrometheusRule, with `monitoring.prometheusRule`. */
  public get prometheusRule(): CustomResource | undefined {
    return shownChild(this, "prometheus-rule") as CustomResource | undefined;
  }

  /** Every object of this component by its role, such as `objects["drill-weekly"]` for the CronJob of that drill. */
  public get objects(): { [role: string]: pulumi.CustomResource } {
    return shownChildren(this, "");
  }
}

/** Targets of the cluster's own repositories, and of those that it comes from. */
function keptInCluster({ bootstrap, repositories }: CnpgClusterArgs): readonly unknown[] {
  return [...keptTargets({ repositories }), ...keptTargets(bootstrap?.recovery ?? {})];
}

/** A cluster before it is registered. */
interface PreparedCluster {
  readonly own: CnpgClusterArgs;
  readonly checked: CheckedCluster;
  readonly shared: SharedUses;
}

/** Clusters inside of other components, by their arguments. */
const PREPARED = new WeakMap<CnpgClusterArgs, PreparedCluster>();

/**
 * For a component that makes a cluster: refuses it before that component is registered itself.
 * @param args of this cluster alone
 * @throws InputPropertiesError
 */
export function prepareCluster(name: string, args: CnpgClusterArgs): void {
  const prepared = preparedCluster(name, args);
  prepared.shared.refuse();
  PREPARED.set(args, prepared);
}

/** @throws InputPropertiesError */
function preparedCluster(name: string, args: CnpgClusterArgs): PreparedCluster {
  const title = `CnpgCluster ${name}`;
  const own = checkedArguments("CnpgCluster", name, args, { kept: keptInCluster });
  const checked = checkedCluster(title, name, declaredCluster(own), false);
  return {
    own,
    checked,
    shared: sharedByCluster(title, own.repositories ?? {}, checked, roleOf(own)),
  };
}

function roleOf({ bootstrap }: CnpgClusterArgs): pulumi.Input<ArchiveRole> {
  const continued = bootstrap?.recovery?.continueArchive ?? false;
  return typeof continued === "boolean" ? archiveRole(continued) : pulumi.output(continued).apply(archiveRole);
}

/**
 * A Cluster finds all objects that it names; a schedule begins once the Cluster exists; the accounts of drills and
 * dumps have no rights before their policies exist.
 */
function waitedFor(role: string, made: ReadonlyMap<string, pulumi.Resource>): pulumi.Resource[] {
  if (role === "cluster") return [...made.values()];
  if (role.startsWith("schedule-") || role.startsWith("pooler-")) return clusterOf(made);
  const [, of] = /^(drill|dump)-binding$/.exec(role) ?? [];
  return [`${of}-scope-binding`, `${of}-policy-binding`].flatMap((policy) => made.get(policy) ?? []);
}

/** Host names of the Services of the Poolers, which have their names. */
function poolerHosts(
  { poolers }: ClusterPlan["definition"],
  made: ReadonlyMap<string, pulumi.Resource>,
  cluster: pulumi.Output<string>,
  namespace: pulumi.Input<string>,
): pulumi.Output<{ [name: string]: string }> {
  const hosts = poolers.map(({ name }): [string, pulumi.Output<string>] => {
    const exists = made.get(`pooler-${name}`)?.urn ?? "";
    return [name, pulumi.output(exists).apply(() => serviceHost(cluster, name, namespace))];
  });
  return pulumi.all(Object.fromEntries(hosts));
}

/** The arguments without secrets. */
function declaredCluster(args: CnpgClusterArgs): object {
  const recovery = args.bootstrap?.recovery;
  if (recovery === undefined) return openSettings(args);
  const open = { ...recovery, repositories: openRepositories(recovery.repositories) };
  return { ...openSettings(args), bootstrap: { ...args.bootstrap, recovery: open } };
}

function renderAll({ source }: ClusterPlan, context: EngineContext, sourceContext: EngineContext): RenderedObject[] {
  const from = source === null ? null : recoverySource(sourceContext, source);
  throwErrors(
    `CnpgCluster ${context.database.name}`,
    readOr(() => checkSpec(context, from), []),
  );
  return [...renderCluster(context, from), ...renderFullBackupGate(context)];
}

function clusterOf(made: ReadonlyMap<string, pulumi.Resource>): pulumi.Resource[] {
  const cluster = made.get("cluster");
  return cluster === undefined ? [] : [cluster];
}
