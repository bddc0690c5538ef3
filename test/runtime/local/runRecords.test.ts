import { chmodSync, chownSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { loadRuns, saveRun } from "../../../runtime/local/runRecords";
import { temporaryFolder } from "../repository/support";

let spool: string;
beforeEach(() => {
  spool = join(temporaryFolder(), "spool");
  mkdirSync(spool);
});

test("keeps the last run of each command, and the last successful one", async () => {
  await saveRun(spool, "demo", { command: "backup", endedAtS: 10, exitCode: 0 });
  await saveRun(spool, "demo", { command: "backup", endedAtS: 20, exitCode: 50 });
  await saveRun(spool, "demo", { command: "archive-get", endedAtS: 30, exitCode: 1 });
  expect(await loadRuns(spool, "demo")).toEqual([
    { command: "archive-get", endedAtS: 30, exitCode: 1, succeededAtS: null },
    { command: "backup", endedAtS: 20, exitCode: 50, succeededAtS: 10 },
  ]);
  expect(await loadRuns(spool, "other")).toEqual([]);
});

test("keeps verdicts on repositories until there are newer ones", async () => {
  await saveRun(spool, "demo", {
    command: "verify",
    endedAtS: 10,
    exitCode: 26,
    repos: { 1: { ok: true, endedAtS: 10 }, 2: { ok: false, endedAtS: 10 } },
  });
  await saveRun(spool, "demo", {
    command: "verify",
    endedAtS: 20,
    exitCode: 0,
    repos: { 2: { ok: true, endedAtS: 20 } },
  });
  await saveRun(spool, "demo", { command: "verify", endedAtS: 21, exitCode: 0 });
  const [run] = await loadRuns(spool, "demo");
  expect(run?.repos).toEqual({ 1: { ok: true, endedAtS: 10 }, 2: { ok: true, endedAtS: 20 } });
});

test("skips invalid records", async () => {
  await saveRun(spool, "demo", { command: "backup", endedAtS: 10, exitCode: 0 });
  const directory = join(spool, "pgbackstop", "demo", "runs");
  for (const [name, text] of Object.entries({
    "expire.json": "{",
    "heal.json": '{"version":2}',
    "sync.json": "[]",
    "x.tmp": "{}",
  })) {
    writeFileSync(join(directory, name), text);
  }
  expect((await loadRuns(spool, "demo")).map(({ command }) => command)).toEqual(["backup"]);
});

test("writes nothing without a spool path", async () => {
  await saveRun(join(spool, "none"), "demo", { command: "backup", endedAtS: 10, exitCode: 0 });
  expect(existsSync(join(spool, "none"))).toBe(false);
});

test.runIf(process.geteuid?.() === 0)(
  "root writes with the rights of the spool's owner, which cannot lead it elsewhere",
  async () => {
    chmodSync(join(spool, ".."), 0o755);
    chownSync(spool, 61_111, 61_111);
    await saveRun(spool, "demo", { command: "verify", endedAtS: 10, exitCode: 0 });
    expect(statSync(join(spool, "pgbackstop", "demo", "runs", "verify.json")).uid).toBe(61_111);
    const roots = join(spool, "..", "roots");
    mkdirSync(roots);
    symlinkSync(roots, join(spool, "pgbackstop", "other"));
    await expect(saveRun(spool, "other", { command: "verify", endedAtS: 10, exitCode: 0 })).rejects.toMatchObject({
      kind: "pathCreate",
    });
  },
);
