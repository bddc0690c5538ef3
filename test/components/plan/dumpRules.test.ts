/** Logical dumps: what cannot be taken, kept or loaded as declared. */
import { expect, test } from "vitest";
import type { HostSettings } from "../../../components/plan/model/databaseSettings";
import type { DeclaredCluster } from "../../../components/plan/cluster/declaredCluster";
import { checkClusterPlan } from "../../../components/plan/cluster/planCluster";
import { topologyOf } from "../../../components/plan/topology/topology";
import { resolved } from "../clusters";
import { checkHost } from "../../../components/plan/rules";
import { plan } from "../plans";

test.each<[string, Partial<HostSettings>, string[]]>([
  ["dumps", { dumps: { cron: "30 4 * * *" }, drills: { monthly: { cron: "0 5 1 * *", dump: true } } }, []],
  [
    "dumps at no time, nowhere, of nothing",
    {
      dumps: {
        cron: "daily",
        timeZone: "Mars",
        deadlineSeconds: 1,
        repositories: ["repo7"],
        keepDays: 0,
        keepCount: 0.5,
        databases: [],
      },
    },
    [
      "PB011 dumps.cron",
      "PB011 dumps.timeZone",
      "PB023 dumps.deadlineSeconds",
      "PB026 dumps.repositories",
      "PB005 dumps.keepDays",
      "PB005 dumps.keepCount",
      "PB218 dumps.databases",
    ],
  ],
  [
    "a dump of a database without a name",
    { dumps: { cron: "30 4 * * *", databases: ["shop", ""] } },
    ["PB218 dumps.databases[1]"],
  ],
  ["dumps beside stock", { engine: "pgbackrest", dumps: { cron: "30 4 * * *" } }, ["PB121 engine", "PB218 dumps"]],
  [
    "a drill with no dump to load",
    { drills: { monthly: { cron: "0 5 1 * *", dump: true } } },
    ["PB040 drills.monthly.dump"],
  ],
  [
    "a drill that opens its backup and loads a dump",
    { dumps: { cron: "30 4 * * *" }, drills: { monthly: { cron: "0 5 1 * *", dump: true, how: "open" } } },
    ["PB040 drills.monthly.dump"],
  ],
])("%s", (_what, over, expected) => {
  expect(checkHost(plan(over)).map(({ code, path }) => `${code} ${path}`)).toEqual(expected);
});

const clusterDumps = { cron: "30 4 * * *" };
test.each<[string, Partial<DeclaredCluster>, string[]]>([
  ["with the superuser", { spec: { enableSuperuserAccess: true } }, []],
  ["without it", {}, ["PB219 dumps"]],
  [
    "at no time, of nothing",
    { spec: { enableSuperuserAccess: true }, dumps: { cron: "daily", databases: [] } },
    ["PB011 dumps.cron", "PB218 dumps.databases"],
  ],
  ["with Barman", { engine: "barman-cloud" }, ["PB218 dumps"]],
  ["of a replica cluster", { replica: { enabled: true }, spec: { enableSuperuserAccess: true } }, ["PB218 dumps"]],
])("dumps of a cluster %s", (_what, over, expected) => {
  const findings = checkClusterPlan(resolved({ dumps: clusterDumps, ...over }), false);
  expect(findings.filter(({ path }) => path.startsWith("dumps")).map(({ code, path }) => `${code} ${path}`)).toEqual(
    expected,
  );
});

test("an attached Cluster may have the superuser", () => {
  expect(checkClusterPlan(resolved({ dumps: clusterDumps }), true).map(({ code }) => code)).not.toContain("PB219");
});

test("the topology of a cluster has its dumps", () => {
  const { database } = resolved({ dumps: clusterDumps });
  expect(topologyOf(database).dumps).toEqual({
    cron: "30 4 * * *",
    timeZone: "UTC",
    jitterSeconds: 0,
    repositories: database.repositories.map(({ name }) => name),
    keepDays: 30,
  });
});
