/** The Job for which an update waits: when it exists, what it may do, and what makes it run again. */
import { expect, test } from "vitest";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import {
  FULL_BACKUP_ROLE,
  fullBackupLimitMinutes,
  renderFullBackupJob,
} from "../../../../components/render/kubernetes/fullBackupJob";
import type { RenderedObject } from "../../../../components/render/kubernetes/objects";
import { context, objectOf } from "../../clusters";
import { BUCKET, NAS, R2 } from "../../plans";

interface JobSpec {
  readonly activeDeadlineSeconds: number;
  readonly template: {
    readonly spec: {
      readonly serviceAccountName: string;
      readonly affinity?: object;
      readonly containers: readonly [{ readonly args: readonly string[]; readonly volumeMounts: readonly object[] }];
    };
  };
}
const rendered = (over: Partial<DeclaredCluster> = {}): RenderedObject[] => renderFullBackupJob(context(over));
const specOf = (over: Partial<DeclaredCluster> = {}): JobSpec =>
  objectOf(rendered(over), FULL_BACKUP_ROLE)["spec"] as JobSpec;

test("runs as the instances' account, which may change this Job alone, with every repository", () => {
  const objects = rendered();
  expect(objects.map(({ role, manifest }) => `${role} ${manifest.kind} ${manifest.metadata.name}`)).toEqual([
    "full-role Role orders-full",
    "full-binding RoleBinding orders-full",
    "full Job orders-full",
  ]);
  expect(objectOf(objects, "full-role")["rules"]).toEqual([
    { apiGroups: ["batch"], resources: ["jobs"], resourceNames: ["orders-full"], verbs: ["patch"] },
  ]);
  const { serviceAccountName, containers } = specOf().template.spec;
  expect(objectOf(objects, "full-binding")["subjects"]).toEqual([
    { kind: "ServiceAccount", name: serviceAccountName, namespace: "orders" },
  ]);
  expect(serviceAccountName).toBe("orders");
  expect(containers[0].args).toContain("--await-minutes=60");
  expect(JSON.stringify(containers[0].volumeMounts)).toContain("/pgbackstop/secrets/repo2");
  const named = { cluster: { spec: { serviceAccountName: "databases" } } };
  expect(specOf({ overrides: named }).template.spec.serviceAccountName).toBe("databases");
});

test("the program's wait ends before the Job, and the Job before the provider's wait", () => {
  const minutes = 90;
  const { activeDeadlineSeconds } = specOf({ firstBackupTimeoutMinutes: minutes });
  expect(activeDeadlineSeconds).toBeGreaterThan(minutes * 60);
  const limit = fullBackupLimitMinutes(context({ firstBackupTimeoutMinutes: minutes }).definition);
  expect(limit * 60).toBeGreaterThan(activeDeadlineSeconds);
});

test("another location of a repository is another Job; retention and schedules are not", () => {
  const moved = { ...R2, at: { ...R2.at, path: "/moved" } };
  expect(specOf({ repositories: { repo1: BUCKET, repo2: moved } })).not.toEqual(specOf());
  expect(specOf({ repositories: { repo1: BUCKET } })).not.toEqual(specOf());
  expect(specOf({ repositories: { repo1: { ...BUCKET, keepDays: 99 }, repo2: R2 } })).toEqual(specOf());
  expect(specOf({ schedules: { full: { cron: "0 4 * * 0" } } })).toEqual(specOf());
});

test("a volume with a repository binds it to an instance's node", () => {
  const local = { ...NAS, at: { ...NAS.at, path: "/pgbackstop/claims/nas/orders" } };
  expect(specOf().template.spec.affinity).toBeUndefined();
  expect(JSON.stringify(specOf({ repositories: { repo1: local, repo2: R2 } }).template.spec.affinity)).toContain(
    '"cnpg.io/cluster":"orders"',
  );
});

const full = { cron: "0 3 * * 0" };
test.each<[string, Partial<DeclaredCluster>, boolean]>([
  ["a schedule that takes its first backup at once", {}, true],
  ["no schedule that does", { schedules: { full: { ...full, immediate: false }, incr: full } }, false],
  ["no schedule that does, but an argument", { schedules: { incr: full }, firstBackupTimeoutMinutes: 5 }, true],
  ["an argument that switches it off", { firstBackupTimeoutMinutes: 0 }, false],
  ["a replica cluster", { replica: {} }, false],
  ["a promoted one", { replica: { enabled: false } }, true],
  ["another engine", { engine: "pgbackrest" }, false],
])("with %s", (_what, over, isAwaited) => {
  expect(rendered(over).length > 0).toBe(isAwaited);
});
