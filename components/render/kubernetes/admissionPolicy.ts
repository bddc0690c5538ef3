/**
 * ValidatingAdmissionPolicies that hold an account to what it may create. Kubernetes cannot restrict a creation by
 * name. Pure.
 */
import { PLUGIN_NAME } from "../../../runtime/cnpg/names";
import { fields, merged } from "../../plan/model/deferred";
import type { ClusterDatabasePlan } from "../../plan/model/plan";
import { MANAGED_BY, object, type RenderedObject } from "./objects";

export interface Rule {
  readonly expression: string;
  readonly message: string;
}

export interface Creations {
  /** Whose account it is. */
  readonly work: "drill" | "dump";
  readonly account: () => string;
  readonly resource: { readonly apiGroups: string[]; readonly apiVersions: string[]; readonly resources: string[] };
  /** What the rules on names judge. */
  readonly operations: readonly string[];
  /** Names of what it creates. */
  readonly names: () => readonly string[];
  readonly scopeRules: () => readonly Rule[];
  readonly variables: readonly object[];
  /** They compare with production. */
  readonly rules: readonly Rule[];
}

/** Production's Cluster in a policy's rules, and its plugin's parameters. Untyped: a schema has no keys to list. */
export const PRODUCTION_VARIABLES = [
  { name: "production", expression: "dyn(params.spec)" },
  {
    name: "archive",
    expression: `variables.production.?plugins.orValue([]).filter(p, p.name == '${PLUGIN_NAME}').map(p, p.?parameters.orValue({}))`,
  },
];

/**
 * Two policies. The first one holds the account to its names; it needs no other object. The second one compares with
 * production. The API server looks for production before it looks at the account, and refuses the request of everybody
 * when it is absent: so it matches these names only.
 */
export function renderCreationPolicies(
  database: ClusterDatabasePlan,
  { account, names, operations, resource, rules, scopeRules, variables, work }: Creations,
): RenderedObject[] {
  const namespace = (): string => database.namespace;
  const isAccount = fields({
    name: () => `${work}-account`,
    expression: () => `request.userInfo.username == 'system:serviceaccount:${database.namespace}:${account()}'`,
  });
  const common = { failurePolicy: "Fail", matchConditions: [isAccount] };
  const scope = merged(
    { ...common, matchConstraints: { resourceRules: [{ ...resource, operations }] } },
    fields({ validations: scopeRules }),
  );
  const policy = {
    ...common,
    paramKind: { apiVersion: "postgresql.cnpg.io/v1", kind: "Cluster" },
    matchConstraints: {
      namespaceSelector: { matchLabels: fields({ "kubernetes.io/metadata.name": namespace }) },
      resourceRules: [merged({ ...resource, operations: ["CREATE"] }, fields({ resourceNames: names }))],
    },
    variables,
    validations: rules,
  };
  const paramRef = fields({ name: () => database.cluster, namespace, parameterNotFoundAction: () => "Deny" });
  // Unique for this cluster: a namespace has no dots.
  const named = (beginning: string) => (): string => `${beginning}.${database.namespace}.${database.cluster}`;
  return [
    ...withBinding(`${work}-scope`, named(`pgbackstop-${work}-scope`), account, scope, {}),
    ...withBinding(`${work}-policy`, named(`pgbackstop-${work}`), account, policy, { paramRef }),
  ];
}

function withBinding(
  role: string,
  name: () => string,
  account: () => string,
  spec: object,
  binding: object,
): RenderedObject[] {
  const group = "admissionregistration.k8s.io/v1";
  const labels = merged(MANAGED_BY, fields({ "app.kubernetes.io/name": account }));
  const metadata = merged(fields({ name }), { labels });
  const bound = merged(fields({ policyName: name }), { ...binding, validationActions: ["Deny"] });
  return [
    object(role, [group, "ValidatingAdmissionPolicy"], metadata, { spec: () => spec }),
    object(`${role}-binding`, [group, "ValidatingAdmissionPolicyBinding"], metadata, { spec: () => bound }),
  ];
}
