/** No argument of a cluster is dropped without a word: each changes an object or the topology, or is a finding. */
import { expect, test } from "vitest";
import type { DeclaredCluster } from "../../../components/plan/cluster/declaredCluster";
import { checkClusterPlan, planCluster } from "../../../components/plan/cluster/planCluster";
import { engineOf, ENGINES } from "../../../components/plan/engines/engines";
import { topologyOf } from "../../../components/plan/topology/topology";
import { renderCluster } from "../../../components/render/kubernetes/clusterObjects";
import { renderFullBackupGate } from "../../../components/render/kubernetes/fullBackupGate";
import { holdJob } from "../../../components/render/kubernetes/holdJob";
import { contextOf } from "../clusters";

const S3 = { bucket: "orders-pg", endpoint: "s3.example.net", region: "eu" };
const KEYS = { accessKeyId: { name: "keys", key: "id" }, secretAccessKey: { name: "keys", key: "secret" } };

/** Each field, by its path, with a value that no engine has by default. */
const VALUES: readonly (readonly [path: string, value: unknown])[] = [
  ["acknowledge", { mode: "any" }],
  ["archiveTimeoutSeconds", 45],
  ["backupTarget", "primary"],
  ["backupTarget", "prefer-standby"],
  ["drillChecks", { backupAgeHours: 200 }],
  ["drills.monthly", { cron: "0 5 1 * *" }],
  ["drillPolicy", false],
  ["dumps", { cron: "30 4 * * *" }],
  ["engineVersion", "2.50"],
  // How long an update waits is no part of an object.
  ["firstBackupTimeoutMinutes", 0],
  ["firstBackupTimeoutMinutes", 7],
  ["image", "registry.example.net/postgresql:18.4"],
  ["instances", 5],
  ["metadata.annotations", { own: "1" }],
  ["metadata.labels", { own: "1" }],
  ["monitoring.alertLabels", { team: "db" }],
  ["monitoring.labels", { release: "stack" }],
  ["monitoring.podMonitor", true],
  ["monitoring.prometheusRule", true],
  ["monitoring.reportPassword", { name: "report", key: "password" }],
  ["monitoring.runbookUrl", "https://runbook.example.net"],
  ["monitoring.tls", true],
  ["notifySecret", "notices"],
  ["objectives.maxRepositoryGB", 1],
  ["objectives.pitrDays", 60],
  ["objectives.rpoSeconds", 60],
  ["objectives.rtoMinutes", 1],
  ["operatorVersion", "1.27.0"],
  ["options", { "log-level-file": "detail" }],
  ["parameters", { work_mem: "8MB" }],
  ["podPlacement.affinity", { nodeAffinity: {} }],
  ["podPlacement.annotations", { mesh: "no" }],
  ["podPlacement.cpuLimit", "1"],
  ["podPlacement.imagePullSecrets", ["registry"]],
  ["podPlacement.nodeSelector", { pool: "backups" }],
  ["podPlacement.priorityClassName", "low"],
  ["podPlacement.tolerations", [{ key: "backups", operator: "Exists" }]],
  ["poolers.web", {}],
  ["processMax", 3],
  ["repositories.repo1.blockIncremental", true],
  ["repositories.repo1.bundle", false],
  ["repositories.repo1.compress", { type: "gz", level: 4 }],
  ["repositories.repo1.keep", { daily: 7 }],
  ["repositories.repo1.keepDays", 40],
  ["repositories.repo1.keepDiffCount", 3],
  ["repositories.repo1.keepFullCount", 9],
  ["repositories.repo1.limitRate", "20MiB"],
  ["repositories.repo1.options", { "retention-archive": "3" }],
  ["repositories.repo1.schedules", { full: { cron: "0 4 * * 3" } }],
  ["schedules.full.deadlineSeconds", 60],
  ["schedules.full.immediate", false],
  ["schedules.full.jitterSeconds", 9],
  ["schedules.full.ownerReference", "none"],
  ["schedules.full.suspend", true],
  ["schedules.full.target", "primary"],
  ["schedules.full.target", "prefer-standby"],
  ["schedules.full.timeZone", "Europe/Berlin"],
  ["schedules.diff", { cron: "0 4 * * 3" }],
  ["sidecar.cpu", "150m"],
  ["sidecar.cpuLimit", "2"],
  ["sidecar.memory", "500Mi"],
  ["sidecar.memoryLimit", "900Mi"],
  ["sizing.databaseGiB", 900],
  ["snapshots.className", "fast"],
  ["snapshots.cron", "0 5 * * *"],
  ["snapshots.keepDays", 5],
  ["snapshots.online", false],
  ["snapshots.ownerReference", "backup"],
  ["snapshots.walClassName", "faster"],
  ["spec.backup.retentionPolicy", "30d"],
  ["staleCheck", {}],
  ["stanza", "other"],
  ["stanzaKind", "Repository"],
  ["storageClass", "fast"],
  ["storageGiB", 9],
  ["streaming", { intervalSeconds: 9 }],
];

function declaredFor(engine: string): DeclaredCluster {
  const at = { name: "store", path: "/pg", encrypted: false, s3: S3 };
  return {
    namespace: "orders",
    engine,
    storageGiB: 5,
    instances: 3,
    repositories: engine === "volumeSnapshot" ? {} : { repo1: { at, keepDays: 14 } },
    schedules: { full: { cron: "0 3 * * 0" } },
    ...(engine === "volumeSnapshot" ? { snapshots: { keepDays: 9 } } : {}),
  };
}

function withValue(values: object, [name = "", ...rest]: readonly string[], value: unknown): object {
  const own = (values as Readonly<Record<string, object | undefined>>)[name];
  return { ...values, [name]: rest.length === 0 ? value : withValue(own ?? {}, rest, value) };
}

/** All that users see of a declared cluster. */
function effectOf(declared: DeclaredCluster): string {
  const plan = planCluster("orders", declared);
  const context = contextOf(declared, { repo1: KEYS });
  const once = engineOf(plan.database.engine).own ? holdJob(context) : null;
  const objects = [...renderCluster(context, null), ...renderFullBackupGate(context), once];
  return JSON.stringify([objects, topologyOf(plan.database), checkClusterPlan(plan, false)]);
}

const PATHS = [...new Set(VALUES.map(([path]) => path))];
const CASES = ENGINES.flatMap(({ id }) =>
  PATHS.filter((path) => id !== "volumeSnapshot" || !path.startsWith("repositories.")).map((path) => ({ id, path })),
);

test.each(CASES)("engine $id does not drop $path", ({ id, path }) => {
  const declared = declaredFor(id);
  const usual = effectOf(declared);
  const effects = VALUES.filter(([each]) => each === path).map(([, value]) =>
    effectOf(withValue(declared, path.split("."), value) as DeclaredCluster),
  );
  expect(effects.some((effect) => effect !== usual)).toBe(true);
});
