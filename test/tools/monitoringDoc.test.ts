import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { DEFINITIONS } from "../../runtime/metrics/definitions";
import { parseTargets } from "../../runtime/notify/targets";
import { projectFolder } from "../../tools/parts/cache";

const text = readFileSync(join(projectFolder(), "docs", "monitoring.md"), "utf8");
const notifications = readFileSync(join(projectFolder(), "docs", "notifications.md"), "utf8");
const reference = readFileSync(join(projectFolder(), "docs", "reference", "metrics.md"), "utf8");

// claim: docs/monitoring.md: the metrics and their labels are those of the program
test("describes every metric of ours, and no other", () => {
  const own = DEFINITIONS.map(({ name }) => name).filter((name) => name.startsWith("pgbackstop_"));
  const reported = (page: string): Set<string> =>
    new Set([...page.matchAll(/`(pgbackstop_[a-z_]*[a-z])`/g)].map(([, name = ""]) => name));
  expect(reported(reference)).toEqual(new Set(own));
  expect([...reported(text)].filter((name) => !own.includes(name))).toEqual([]);
});

// claim: docs/monitoring.md: the metrics and their…
test("the labels of its table are those of the metrics", () => {
  const rows = reference.split("\n").filter((line) => line.startsWith("| `pgbackstop_"));
  for (const row of rows) {
    const [, names = "", labels = ""] = row.split("|");
    const own = [...labels.matchAll(/`([a-z_]+)`/g)].map(([, label]) => label).filter((label) => label !== "stanza");
    for (const [, name] of names.matchAll(/`(pgbackstop_[a-z_]+)`/g)) {
      expect([
        name,
        DEFINITIONS.find((definition) => definition.name === name)?.labels.filter((label) => label !== "stanza"),
      ]).toEqual([name, own]);
    }
  }
  expect(rows.length).toBeGreaterThan(20);
});

// claim: docs/notifications.md: the file of targets is the program's
test("its targets file is valid", () => {
  const json = /```json\n([\s\S]*?)```/.exec(notifications)?.[1] ?? "";
  expect(parseTargets(json, "notify.json", (warning) => expect.fail(warning)).map(({ type }) => type)).toEqual([
    "healthchecks",
    "slack",
    "ntfy",
    "telegram",
    "discord",
    "teams",
    "alertmanager",
    "webhook",
    "email",
  ]);
});

test("every name of a published set-up is mapped to something that exists", () => {
  const published = [
    "pgbackrest_last_full_backup_timestamp",
    "pgbackrest_last_incr_backup_timestamp",
    "pgbackrest_last_diff_backup_timestamp",
    "pgbackrest_backup_count",
    "pgbackrest_repo_size_bytes",
    "pgbackrest_repo_backup_size_bytes",
    "pgbackrest.prom",
    "pgbackrest-metrics.timer",
    "PostgreSQLBackupStale",
    "PostgreSQLIncrementalBackupStale",
    "PostgreSQLBackupRepoLarge",
  ];
  const known = new Set(DEFINITIONS.map(({ name }) => name));
  for (const name of published) {
    const here =
      text
        .split("\n")
        .flatMap((line) => (line.split("|")[1]?.includes(name) === true ? [line.split("|")[2] ?? ""] : []))[0] ?? "";
    expect([name, here.trim()]).not.toEqual([name, ""]);
    for (const [, metric = ""] of here.matchAll(/\b(pgback(?:rest|stop)_[a-z_]+)/g))
      expect([name, metric, known.has(metric)]).toEqual([name, metric, true]);
  }
});
