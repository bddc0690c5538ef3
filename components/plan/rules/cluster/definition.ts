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
import { itemPath, type SettledItems } from "../../cluster/overriddenItems";
import type { ClusterDatabasePlan } from "../../model/plan";
import { parseCron, schedulePath } from "../../schedule/schedule";
import { merged, readOr } from "../../model/deferred";
import { compareVersions, isOlder } from "../../../../runtime/config/compareVersions";
import { abstaining, eachOf } from "../../findings/abstain";
import { checkBootstrap } from "./bootstrap";
import { checkRepositories, checkStockOptions } from "./clusterRepositories";
import { checkPlacement } from "../placement";
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
/**
 * Parameters that the operator or this package sets, mapped to the argument that decides; empty if no argument can
 * change it.
 */
const FIXED_PARAMETERS: Readonly<Record<string, string>> = {
  archive_timeout: "archiveTimeoutSeconds",
  archive_command: "",
  archive_mode: "",
  archive_library: "",
  restore_command: "",
  shared_preload_libraries: "sharedPreloadLibraries",
};
/** Ends of the names of a Cluster's own Services. The operator leaves a Pooler alone whose Service is not its own. */
const OWN_SERVICES: readonly string[] = ["rw", "ro", "r"];
/** The oldest version of CloudNativePG that the tests run. */
const OPERATOR_VERSION = "1.28";
/** The first version that restarts the primary in place when an archiver is added. */
const ATTACH_VERSION = "1.29.2";
/** The first version whose image catalogs have images of extensions. */
const CATALOG_VERSION = "1.29.0";

