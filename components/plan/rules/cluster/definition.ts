/**
 * A CloudNativePG cluster apart from its backups, and the backup settings that only CloudNativePG cannot support. Pure.
 */
import { secretKeyOf } from "../../../../runtime/cnpg/names";
import { checkRange } from "../../arguments/ranges";
import { type ClusterDefinition, type ClusterPlan, isHibernated, runsInPods } from "../../cluster/clusterPlan";
import { DEFAULTS } from "../../model/defaults";
import { engineOf } from "../../engines/engines";
import { type Finding, finding } from "../../findings/findings";
import { majorOf, SUPPORTED_MAJORS } from "../../cluster/images";
import { amountOf } from "../../cluster/quantity";
import type { ClusterDatabasePlan } from "../../model/plan";
import { parseCron, schedulePath } from "../../schedule/schedule";
import { merged } from "../../model/deferred";
import { compareVersions, isOlder } from "../../../../runtime/config/compareVersions";
import { abstaining, eachOf } from "../../findings/abstain";
import { checkBootstrap } from "./bootstrap";
import { checkRepositories, checkStockOptions } from "./clusterRepositories";
import { checkUnknownFields } from "./unknownFields";
import { checkUnused } from "./unusedArguments";
import { checkSupervised } from "./supervised";
import { checkTime } from "../schedules";
import { checkClusterSynchronous } from "../synchronous";
import { checkStanza } from "../values";
import { checkVolumeSnapshots } from "../volumeSnapshots";

/** CloudNativePG's limit: names of pods and Services derive from it. */
const CLUSTER_NAME_LENGTH_MAX = 50;
const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const NAME_HINT = "use lower-case letters, digits and hyphens";
/** Maximum length of the name of a namespace or Service, and of an identifier of PostgreSQL. */
const LABEL_LENGTH_MAX = 63;
/** Ends of the names of a Cluster's own Services. The operator leaves a Pooler alone whose Service is not its own. */
const OWN_SERVICES: readonly string[] = ["rw", "ro", "r"];
/** The oldest version of CloudNativePG that the tests run. */
const OPERATOR_VERSION = "1.28";
/** The first version that restarts the primary in place when an archiver is added. */
const ATTACH_VERSION = "1.29.2";

/** @param attached to a Cluster that others made */
export function checkClusterDefinition(resolved: ClusterPlan, attached: boolean): Finding[] {
  return abstaining(
    () => checkNames(resolved),
    () => checkStanza("stanza", resolved.database.stanza),
    () =>
      resolved.definition.saidTwice.map(({ argument, path }) =>
        finding("PB200", path, `${argument} says this field, too`, "leave one of the two out"),
      ),
    () => checkUnknownFields(resolved.definition),
    ...(attached ? [] : [() => checkStorage(resolved.definition)]),
    () => checkOperator(resolved, attached),
    ...(attached ? [() => checkReplacement(resolved)] : imageRules(resolved)),
    () => checkParameters(resolved),
    () => checkSupervised(resolved),
    () => checkBootstrap(resolved),
    () => checkRepositories(resolved),
    () => checkStockOptions(resolved),
    () => checkSchedules(resolved),
    () => checkWorkers(resolved),
    () => checkSidecar(resolved),
    () => checkSnapshots(resolved),
    () => checkVolumeSnapshots(resolved, attached),
    () => checkClusterSynchronous(resolved, attached),
    () => checkMonitors(resolved),
    () => checkDrillPolicy(resolved),
    () => checkClusterDumps(resolved, attached),
    () => checkFirstBackup(resolved),
    () => checkStale(resolved),
    () => checkUnused(resolved),
  );
}

/** What `spec` says of it as `pvcTemplate` is a size, too. */
function checkStorage({ spec, storage }: ClusterDefinition): Finding[] {
  if (storage !== undefined || "storage" in spec) return [];
  const hint = "set it, or take it from the source cluster: like: orders.like";
  return [finding("PB118", "storageGiB", "it is missing", hint)];
}

function checkNames({ database, definition }: ClusterPlan): Finding[] {
  return abstaining(
    () => {
      const { cluster } = database;
      // Services are named after it, and such a name begins with a letter.
      if (/^[a-z]/.test(cluster) && NAME.test(cluster) && cluster.length <= CLUSTER_NAME_LENGTH_MAX) return [];
      const fact = `"${cluster}" is not a name for a Cluster: use lower-case letters, digits and hyphens, with a letter first, at most ${CLUSTER_NAME_LENGTH_MAX}`;
      return [finding("PB110", "clusterName", fact, "set clusterName")];
    },
    () => {
      const { namespace } = database;
      if (NAME.test(namespace) && namespace.length <= LABEL_LENGTH_MAX) return [];
      const hint = "write it as kubectl get namespaces prints it";
      return [finding("PB110", "namespace", `"${namespace}" is not a namespace name`, hint)];
    },
    () => eachOf(definition.poolers, ({ name }) => checkPoolerName(name, database)),
  );
}

