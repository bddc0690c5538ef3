/** Objects made with the classes of `@pulumi/kubernetes`: their types, inputs, version, and what is loaded. */
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import {
  declareKubernetes,
  declareKubernetesPatch,
  type KubernetesObject,
  readConfigMap,
} from "../../../components/internal/kubernetesObjects";
import { projectFolder } from "../../../tools/parts/cache";
import { plain, type Values } from "../../harness/doubles/providerValues";
import { type Declared, declaredBy } from "../declaredResources";

/** Type tokens of stacks that exist; another one would replace the object. */
const TYPES: readonly (readonly [apiVersion: string, kind: string, type: string])[] = [
  ["v1", "ConfigMap", "kubernetes:core/v1:ConfigMap"],
  ["v1", "Secret", "kubernetes:core/v1:Secret"],
  ["v1", "Service", "kubernetes:core/v1:Service"],
  ["v1", "ServiceAccount", "kubernetes:core/v1:ServiceAccount"],
  ["apps/v1", "Deployment", "kubernetes:apps/v1:Deployment"],
  ["batch/v1", "CronJob", "kubernetes:batch/v1:CronJob"],
  ["batch/v1", "Job", "kubernetes:batch/v1:Job"],
  ["policy/v1", "PodDisruptionBudget", "kubernetes:policy/v1:PodDisruptionBudget"],
  ...["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"].map(
    (kind) => ["rbac.authorization.k8s.io/v1", kind, `kubernetes:rbac.authorization.k8s.io/v1:${kind}`] as const,
  ),
  ...["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"].map(
    (kind) => ["admissionregistration.k8s.io/v1", kind, `kubernetes:admissionregistration.k8s.io/v1:${kind}`] as const,
  ),
  ["postgresql.cnpg.io/v1", "Cluster", "kubernetes:postgresql.cnpg.io/v1:Cluster"],
  ["monitoring.coreos.com/v1", "PodMonitor", "kubernetes:monitoring.coreos.com/v1:PodMonitor"],
  ["external-secrets.io/v1", "ExternalSecret", "kubernetes:external-secrets.io/v1:ExternalSecret"],
];

/** The fields besides `metadata` that a kind may have. */
const FIELDS: Readonly<Record<string, object>> = {
  ConfigMap: { data: { key: "text" }, binaryData: { file: "AAAA" } },
  Secret: { stringData: { key: "secret" }, type: "Opaque" },
  ServiceAccount: { automountServiceAccountToken: false },
  Role: { rules: [] },
  ClusterRole: { rules: [] },
  RoleBinding: { roleRef: { kind: "Role" }, subjects: [{ kind: "ServiceAccount" }] },
  ClusterRoleBinding: { roleRef: { kind: "ClusterRole" }, subjects: [{ kind: "ServiceAccount" }] },
};

function objectOf(apiVersion: string, kind: string): KubernetesObject {
  return { apiVersion, kind, metadata: { name: "orders", namespace: "db" }, ...(FIELDS[kind] ?? { spec: { a: 1 } }) };
}

/** What `program` registers, without marks of secrets. */
async function registered(program: () => void, state: Values = {}): Promise<Declared[]> {
  const made = await declaredBy(program, () => state);
  return made.map((each) => ({ ...each, inputs: plain(each.inputs as Values) as Record<string, unknown> }));
}

test.each(TYPES)(
  "%s %s is registered as %s, with its own fields as inputs and no more",
  async (apiVersion, kind, type) => {
    const object = objectOf(apiVersion, kind);
    const [made] = await registered(() => void declareKubernetes("orders", object, {}));
    expect(made).toMatchObject({ type, inputs: object });
    expect(made?.inputs).toEqual(object);
  },
);

test("fields of an existing object are registered as its kind's patch, with a fixed manager", async () => {
  const object = objectOf("postgresql.cnpg.io/v1", "Cluster");
  const [made] = await registered(() => void declareKubernetesPatch("orders", object, true, {}));
  const annotations = { "pulumi.com/patchFieldManager": "pgbackstop", "pulumi.com/patchForce": "true" };
  expect(made?.type).toBe("kubernetes:postgresql.cnpg.io/v1:ClusterPatch");
  expect(made?.inputs).toEqual({ ...object, metadata: { ...object.metadata, annotations } });
});

test("an object names only the last of those that it waits for", async () => {
  const waits: Record<string, unknown> = {};
  await registered(() => {
    const declare = (name: string, dependsOn: pulumi.Resource[]): pulumi.CustomResource =>
      declareKubernetes(name, objectOf("v1", "Secret"), {
        dependsOn,
        transformations: [
          ({ name: own, opts }) => {
            waits[own] = (opts.dependsOn as pulumi.Resource[]).map((each) => names.get(each));
            return undefined;
          },
        ],
      });
    const names = new Map<pulumi.Resource, string>();
    const made: pulumi.Resource[] = [];
    for (const name of ["first", "second", "third"]) {
      const child = declare(name, [...made]);
      names.set(child, name);
      made.push(child);
    }
    const beside = declare("beside", made.slice(0, 1));
    names.set(beside, "beside");
    declare("last", [...made, beside]);
  });
  expect(waits).toEqual({
    first: [],
    second: ["first"],
    third: ["second"],
    beside: ["first"],
    last: ["third", "beside"],
  });
});

test("a ConfigMap that others manage is read by its id", async () => {
  let data: unknown;
  const state = { data: { report: "done" } };
  const [read] = await registered(
    () => void readConfigMap("told", "db/report", {}).apply((known) => (data = known)),
    state,
  );
  expect(read).toMatchObject({ type: "kubernetes:core/v1:ConfigMap", id: "db/report", inputs: {} });
  expect(data).toEqual(state.data);
});

test("the objects ask for the provider of the installed package's version", async () => {
  const installed = join(projectFolder(), "node_modules", "@pulumi", "kubernetes", "package.json");
  const { version } = JSON.parse(readFileSync(installed, "utf8")) as { version: string };
  const versions: (string | undefined)[] = [];
  await registered(() => {
    const watched = (kind: string, apiVersion: string): void => {
      const opts: pulumi.CustomResourceOptions = {
        // Only this older form of transforms runs without an engine.
        transformations: [
          ({ opts: { version: asked } }) => {
            versions.push(asked);
            return undefined;
          },
        ],
      };
      declareKubernetes(kind, objectOf(apiVersion, kind), opts);
    };
    watched("Secret", "v1");
    watched("Cluster", "postgresql.cnpg.io/v1");
  });
  expect(versions).toEqual([version, version]);
});

test("the package's index and its types are never loaded", () => {
  const loaded = Object.keys(createRequire(__filename).cache).flatMap(
    (path) => path.replaceAll("\\", "/").split("/@pulumi/kubernetes/")[1] ?? [],
  );
  expect(loaded.length).toBeGreaterThan(TYPES.length / 2);
  for (const path of loaded) expect(path).not.toMatch(/(^|\/)index\.js$|^types\//);
  expect(loaded.length).toBeLessThan(TYPES.length + 5);
});
