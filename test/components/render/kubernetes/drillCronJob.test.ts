/** Objects of fire drills: a CronJob each, an account with the required rights, and settings that restart nothing. */
import { expect, test } from "vitest";
import { parseSettings } from "../../../../runtime/config/settings";
import { renderAttachment, renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { drillName } from "../../../../components/plan/schedule/declaredDrills";
import { drillJobs } from "../../../../components/render/kubernetes/drillCronJob";
import type { RenderedObject } from "../../../../components/render/kubernetes/objects";
import { declaredCluster, context, objectOf } from "../../clusters";

const drills = {
  weekly: { cron: "0 5 * * 6", from: "repo2", maxMinutes: 60, resources: { cpu: "500m", memoryLimit: "1Gi" } },
  monthly: { cron: "0 5 1 * *", timeZone: "Europe/Berlin", level: "quick", maxGiB: 2 },
  there: { cron: "0 5 1 * *", elsewhere: true },
};
const drillChecks = { assertions: [{ name: "orders", sql: "select true" }] };
const rendered = (): RenderedObject[] =>
  renderCluster(context(declaredCluster({ drills, drillChecks, notifySecret: "whom" })), null);

interface Pod {
  readonly serviceAccountName: string;
  readonly containers: readonly [
    { readonly args: readonly string[]; readonly volumeMounts: readonly { readonly name: string }[] },
  ];
  readonly volumes: readonly { readonly name: string }[];
}
const podOf = (objects: readonly RenderedObject[], role: string): Pod =>
  (objectOf(objects, role)["spec"] as { jobTemplate: { spec: { template: { spec: Pod } } } }).jobTemplate.spec.template
    .spec;

test("one CronJob each, except for drills elsewhere, for new and existing clusters", () => {
  const all = [
    "drill-config ConfigMap orders-drills",
    "drill-scope ValidatingAdmissionPolicy pgbackstop-drill-scope.orders.orders",
    "drill-scope-binding ValidatingAdmissionPolicyBinding pgbackstop-drill-scope.orders.orders",
    "drill-policy ValidatingAdmissionPolicy pgbackstop-drill.orders.orders",
    "drill-policy-binding ValidatingAdmissionPolicyBinding pgbackstop-drill.orders.orders",
    "drill-account ServiceAccount orders-drill",
    "drill-role Role orders-drill",
    "drill-binding RoleBinding orders-drill",
    "drill-monthly CronJob orders-drill-monthly",
    "drill-weekly CronJob orders-drill-weekly",
  ];
  const reported = (objects: readonly RenderedObject[]): string[] =>
    objects
      .map(({ role, manifest }) => `${role} ${manifest.kind} ${manifest.metadata.name}`)
      .filter((text) => text.startsWith("drill-"));
  expect(reported(rendered())).toEqual(all);
  expect(reported(renderAttachment(context(declaredCluster({ drills }))))).toEqual(all);
  expect(reported(renderCluster(context(), null))).toEqual([]);
});

test("a CronJob runs once at a time, in its zone, and within its limit", () => {
  expect(objectOf(rendered(), "drill-monthly")).toMatchObject({
    spec: {
      schedule: "0 5 1 * *",
      timeZone: "Europe/Berlin",
      concurrencyPolicy: "Forbid",
      jobTemplate: { spec: { activeDeadlineSeconds: 1460 * 60 } },
    },
  });
  const { args, volumeMounts } = podOf(rendered(), "drill-weekly").containers[0];
  expect(args).toEqual(
    expect.arrayContaining([
      "--drill-cluster=orders",
      "--throw-away=orders-drill-weekly",
      "--name=weekly",
      "--drill-resource=requests.cpu=500m",
      "--drill-resource=limits.memory=1Gi",
      "--notify-file=/pgbackstop/notify/notify.json",
      "cnpg-drill",
    ]),
  );
  const { volumes } = podOf(rendered(), "drill-weekly");
  expect(volumes.map(({ name }) => name).sort()).toEqual(volumeMounts.map(({ name }) => name).sort());
});

test("an attack on a bucket gets no credentials of production, and no rights over Clusters", () => {
  const attack = { cron: "0 6 1 * *", pick: "attack", from: "repo2" };
  const render = (more: object): RenderedObject[] =>
    renderCluster(context(declaredCluster({ drills: { attack, ...more }, drillPolicy: false })), null);
  const alone = render({});
  expect(podOf(alone, "drill-attack").volumes.map(({ name }) => name)).not.toContain("production");
  expect(objectOf(alone, "drill-role")).toMatchObject({ rules: [] });
  const both = JSON.stringify(objectOf(render({ weekly: drills.weekly }), "drill-role"));
  expect(both).toContain('"orders-drill-weekly"');
  expect(both).not.toContain("orders-drill-attack");
  const data = objectOf(alone, "drill-config")["data"] as Record<string, string>;
  expect(parseSettings(data["pgbackstop.json"] ?? "", "pgbackstop.json").drill?.declared).toEqual({
    attack: { repoIndexes: [2], pick: "attack" },
  });
  const jobs = drillJobs(context(declaredCluster({ drills: { attack, weekly: drills.weekly } })));
  expect(Object.keys(jobs)).toEqual(["weekly"]);
});

test("settings have the checks and the drills", () => {
  const data = objectOf(rendered(), "drill-config")["data"] as Record<string, string>;
  const { drill } = parseSettings(data["pgbackstop.json"] ?? "", "pgbackstop.json");
  expect(drill?.assertions).toEqual([{ name: "orders", sql: "select true" }]);
  expect(drill?.declared).toEqual({
    weekly: { repoIndexes: [2], maxMinutes: 60 },
    monthly: { level: "quick", maxBytes: 2 * 1024 ** 3 },
  });
});

test("the sidecar's own file has no drills: changing them restarts nothing", () => {
  expect(objectOf(rendered(), "config")).toEqual(objectOf(renderCluster(context(), null), "config"));
});

test("names of drills are cut to CloudNativePG's limit, and stay different", () => {
  expect(drillName("orders", "weekly")).toBe("orders-drill-weekly");
  const [one, other] = ["weekly-of-the-second-one-a", "weekly-of-the-second-one-b"].map((name) =>
    drillName("a-cluster-with-a-rather-long-name", name),
  );
  expect([one?.length, other?.length]).toEqual([50, 50]);
  expect(one).not.toBe(other);
});

const ACCOUNT = [
  { name: "drill-account", expression: "request.userInfo.username == 'system:serviceaccount:orders:orders-drill'" },
];

test("a policy limits the account's creations to the Clusters of its drills", () => {
  const { metadata, ...policy } = objectOf(rendered(), "drill-scope");
  const spec = policy["spec"] as { readonly validations: readonly { expression: string }[] };
  // Cluster-wide objects have no namespace.
  expect(metadata).not.toHaveProperty("namespace");
  expect(spec).toMatchObject({ failurePolicy: "Fail", matchConditions: ACCOUNT });
  expect(spec).not.toHaveProperty("paramKind");
  expect(spec.validations[0]?.expression).toBe(
    "request.namespace == 'orders' && object.metadata.name in ['orders-drill-monthly', 'orders-drill-weekly']",
  );
});

test("a policy compares Clusters of the drills' names, and no others, with production's own Cluster", () => {
  expect(objectOf(rendered(), "drill-policy")["spec"]).toMatchObject({
    failurePolicy: "Fail",
    paramKind: { apiVersion: "postgresql.cnpg.io/v1", kind: "Cluster" },
    matchConditions: ACCOUNT,
    matchConstraints: {
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "orders" } },
      resourceRules: [
        {
          operations: ["CREATE"],
          resourceNames: ["orders-drill-monthly", "orders-drill-weekly"],
          resources: ["clusters"],
        },
      ],
    },
  });
  expect(objectOf(rendered(), "drill-policy-binding")["spec"]).toEqual({
    paramRef: { name: "orders", namespace: "orders", parameterNotFoundAction: "Deny" },
    policyName: "pgbackstop-drill.orders.orders",
    validationActions: ["Deny"],
  });
});

test("without rights to cluster-wide objects there is no policy, and the rest stays", () => {
  const roles = (objects: readonly RenderedObject[]): string[] => objects.map(({ role }) => role);
  const without = roles(renderCluster(context(declaredCluster({ drills, drillPolicy: false })), null));
  expect(without).toEqual(roles(rendered()).filter((role) => !/^drill-(policy|scope)/.test(role)));
});