function checkPoolerName(name: string, database: ClusterDatabasePlan): Finding[] {
  const path = `poolers.${name}`;
  if (!NAME.test(name)) return [finding("PB110", path, `"${name}" cannot be part of an object's name`, NAME_HINT)];
  const whole = `${database.cluster}-${name}`;
  if (OWN_SERVICES.includes(name)) {
    const fact = `"${whole}" is the name of the Cluster's own Service: the operator would never set up the Pooler`;
    return [finding("PB110", path, fact, "use another name, for instance web")];
  }
  if (whole.length <= LABEL_LENGTH_MAX) return [];
  const fact = `"${whole}" is too long for a Service: at most ${LABEL_LENGTH_MAX} characters`;
  return [finding("PB110", path, fact, "use a shorter name")];
}

function checkDrillPolicy({ database, definition }: ClusterPlan): Finding[] {
  if (definition.drillPolicy || !engineOf(database.engine).own) return [];
  const made = [
    ...(database.drills.some(({ elsewhere }) => elsewhere !== true) ? [["drill", "Cluster"]] : []),
    ...(database.dumps === undefined ? [] : [["dump", "pod"]]),
  ];
  return made.map(([of, kind]) => {
    const fact = `the account ${database.cluster}-${of} may create any ${kind} in its namespace, with any image and any Secret of it`;
    return finding("PB141", "drillPolicy", fact, "leave drillPolicy out, or keep nothing else in this namespace");
  });
}

/** What only a cluster's dumps need. */
function checkClusterDumps({ database, definition }: ClusterPlan, attached: boolean): Finding[] {
  if (database.dumps === undefined || !engineOf(database.engine).own) return [];
  const refused = (fact: string, hint: string): Finding[] => [finding("PB218", "dumps", fact, hint)];
  if (database.withoutBackups === true) return refused("there is no repository for them", "set repositories");
  if (database.isReplica === true)
    return refused("the roles of a replica cluster are those of its source", "dump the source, or leave dumps out");
  if (attached || definition.superuserAccess) return [];
  const fact =
    "without the superuser they have no passwords of roles, and only the databases of the application's role";
  return [finding("PB219", "dumps", fact, "set spec.enableSuperuserAccess: true, or silence this")];
}

function checkFirstBackup({ database, definition }: ClusterPlan): Finding[] {
  const minutes = definition.firstBackupTimeoutMinutes;
  const outside = checkRange("ClusterBackupArgs.firstBackupTimeoutMinutes", "firstBackupTimeoutMinutes", minutes);
  if (outside.length > 0) return outside;
  if (minutes === 0 || engineOf(database.engine).own) return [];
  const fact = `an update cannot wait for the backups of engine "${database.engine}"`;
  return [finding("PB014", "firstBackupTimeoutMinutes", fact, "leave it out")];
}

function checkStale({ database, definition }: ClusterPlan): Finding[] {
  const { staleCheck } = definition;
  if (staleCheck === undefined) return [];
  if (!engineOf(database.engine).own) {
    const fact = `engine ${database.engine} has no verb that reads the repositories`;
    return [finding("PB044", "staleCheck", fact, 'leave it out, or use engine "runtime"')];
  }
  const limits = { name: "stale", jitterSeconds: 0, deadlineSeconds: DEFAULTS.deadlineSeconds };
  return abstaining(
    () => checkTime(merged(staleCheck, limits), "staleCheck"),
    () => {
      if (definition.notifySecret !== undefined) return [];
      return [finding("PB180", "staleCheck", "it only logs what is too old, in its Job", "set notifySecret")];
    },
  );
}

