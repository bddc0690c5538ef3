/** Objects of a stale check: a CronJob that reads repositories, its expectations, and no rights. */
import { expect, test } from "vitest";
import { loadConfig } from "../../../../runtime/config/load";
import { parseSettings } from "../../../../runtime/config/settings";
import { renderAttachment, renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import type { RenderedObject } from "../../../../components/render/kubernetes/objects";
import { context, declaredCluster, objectOf } from "../../clusters";

type Over = Parameters<typeof declaredCluster>[0];
const objects = (over: Over = {}): RenderedObject[] =>
  renderCluster(
    context(declaredCluster({ staleCheck: {}, notifySecret: "whom", objectives: { rpoSeconds: 3600 }, ...over })),
    null,
  );

interface Job {
  readonly backoffLimit: number;
  readonly template: {
    readonly spec: {
      readonly serviceAccountName?: string;
      readonly automountServiceAccountToken: boolean;
      readonly containers: readonly [
        { readonly args: readonly string[]; readonly volumeMounts: readonly { readonly mountPath: string }[] },
      ];
    };
  };
}
const jobOf = (rendered: readonly RenderedObject[]): Job =>
  (objectOf(rendered, "stale-check")["spec"] as { jobTemplate: { spec: Job } }).jobTemplate.spec;

test("only where it is declared, for new and existing clusters", () => {
  const roles = (rendered: readonly RenderedObject[]): string[] =>
    rendered.map(({ role }) => role).filter((role) => role.startsWith("stale"));
  expect(roles(objects())).toEqual(["stale-config", "stale-check"]);
  expect(roles(renderAttachment(context(declaredCluster({ staleCheck: {} }))))).toEqual([
    "stale-config",
    "stale-check",
  ]);
  expect(roles(renderCluster(context(), null))).toEqual([]);
  const { spec, metadata } = objectOf(objects({ clusterName: "o".repeat(50) }), "stale-check");
  expect(spec).toMatchObject({ schedule: "20 * * * *", timeZone: "UTC" });
  // Kubernetes' limit for CronJobs.
  expect(metadata.name.length).toBeLessThanOrEqual(52);
});

test("its arguments are options of the program, and it has no account", () => {
  const { backoffLimit, template } = jobOf(objects());
  expect(backoffLimit).toBe(0);
  expect(template.spec.automountServiceAccountToken).toBe(false);
  expect(template.spec.serviceAccountName).toBeUndefined();
  const { args, volumeMounts } = template.spec.containers[0];
  const text = "[global]\nrepo1-path=/r1\n[orders]\npg1-path=/var/lib/postgresql/data/pgdata\n";
  const { config } = loadConfig({
    argv: args,
    env: {},
    readFile: (path) => (path.endsWith("pgbackrest.conf") ? text : path.endsWith(".json") ? "{}" : null),
    listDirectory: () => [],
  });
  expect(config.command).toBe("check");
  expect(config.check.stale).toBe(true);
  expect(config.archive.check).toBe(false);
  expect(config.monitoring).toMatchObject({
    unit: "orders-stale",
    notifyFile: "/pgbackstop/notify/notify.json",
  });
  expect(volumeMounts.map(({ mountPath }) => mountPath)).toEqual(
    expect.arrayContaining([
      "/pgbackstop/config",
      "/pgbackstop/drill",
      "/pgbackstop/notify",
      "/pgbackstop/secrets/repo1",
    ]),
  );
});

test("it expects what the running schedules make, and the objective of WAL", () => {
  const agesOf = (over: Over): unknown => {
    const data = objectOf(objects(over), "stale-config")["data"] as { readonly "pgbackstop.json": string };
    const { expectBackupWithinS, expectFullWithinS, expectWalWithinS } =
      parseSettings(data["pgbackstop.json"], "pgbackstop.json").repos[2] ?? {};
    return [expectFullWithinS, expectBackupWithinS, expectWalWithinS];
  };
  const full = { cron: "0 3 * * 0" };
  expect(agesOf({})).toEqual([(8 * 24 + 2) * 3600, 25 * 3600, 3600]);
  expect(agesOf({ schedules: { full, incr: { cron: "0 3 * * 1-6", suspend: true } } })).toEqual([
    (8 * 24 + 2) * 3600,
    (7 * 24 + 1) * 3600,
    3600,
  ]);
  expect(agesOf({ objectives: {} })).toEqual([(8 * 24 + 2) * 3600, 25 * 3600, undefined]);
});
