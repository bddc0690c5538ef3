/** The ConfigMap for which an update waits: when it exists, who may change it, and what is awaited again. */
import { expect, test } from "vitest";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import {
  FULL_BACKUP_ROLE,
  fullBackupReport,
  renderFullBackupGate,
} from "../../../../components/render/kubernetes/fullBackupGate";
import { renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import type { RenderedObject } from "../../../../components/render/kubernetes/objects";
import { completeText } from "../../../../runtime/cnpg/names";
import { parseSettings } from "../../../../runtime/config/settings";
import { context, objectOf } from "../../clusters";
import { BUCKET, R2 } from "../../plans";

const rendered = (over: Partial<DeclaredCluster> = {}): RenderedObject[] => renderFullBackupGate(context(over));
const awaitedOf = (over: Partial<DeclaredCluster> = {}): readonly string[] => {
  const { metadata } = objectOf(rendered(over), FULL_BACKUP_ROLE);
  const { annotations } = metadata as { readonly annotations: Readonly<Record<string, string>> };
  return JSON.parse(annotations["pulumi.com/waitFor"] ?? "") as string[];
};

test("the instances' account may read and change this ConfigMap alone", () => {
  const objects = rendered();
  expect(objects.map(({ role, manifest }) => `${role} ${manifest.kind} ${manifest.metadata.name}`)).toEqual([
    "full-role Role orders-full",
    "full-binding RoleBinding orders-full",
    "full ConfigMap orders-full",
  ]);
  expect(objectOf(objects, "full-role")["rules"]).toEqual([
    { apiGroups: [""], resources: ["configmaps"], resourceNames: ["orders-full"], verbs: ["get", "patch"] },
  ]);
  const subjectOf = (over: Partial<DeclaredCluster>): unknown => objectOf(rendered(over), "full-binding")["subjects"];
  expect(subjectOf({})).toEqual([{ kind: "ServiceAccount", name: "orders", namespace: "orders" }]);
  expect(subjectOf({ spec: { serviceAccountName: "databases" } })).toEqual([
    { kind: "ServiceAccount", name: "databases", namespace: "orders" },
  ]);
});

test("the sidecar's settings name the ConfigMap and the text that is awaited", () => {
  const own = context({});
  const data = objectOf(renderCluster(own, null), "config")["data"] as Readonly<Record<string, string>>;
  const { fullBackups } = parseSettings(data["pgbackstop.json"] ?? "", "pgbackstop.json");
  expect(fullBackups).toEqual(fullBackupReport(own));
  expect(fullBackups?.configMap).toBe("orders-full");
  expect(awaitedOf()).toEqual([
    `jsonpath={$[?@.fullBackups && !(@.fullBackups == '${completeText(fullBackups?.locations ?? "")}'),'kind']}=ConfigMap`,
    `jsonpath={.data.fullBackups}=${completeText(fullBackups?.locations ?? "")}`,
  ]);
});

test("another location of a repository is awaited again; retention and schedules are not", () => {
  const moved = { ...R2, at: { ...R2.at, path: "/moved" } };
  expect(awaitedOf({ repositories: { repo1: BUCKET, repo2: moved } })).not.toEqual(awaitedOf());
  expect(awaitedOf({ repositories: { repo1: BUCKET } })).not.toEqual(awaitedOf());
  expect(awaitedOf({ repositories: { repo1: { ...BUCKET, keepDays: 99 }, repo2: R2 } })).toEqual(awaitedOf());
  expect(awaitedOf({ schedules: { full: { cron: "0 4 * * 0" } } })).toEqual(awaitedOf());
});

test("so is another account or container of Azure", () => {
  const awaitedIn = (account: string, container: string): readonly string[] => {
    const at = { name: "azure", path: "/orders", encrypted: true, azure: { account, container } };
    return awaitedOf({ repositories: { repo1: { at, keepDays: 14 } } });
  };
  const orders = awaitedIn("acmepg", "orders");
  expect(awaitedIn("acmepg", "orders")).toEqual(orders);
  for (const other of [awaitedIn("acmedb", "orders"), awaitedIn("acmepg", "sales")]) expect(other).not.toEqual(orders);
});

test("so is another bucket of Google", () => {
  const awaitedIn = (bucket: string): readonly string[] => {
    const at = { name: "google", path: "/orders", encrypted: true, gcs: { bucket } };
    return awaitedOf({ repositories: { repo1: { at, keepDays: 14 } } });
  };
  expect(awaitedIn("acme-pg")).toEqual(awaitedIn("acme-pg"));
  expect(awaitedIn("acme-pg")).not.toEqual(awaitedIn("acme-db"));
});

const full = { cron: "0 3 * * 0" };
const eachItsOwn: Partial<DeclaredCluster> = {
  repositories: { repo1: { ...BUCKET, schedules: { full } }, repo2: { ...R2, schedules: { full } } },
};
test.each<[string, Partial<DeclaredCluster>, boolean]>([
  ["a schedule that takes its first backup at once", {}, true],
  ["no schedule that does", { schedules: { full: { ...full, immediate: false }, incr: full } }, false],
  ["no schedule that does, but an argument", { schedules: { incr: full }, firstBackupTimeoutMinutes: 5 }, true],
  ["a full schedule for each repository", { ...eachItsOwn, schedules: { incr: full } }, true],
  ["an argument that switches it off", { firstBackupTimeoutMinutes: 0 }, false],
  ["a replica cluster", { replica: {} }, false],
  ["a promoted one", { replica: { enabled: false } }, true],
  ["another engine", { engine: "pgbackrest" }, false],
])("with %s", (_what, over, isAwaited) => {
  expect(rendered(over).length > 0).toBe(isAwaited);
});