/** @param attached to a Cluster that others made */
export function checkClusterDefinition(resolved: ClusterPlan, attached: boolean): Finding[] {
  return abstaining(
    () => checkNames(resolved),
    () => checkStanza("stanza", resolved.database.stanza),
    () =>
      resolved.definition.contradictions.map(({ fact, path }) =>
        finding("PB200", path, fact, "leave one of the two out"),
      ),
    () => checkOperator(resolved, attached),
    ...(attached ? [() => checkReplacement(resolved)] : imageRules(resolved)),
    () => checkParameters(resolved),
    () => checkPlacement(resolved),
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
  );
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
    () => checkTablespaceNames(definition),
    () => checkRoles(definition),
    () => checkOverriddenPoolers(definition),
    () => checkExtensions({ database, definition }),
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

/** Items of `spec` and overrides too, once they are known. */
function itemsOf<Name extends keyof SettledItems>(
  definition: ClusterDefinition,
  name: Name,
): ClusterDefinition["settled"][Name] {
  const own: ClusterDefinition["settled"] = definition;
  return readOr(() => definition.settled[name], own[name]);
}

/** The operator's webhook refuses others. */
function checkTablespaceNames(definition: ClusterDefinition): Finding[] {
  const names = Object.keys(itemsOf(definition, "tablespaces"));
  return names.flatMap((name, index): Finding[] => {
    const path = itemPath(definition.tablespaces, "tablespaces", name);
    if (name.startsWith("pg_"))
      return [finding("PB110", path, `"${name}" begins with pg_, which PostgreSQL reserves`, "use another name")];
    if (!/^[A-Za-z_][A-Za-z0-9_$]*$/.test(name) || name.length > LABEL_LENGTH_MAX) {
      const fact = `"${name}" is not a name for a tablespace`;
      const hint = `use letters, digits, _ and $, with a letter or _ first, at most ${LABEL_LENGTH_MAX}`;
      return [finding("PB110", path, fact, hint)];
    }
    const other = names.slice(0, index).find((each) => each.toLowerCase() === name.toLowerCase());
    if (other === undefined) return [];
    return [finding("PB110", path, `"${name}" and "${other}" are one name to the operator`, "rename one of them")];
  });
}

/** Volumes are named after them, with hyphens for underscores. From CloudNativePG 1.29 on, a catalog has images too. */
function checkExtensions({ database, definition }: Pick<ClusterPlan, "database" | "definition">): Finding[] {
  const extensions = itemsOf(definition, "extensions");
  const names = Object.keys(extensions);
  const volumeOf = (name: string): string => name.replaceAll("_", "-");
  const hasCatalog = (): boolean =>
    definition.imageCatalog !== undefined &&
    (database.operatorVersion === undefined || !isOlder(database.operatorVersion, CATALOG_VERSION));
  return eachOf(names, (name) => {
    const path = itemPath(definition.extensions, "extensions", name);
    if (!NAME.test(volumeOf(name))) {
      const fact = `"${name}" cannot be part of a volume's name`;
      return [finding("PB110", path, fact, "use lower-case letters, digits, hyphens and underscores")];
    }
    const other = names.slice(0, names.indexOf(name)).find((each) => volumeOf(each) === volumeOf(name));
    if (other !== undefined)
      return [finding("PB110", path, `"${name}" and "${other}" would be one volume`, "rename one of them")];
    if (extensions[name]?.image !== undefined || hasCatalog()) return [];
    const hint = `set it, or name in imageCatalog a catalog with it (CloudNativePG ${CATALOG_VERSION})`;
    return [finding("PB118", `${path}.image`, "the extension has no image", hint)];
  });
}

/** The operator's webhook refuses these. */
function checkRoles(definition: ClusterDefinition): Finding[] {
  const roles = itemsOf(definition, "roles");
  return eachOf(Object.keys(roles), (name) => {
    const path = itemPath(definition.roles, "roles", name);
    if (/^(postgres|streaming_replica|(pg|cnpg)_.*)$/s.test(name)) {
      const fact = `the role "${name}" belongs to PostgreSQL or the operator`;
      return [finding("PB110", path, fact, "use another name")];
    }
    if (roles[name]?.disablePassword !== true || roles[name].passwordSecret === undefined) return [];
    const fact = "passwordSecret sets a password, and this removes it";
    return [finding("PB210", `${path}.disablePassword`, fact, "leave one of the two out")];
  });
}

function checkOverriddenPoolers({ overrides, poolers }: ClusterDefinition): Finding[] {
  return Object.keys(overrides.poolers ?? {}).flatMap((name) => {
    if (poolers.some((pooler) => pooler.name === name)) return [];
    return [finding("PB190", `overrides.poolers.${name}`, `there is no pooler ${name}`, "use a name in poolers")];
  });
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
  return [finding("PB219", "dumps", fact, "set superuserAccess: true, or silence this")];
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
      if (definition.imageCatalog === undefined || definition.image === undefined) return [];
      const fact = "image and imageCatalog are both given: the API server refuses the Cluster";
      return wrong("imageCatalog", fact, "leave one of them out");
    },
    () => {
      const { postgresVersion } = definition;
      if (!SUPPORTED_MAJORS.includes(postgresVersion)) {
        const fact = `the runtime does not support version ${postgresVersion}`;
        return wrong("postgresVersion", fact, `use one of ${SUPPORTED_MAJORS.join(", ")}`);
      }
      if (definition.imageCatalog !== undefined || definition.image !== undefined) return [];
      const hint = `set image or imageCatalog to one whose tag begins with ${postgresVersion}`;
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

function checkParameters({ definition }: ClusterPlan): Finding[] {
  return Object.keys(definition.parameters)
    .sort()
    .flatMap((name) => {
      const argument = FIXED_PARAMETERS[name];
      if (argument === undefined) return [];
      const fact =
        argument === ""
          ? `${name} belongs to CloudNativePG, which refuses the cluster`
          : `${name} is decided by ${argument}`;
      return [finding("PB113", `parameters.${name}`, fact, argument === "" ? "remove it" : `set ${argument}`)];
    });
}

function checkSchedules({ database, definition, schedules }: ClusterPlan): Finding[] {
  if (isHibernated(definition)) {
    const fact = "the cluster is hibernated, and so its schedules are suspended: no backup is taken";
    return [finding("PB092", "annotations", fact, "remove cnpg.io/hibernation to wake the cluster and its schedules")];
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
