/** Objects of a cluster's dumps: a CronJob, an account that may make one pod, and settings for the sidecar. */
import { expect, test } from "vitest";
import { renderAttachment, renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import type { RenderedObject } from "../../../../components/render/kubernetes/objects";
import { parseSettings } from "../../../../runtime/config/settings";
import { context, declaredCluster, objectOf } from "../../clusters";

const dumps = { cron: "30 4 * * *", timeZone: "Europe/Berlin", databases: ["shop", "a$(B)"], repositories: ["repo2"] };
const rendered = (more: object = {}): RenderedObject[] =>
  renderCluster(context(declaredCluster({ dumps: { ...dumps, ...more }, notifySecret: "whom" })), null);
interface CronJobSpec {
  readonly jobTemplate: {
    readonly spec: { readonly template: { readonly spec: { readonly containers: [{ readonly args: string[] }] } } };
  };
}
const ownOf = (objects: readonly RenderedObject[]): string[] =>
  objects
    .map(({ manifest, role }) => `${role} ${manifest.kind} ${manifest.metadata.name}`)
    .filter((text) => text.startsWith("dump"));

test("a CronJob with an account of its own, for new and existing clusters", () => {
  const all = [
    "dump-scope ValidatingAdmissionPolicy pgbackstop-dump-scope.orders.orders",
    "dump-scope-binding ValidatingAdmissionPolicyBinding pgbackstop-dump-scope.orders.orders",
    "dump-policy ValidatingAdmissionPolicy pgbackstop-dump.orders.orders",
    "dump-policy-binding ValidatingAdmissionPolicyBinding pgbackstop-dump.orders.orders",
    "dump-account ServiceAccount orders-dump",
    "dump-role Role orders-dump",
    "dump-binding RoleBinding orders-dump",
    "dump CronJob orders-dump",
  ];
  expect(ownOf(rendered())).toEqual(all);
  expect(ownOf(renderAttachment(context(declaredCluster({ dumps }))))).toEqual(all);
  expect(ownOf(renderCluster(context(), null))).toEqual([]);
});

test("it names databases and repositories only if they are not all", () => {
  const argsOf = (objects: readonly RenderedObject[]): readonly string[] => {
    const spec = objectOf(objects, "dump")["spec"] as CronJobSpec;
    return spec.jobTemplate.spec.template.spec.containers[0].args;
  };
  expect(argsOf(rendered())).toEqual(
    expect.arrayContaining([
      "--drill-cluster=orders",
      "--drill-job-uid=$(JOB_UID)",
      "--repos=2",
      "--database=shop",
      "--database=a$$(B)",
      "--notify-file=/pgbackstop/notify/notify.json",
      "cnpg-dump",
    ]),
  );
  const whole = argsOf(rendered({ databases: undefined, repositories: undefined })).join(" ");
  expect(whole).not.toMatch(/--repos|--database/);
  expect(objectOf(rendered(), "dump")).toMatchObject({
    spec: { schedule: "30 4 * * *", timeZone: "Europe/Berlin", concurrencyPolicy: "Forbid" },
  });
});

test("the sidecar knows when dumps are late, and the dump what stays", () => {
  const data = objectOf(rendered({ keepCount: 7 }), "config")["data"] as Record<string, string>;
  const { repos } = parseSettings(data["pgbackstop.json"] ?? "", "pgbackstop.json");
  expect(repos[1]?.keepDumps).toBeUndefined();
  expect(repos[2]?.keepDumps).toEqual({ count: 7 });
  expect(repos[2]?.expectDumpWithinS).toBeGreaterThan(86_400);
});

test("its account reads one Cluster, and handles one pod", () => {
  expect(objectOf(rendered(), "dump-role")["rules"]).toEqual([
    { apiGroups: ["postgresql.cnpg.io"], resources: ["clusters"], resourceNames: ["orders"], verbs: ["get"] },
    { apiGroups: [""], resources: ["pods"], verbs: ["create"] },
    { apiGroups: [""], resources: ["pods"], resourceNames: ["orders-dump"], verbs: ["get", "delete"] },
    { apiGroups: [""], resources: ["pods/log"], resourceNames: ["orders-dump"], verbs: ["get"] },
  ]);
});
