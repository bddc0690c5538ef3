/**
 * Limits the pods that the account of a cluster's dumps may create. Kubernetes cannot restrict the creation of a pod by
 * name, and an account that may create any pod may run any image and mount any Secret of the namespace. As for drills,
 * ValidatingAdmissionPolicies compare the account's requests with production's current Cluster. Pure.
 *
 * Within them it can use the cluster's own keys and credentials with the cluster's own images, as its pods do.
 */
import { dumpPodName } from "../../../runtime/cnpg/names";
import type { ClusterDatabasePlan } from "../../plan/model/plan";
import { PRODUCTION_VARIABLES, renderCreationPolicies, type Rule } from "./admissionPolicy";
import type { RenderedObject } from "./objects";

export function renderDumpPolicy(database: ClusterDatabasePlan): RenderedObject[] {
  const name = (): string => dumpPodName(database.cluster);
  return renderCreationPolicies(database, {
    work: "dump",
    account: name,
    resource: { apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] },
    operations: ["CREATE"],
    names: () => [name()],
    scopeRules: () => [
      {
        expression: `request.namespace == '${database.namespace}' && object.metadata.name == '${name()}'`,
        message: `a dump makes the pod ${name()} in namespace ${database.namespace}`,
      },
      // The other policy matches names that the request has, not names that the API server makes.
      { expression: "!has(object.metadata.generateName)", message: "a dump names its pod" },
    ],
    variables: VARIABLES,
    rules: RULES,
  });
}

/** Keys of the parameters that name one Secret, and those that name several: `FILE=secret/key,…`. */
const ONE_SECRET = "k.matches('^repo[0-9]+Secret$') || k == 'secretConf'";
const KEYS_OF_SECRETS = "k.matches('^repo[0-9]+SecretKeys$')";

const VARIABLES = [
  { name: "pod", expression: "dyn(object.spec)" },
  ...PRODUCTION_VARIABLES,
  { name: "status", expression: "dyn(dyn(params).?status.orValue({}))" },
  { name: "containers", expression: "variables.pod.containers + variables.pod.?initContainers.orValue([])" },
  {
    name: "images",
    expression:
      "[variables.status.?image.orValue(''), variables.production.?imageName.orValue('')] + variables.archive.map(a, a.?image.orValue('')) + variables.archive.map(a, a.?runtimeImage.orValue(''))",
  },
  {
    name: "extensions",
    expression:
      "(variables.production.?postgresql.?extensions.orValue([]) + variables.status.?pgDataImageInfo.?extensions.orValue([])).map(e, e.?image.?reference.orValue(''))",
  },
  {
    name: "own",
    expression: `[${[
      ...["app", "superuser", "ca"].map((end) => `dyn(params.metadata.name + '-${end}')`),
      "variables.production.?superuserSecret.?name.orValue('')",
      "variables.status.?certificates.?serverCASecret.orValue('')",
      ...["initdb", "recovery", "pg_basebackup"].map(
        (method) => `variables.production.?bootstrap.?${method}.?secret.?name.orValue('')`,
      ),
    ].join(", ")}]`,
  },
  {
    name: "secrets",
    expression:
      "variables.pod.?volumes.orValue([]).map(v, has(v.secret) ? [v.secret.secretName] : has(v.projected) ? v.projected.sources.map(s, s.?secret.?name.orValue('')) : [])",
  },
];

const RULES: readonly Rule[] = [
  {
    expression: "variables.containers.all(c, c.image in variables.images)",
    message: "the pod of a dump has the images of production's Cluster",
  },
  {
    expression: `variables.secrets.all(l, l.all(s, s != '' && (s in variables.own || variables.archive.exists(a, a.exists(k, ((${ONE_SECRET}) && a[k] == s) || (${KEYS_OF_SECRETS} && a[k].split(',').exists(e, e.contains('=' + s + '/'))))))))`,
    message: "the pod of a dump mounts the Secrets of production's Cluster",
  },
  {
    expression:
      "variables.pod.?volumes.orValue([]).all(v, v.all(k, k in ['name', 'configMap', 'emptyDir', 'image', 'persistentVolumeClaim', 'projected', 'secret']) && (!has(v.projected) || v.projected.sources.all(s, s.all(k, k == 'secret'))) && (!has(v.image) || v.image.reference in variables.extensions) && (!has(v.persistentVolumeClaim) || variables.archive.exists(a, v.persistentVolumeClaim.claimName in a.?claims.orValue('').split(','))))",
    message: "the volumes of a dump's pod are those of production's repositories and extensions",
  },
  {
    expression: "variables.containers.all(c, !has(c.envFrom) && c.?env.orValue([]).all(e, !has(e.valueFrom)))",
    message: "the pod of a dump has no variables of Secrets",
  },
  {
    expression:
      "variables.pod.?serviceAccountName.orValue('default') == 'default' && variables.pod.?automountServiceAccountToken.orValue(true) == false",
    message: "the pod of a dump has no account",
  },
  {
    expression:
      "['hostNetwork', 'hostPID', 'hostIPC'].all(k, !(k in variables.pod) || variables.pod[k] == false) && variables.pod.?securityContext.?runAsNonRoot.orValue(false) == true && variables.containers.all(c, c.?securityContext.?allowPrivilegeEscalation.orValue(true) == false && c.?securityContext.?privileged.orValue(false) == false && c.?securityContext.?runAsNonRoot.orValue(true) == true && c.?securityContext.?capabilities.?add.orValue([]).size() == 0)",
    message: "the pod of a dump has no rights on its node",
  },
];