function checkMonitors({ database, definition }: ClusterPlan): Finding[] {
  const { prometheusRule, reportPassword } = definition.monitors;
  return abstaining(
    () => {
      if (!prometheusRule || engineOf(database.engine).own) return [];
      const fact = `engine "${database.engine}" has no pgbackstop metrics: the PrometheusRule would be empty`;
      const hint = "leave it out, and write rules on cnpg_collector_… and the engine's metrics";
      return [finding("PB131", "monitoring.prometheusRule", fact, hint)];
    },
    () => {
      if (reportPassword === undefined || engineOf(database.engine).own) return [];
      const fact = `engine "${database.engine}" has no sidecar that serves the report`;
      return [finding("PB044", "monitoring.reportPassword", fact, 'leave it out, or use engine "runtime"')];
    },
    () => {
      // The plugin makes no pod with other names.
      if (reportPassword === undefined || secretKeyOf(`${reportPassword.name}/${reportPassword.key}`) !== null)
        return [];
      const fact = `"${reportPassword.name}" and "${reportPassword.key}" are not the names of a Secret and its key`;
      return [finding("PB110", "monitoring.reportPassword", fact, "write them as kubectl describe secret prints them")];
    },
  );
}

function imageRules({ database, definition }: ClusterPlan): (() => Finding[])[] {
  const wrong = (path: string, fact: string, hint: string): Finding[] => [finding("PB111", path, fact, hint)];
  return [
    () => {
      const { postgresVersion } = definition;
      if (!SUPPORTED_MAJORS.includes(postgresVersion)) {
        const fact = `the runtime does not support version ${postgresVersion}`;
        return wrong("postgresVersion", fact, `use one of ${SUPPORTED_MAJORS.join(", ")}`);
      }
      if (definition.image !== undefined || !definition.isDefaultImage) return [];
      const hint = `set image to one whose tag begins with ${postgresVersion}, or spec.imageCatalogRef`;
      return wrong("postgresVersion", `this package has no image of version ${postgresVersion}`, hint);
    },
    () => {
      const { image } = definition;
      if (image === undefined) return [];
      const major = majorOf(image);
      if (major === null) {
        const fact = `the tag of "${image}" does not begin with a major version: the operator refuses it`;
        return wrong("image", fact, "use a tag such as 18.6-standard-trixie, followed by its digest");
      }
      if (database.postgresVersion === undefined || major === database.postgresVersion) return [];
      const fact = `the image has version ${major}, but postgresVersion is ${database.postgresVersion}`;
      return wrong("image", fact, "leave one of them out");
    },
  ];
}

function checkReplacement({ database, definition }: ClusterPlan): Finding[] {
  const engine = engineOf(database.engine);
  if (!definition.replacesBarmanObjectStore || engine.own) return [];
  const fact = `the runtime makes that change, and ${engine.title} does not bring it`;
  const hint =
    'use engine "runtime", or change the Cluster by hand (docs/kubernetes/engines.md, From barmanObjectStore)';
  return [finding("PB044", "replaceBarmanObjectStore", fact, hint)];
}

/**
 * Operators before 1.29.2 start a switchover to an instance that cannot have the archiver's sidecar yet, and wait
 * forever.
 */
function checkOperator({ database: { operatorVersion } }: ClusterPlan, attached: boolean): Finding[] {
  if (operatorVersion === undefined) return [];
  const wrong = (fact: string, hint: string): Finding[] => [finding("PB112", "operatorVersion", fact, hint)];
  if (compareVersions(operatorVersion, OPERATOR_VERSION) === null)
    return wrong(`"${operatorVersion}" is not a version of CloudNativePG`, 'write for instance "1.30.0"');
  if (isOlder(operatorVersion, OPERATOR_VERSION)) {
    const fact = `operator ${operatorVersion} is older than ${OPERATOR_VERSION}, the oldest that is supported`;
    return wrong(fact, "update the operator first");
  }
  if (!attached || !isOlder(operatorVersion, ATTACH_VERSION)) return [];
  const fact = `operator ${operatorVersion} cannot add an archiver to a running cluster: its switchover waits forever for WAL to be archived (cloudnative-pg#10981)`;
  return wrong(fact, `update the operator to ${ATTACH_VERSION} or newer first`);
}

/** The operator's webhook refuses the parameters that it decides itself. */
function checkParameters({ definition }: ClusterPlan): Finding[] {
  if (!("archive_timeout" in definition.parameters)) return [];
  const argument = "archiveTimeoutSeconds";
  return [
    finding("PB113", "parameters.archive_timeout", `archive_timeout is decided by ${argument}`, `set ${argument}`),
  ];
}

