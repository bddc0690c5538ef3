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
import { fields, merged } from "../../plan/model/deferred";
import { policyWithBinding } from "./admissionPolicy";
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

/**
 * Two policies. The first one holds the account to the names of its drills; it needs no other object. The second one
 * compares with production. The API server looks for production before it looks at the account, and refuses the request
 * of everybody when it is absent: so it matches the names of the drills only.
 * @param names of the drills' Clusters
 */
export function renderDrillPolicy(
  database: ClusterDatabasePlan,
  account: () => string,
  names: () => readonly string[],
): RenderedObject[] {
  const namespace = (): string => database.namespace;
  const isAccount = fields({
    name: () => "drill-account",
    expression: () => `request.userInfo.username == 'system:serviceaccount:${database.namespace}:${account()}'`,
  });
  const clusters = { apiGroups: ["postgresql.cnpg.io"], apiVersions: ["*"], resources: ["clusters"] };
  const common = { failurePolicy: "Fail", matchConditions: [isAccount] };
  const scope = merged(
    { ...common, matchConstraints: { resourceRules: [{ ...clusters, operations: ["CREATE", "UPDATE"] }] } },
    fields({ validations: () => scopeRules(database, names) }),
  );
  const policy = {
    ...common,
    paramKind: { apiVersion: "postgresql.cnpg.io/v1", kind: "Cluster" },
    matchConstraints: {
      namespaceSelector: { matchLabels: fields({ "kubernetes.io/metadata.name": namespace }) },
      resourceRules: [merged({ ...clusters, operations: ["CREATE"] }, fields({ resourceNames: names }))],
    },
    variables: VARIABLES,
    validations: RULES,
  };
  const paramRef = fields({ name: () => database.cluster, namespace, parameterNotFoundAction: () => "Deny" });
  // Unique for this cluster: a namespace has no dots.
  const named = (beginning: string) => (): string => `${beginning}.${database.namespace}.${database.cluster}`;
  return [
    ...policyWithBinding("drill-scope", named("pgbackstop-drill-scope"), account, scope, {}),
    ...policyWithBinding("drill-policy", named("pgbackstop-drill"), account, policy, { paramRef }),
  ];
}

interface Rule {
  readonly expression: string;
  readonly message: string;
}

/** Untyped: by its schema a Cluster has fields, and no keys that could be enumerated. */
const VARIABLES = [
  { name: "made", expression: "dyn(object.spec)" },
  { name: "production", expression: "dyn(params.spec)" },
  {
    name: "archive",
    expression: `variables.production.?plugins.orValue([]).filter(p, p.name == '${PLUGIN_NAME}').map(p, p.?parameters.orValue({}))`,
  },
];

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
