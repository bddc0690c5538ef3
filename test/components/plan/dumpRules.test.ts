/** Logical dumps: what cannot be taken, kept or loaded as declared. */
import { expect, test } from "vitest";
import type { HostSettings } from "../../../components/plan/model/databaseSettings";
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
