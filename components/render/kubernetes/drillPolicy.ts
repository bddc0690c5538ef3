/**
 * Limits the objects that the account of a cluster's drills may create. Kubernetes cannot restrict the creation of a
 * Cluster by name, and an account that may create any Cluster may run any image and mount any Secret of the namespace.
 * A ValidatingAdmissionPolicy compares the account's requests with production's current Cluster, so that a new image of
 * production needs no update here. It applies to this account's requests only. Pure.
 *
 * Fields: CloudNativePG 1.30. Fields that its schema and its webhook fill in are allowed with any value, since
 * production may have another one.
 */
import { PLUGIN_NAME } from "../../../runtime/cnpg/names";
import type { ClusterDatabasePlan } from "../../plan/model/plan";
import { fields } from "../../plan/model/deferred";
import { PRODUCTION_VARIABLES, renderCreationPolicies, type Rule } from "./admissionPolicy";
import type { RenderedObject } from "./objects";

/** Fields of `spec`: they name no Secret and no image, or have a separate rule below. */
const FREE = [
  "affinity",
  "bootstrap",
  "description",
  "enablePDB",
  "enableSuperuserAccess",
  "externalClusters",
  "failoverDelay",
  "instances",
  "livenessProbeTimeout",
  "logLevel",
  "maxSyncReplicas",
  "minSyncReplicas",
  "monitoring",
  "plugins",
  "postgresql",
  "primaryUpdateMethod",
  "primaryUpdateStrategy",
  "probes",
  "replicationSlots",
  "resources",
  "smartShutdownTimeout",
  "startDelay",
  "stopDelay",
  "storage",
  "switchoverDelay",
  "tablespaces",
  "walStorage",
];
/**
 * Fields of `spec`: forbidden even with production's values. They name production's Secrets, archive in its name, or
 * inject into a pod.
 */
const NEVER = [
  "backup",
  "certificates",
  "env",
  "envFrom",
  "managed",
  "projectedVolumeTemplate",
  "replica",
  "serviceAccountName",
  "superuserSecret",
];
const FREE_OF_RECOVERY = ["database", "owner", "recoveryTarget", "source"];
const FREE_OF_POSTGRESQL = ["parameters", "shared_preload_libraries", "syncReplicaElectionConstraint"];
const FREE_OF_STORAGE = ["resizeInUseVolumes", "size"];
/** Parameters that a drill adds to production's archiving parameters. */
const FREE_OF_PLUGIN = ["newestWal", "repo"];

/** @param names of the drills' Clusters */
export function renderDrillPolicy(
  database: ClusterDatabasePlan,
  account: () => string,
  names: () => readonly string[],
): RenderedObject[] {
  return renderCreationPolicies(database, {
    work: "drill",
    account,
    resource: { apiGroups: ["postgresql.cnpg.io"], apiVersions: ["*"], resources: ["clusters"] },
    operations: ["CREATE", "UPDATE"],
    names,
    scopeRules: () => scopeRules(database, names),
    variables: [{ name: "made", expression: "dyn(object.spec)" }, ...PRODUCTION_VARIABLES],
    rules: RULES,
  });
}

function scopeRules(database: ClusterDatabasePlan, names: () => readonly string[]): Rule[] {
  return [
    fields({
      expression: () => `request.namespace == '${database.namespace}' && object.metadata.name in ${listOf(names())}`,
      message: () => `a drill makes Clusters of these names in namespace ${database.namespace}: ${names().join(", ")}`,
    }),
    // The other policy matches names that the request has, not names that the API server makes.
    { expression: "!has(object.metadata.generateName)", message: "a drill names its Cluster" },
    { expression: "request.operation == 'CREATE'", message: "a drill changes no Cluster" },
  ];
}

const RULES: readonly Rule[] = [
  {
    // cnpg.io/podPatch alone could inject anything into its pods.
    expression: "!object.metadata.?annotations.orValue({}).exists(k, k.contains('cnpg.io/'))",
    message: "a drill makes Clusters without annotations of CloudNativePG",
  },
  {
    expression: `variables.made.all(k, k in ${listOf(FREE)} || (!(k in ${listOf(NEVER)}) && ${sameAs("variables.made", "variables.production")}))`,
    message: "the Cluster of a drill has image, pods and volumes as production's, and names none of its Secrets",
  },
  {
    expression: `variables.made.bootstrap.all(k, k == 'recovery') && variables.made.bootstrap.recovery.all(k, k in ${listOf(FREE_OF_RECOVERY)})`,
    message: "the Cluster of a drill is recovered from the source that it names",
  },
  {
    expression: `variables.made.?externalClusters.orValue([]).all(e, e.all(k, k in ['name', 'plugin']) && e.plugin.name == '${PLUGIN_NAME}' && variables.archive.exists(a, e.plugin.parameters.all(k, k in ${listOf(FREE_OF_PLUGIN)} || ${sameAs("e.plugin.parameters", "a")})))`,
    message: "the source of a drill is production's archive, with the same Secrets and image",
  },
  {
    // The operator adds those configured for all Clusters, without parameters.
    expression: "variables.made.?plugins.orValue([]).all(p, !has(p.parameters))",
    message: "the Cluster of a drill archives nowhere",
  },
  {
    expression: [
      storageRule("variables.made.storage", "variables.production.storage"),
      `(!has(variables.made.walStorage) || ${storageRule("variables.made.walStorage", "variables.production.walStorage")})`,
      `variables.made.?tablespaces.orValue([]).all(t, variables.production.?tablespaces.orValue([]).exists(p, p.name == t.name && ${storageRule("t.storage", "p.storage")}))`,
    ].join(" && "),
    message: "the volumes of a drill are made as production's, and begin empty where production's do",
  },
  {
    expression: `variables.made.?postgresql.orValue({}).all(k, k in ${listOf(FREE_OF_POSTGRESQL)} || (k != 'ldap' && ${sameAs("variables.made.postgresql", "variables.production.postgresql")}))`,
    message: "PostgreSQL of a drill has the extensions of production's, and its parameters",
  },
  {
    expression:
      "variables.made.?monitoring.?customQueriesSecret.orValue([]).all(s, s in variables.production.?monitoring.?customQueriesSecret.orValue([]))",
    message: "the Cluster of a drill names no other Secret of queries than production's",
  },
];

function storageRule(made: string, production: string): string {
  return `${made}.all(k, k in ${listOf(FREE_OF_STORAGE)} || ${sameAs(made, production)})`;
}

/** True for a key with equal values in both. */
function sameAs(made: string, production: string): string {
  return `(k in ${production} && ${made}[k] == ${production}[k])`;
}

/** A list of names without quotes. */
function listOf(names: readonly string[]): string {
  return `[${names.map((name) => `'${name}'`).join(", ")}]`;
}