function checkSchedules({ database, definition, schedules }: ClusterPlan): Finding[] {
  if (isHibernated(definition)) {
    const fact = "the cluster is hibernated, and so its schedules are suspended: no backup is taken";
    return [
      finding(
        "PB092",
        "metadata.annotations",
        fact,
        "remove cnpg.io/hibernation to wake the cluster and its schedules",
      ),
    ];
  }
  return eachOf(database.schedules, (schedule) => {
    const path = schedulePath(schedule);
    return abstaining(
      () => {
        if (schedule.jitterSeconds === DEFAULTS.jitterSeconds) return [];
        const hint = "leave it out, and spread the schedules' minutes";
        return [finding("PB044", `${path}.jitterSeconds`, "CloudNativePG starts each backup exactly on time", hint)];
      },
      () => {
        if (schedule.deadlineSeconds === DEFAULTS.deadlineSeconds) return [];
        return [finding("PB044", `${path}.deadlineSeconds`, "CloudNativePG never stops a backup", "leave it out")];
      },
      () => {
        const target = schedules[schedule.name]?.target ?? "primary";
        if (target === "primary" || engineOf(database.engine).fromStandby) return [];
        const fact = `${engineOf(database.engine).title} takes backups of the primary only`;
        return [finding("PB050", `${path}.target`, fact, 'leave it out, or use engine "runtime"')];
      },
      () => {
        if (schedules[schedule.name]?.suspend !== true) return [];
        const fact = "the schedule is suspended: no backup is taken";
        return [finding("PB092", `${path}.suspend`, fact, "remove suspend, or the schedule")];
      },
    );
  });
}

/** Quantities that nothing would read are refused, and those with which Kubernetes starts no pod. */
function checkSidecar({ database: { engine }, definition }: ClusterPlan): Finding[] {
  const { plugin, stock } = engineOf(engine);
  if (plugin !== null && !(stock && definition.stanzaKind === "Repository"))
    return (["cpu", "memory"] as const).flatMap((request) => checkLimit(definition.sidecar, request));
  if (Object.values(definition.sidecarResources).every((quantity) => quantity === undefined)) return [];
  const fact = stock
    ? "Dalibo's plugin before 0.0.1 has no setting for its sidecars"
    : `engine ${engine} runs no sidecar`;
  return [finding("PB044", "sidecar", fact, "leave it out")];
}

function checkLimit(sidecar: ClusterDefinition["sidecar"], request: "cpu" | "memory"): Finding[] {
  const path = `${request}Limit` as const;
  const [requested, limit] = [sidecar[request], sidecar[path]];
  if (requested === undefined || limit === undefined) return [];
  const [needed, allowed] = [amountOf(requested), amountOf(limit)];
  if (needed === null || allowed === null || allowed >= needed) return [];
  const fact = `${limit} is below the request of ${requested}: Kubernetes starts no pod of the cluster`;
  return [finding("PB014", `sidecar.${path}`, fact, `set it to ${requested} or more, or lower sidecar.${request}`)];
}

function checkWorkers(resolved: ClusterPlan): Finding[] {
  const { processMax } = resolved.definition;
  if (processMax !== 1 && !runsInPods(resolved)) {
    const fact = `engine ${resolved.database.engine} has no setting for workers`;
    return [finding("PB044", "processMax", fact, 'leave it out, or use engine "runtime"')];
  }
  return checkRange("ClusterBackupArgs.processMax", "processMax", processMax);
}

/** Cold snapshots shut the instance down, and losing the cluster's storage loses them. */
function checkSnapshots({ database, schedules, definition }: ClusterPlan): Finding[] {
  const { snapshots } = definition;
  const isEngine = engineOf(database.engine).snapshots;
  return abstaining(
    () => {
      if (!isEngine) return [];
      const fact =
        "volume snapshots without a WAL archive: only the times of the snapshots can be restored, later changes are lost";
      return [finding("PB095", "engine", fact, 'use engine "runtime" with snapshots beside it')];
    },
    () => {
      const cron = snapshots?.cron;
      if (cron === undefined) return [];
      if (isEngine) {
        const fact = "engine volumeSnapshot takes snapshots by schedules";
        return [finding("PB115", "snapshots.cron", fact, "use schedules.full")];
      }
      const parsed = parseCron(cron);
      if (parsed.ok) return [];
      return [finding("PB011", "snapshots.cron", parsed.reason, 'write for instance "0 5 * * *"')];
    },
    () => {
      if (snapshots?.online !== false) return [];
      const isOfPrimary =
        database.backupTarget === "primary" ||
        (isEngine && Object.values(schedules).some((schedule) => schedule?.target === "primary"));
      const { instances } = database;
      if (!isOfPrimary && instances >= 2) return [];
      const fact = `a cold snapshot of ${instances < 2 ? "the only instance" : "the primary"} shuts the database down until it ends`;
      if (snapshots.acceptDowntime === true) return [finding("PB093", "snapshots.online", fact, "")];
      const hint = "leave online out, add a standby, or set acceptDowntime: true";
      return [finding("PB115", "snapshots.online", fact, hint)];
    },
  );
}
