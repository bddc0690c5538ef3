import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { notifyCommand } from "../../../../runtime/commands/watch/notify";
import type { Environment, UnitFacts } from "../../../../runtime/local/systemdUnit";
import { systemClock } from "../../../../runtime/base/clock";
import { drillFileName } from "../../../../runtime/operations/drill/record";
import { testContext } from "../../../harness/context";
import { startWebServer, type WebServer } from "../../../harness/doubles/messageServers";
import { temporaryFolder } from "../../repository/support";
import { record } from "../../operations/drill/support";
import { host } from "../support";

const UNIT = "pgbackstop-main-full.service";
let folder: string;
let web: WebServer;
beforeEach(async () => {
  folder = temporaryFolder();
  web = await startWebServer();
  writeFileSync(
    join(folder, "notify.json"),
    JSON.stringify({ targets: [{ type: "webhook", url: `${web.origin}/hook/geheim` }] }),
  );
});
afterEach(() => web.close());

async function run(
  argv: readonly string[],
  environment: Environment = {},
  shown: UnitFacts | null = null,
): Promise<number> {
  const base = host({ argv: [...argv, "notify"], repos: [], ctx: testContext({ clock: systemClock }), folder });
  const config = { ...base.config, spoolPath: join(folder, "spool") };
  const machine = {
    hostName: "db1",
    environment: { CREDENTIALS_DIRECTORY: folder, ...environment },
    showUnit: async () => shown,
  };
  return notifyCommand({ ...base, config, machine, readFile: (path) => readFile(path).catch(() => null) });
}
const reported = (): Record<string, unknown> => JSON.parse(web.requests.at(-1)?.body ?? "null");

test("systemd's facts about the failed unit are sent; the file is read from the credentials", async () => {
  const environment = {
    MONITOR_UNIT: UNIT,
    MONITOR_SERVICE_RESULT: "exit-code",
    MONITOR_EXIT_STATUS: "49",
    MONITOR_INVOCATION_ID: "ab".repeat(16),
  };
  expect(await run(["--event=failure"], environment)).toBe(0);
  expect(reported()).toMatchObject({
    event: "failure",
    unit: UNIT,
    unitFacts: { result: "exit-code", status: "49", invocationId: "ab".repeat(16) },
  });
  expect(reported()["lines"]).toContain("result: exit-code, status 49 (HostConnectError)");
});

test("a file of a newer version notifies the targets that this version knows", async () => {
  const known = { type: "webhook", url: `${web.origin}/hook/geheim`, retries: 3 };
  const targets = [{ type: "pager", number: "geheim" }, known];
  writeFileSync(join(folder, "notify.json"), JSON.stringify({ version: 1, package: "9.9.9", targets }));
  expect(await run(["--event=test"])).toBe(0);
  expect(reported()).toMatchObject({ event: "test" });
});

test("an older systemd is queried", async () => {
  expect(
    await run(
      ["--event=failure", `--unit=${UNIT}`],
      { INVOCATION_ID: "cd".repeat(16) },
      { result: "timeout", status: "15", invocationId: "" },
    ),
  ).toBe(0);
  expect(reported()).toMatchObject({ unitFacts: { result: "timeout" } });
});

test("a run's own start and end carry its invocation", async () => {
  expect(await run(["--event=start", `--unit=${UNIT}`], { INVOCATION_ID: "cd".repeat(16) })).toBe(0);
  expect(reported()).toMatchObject({ event: "start", unitFacts: { invocationId: "cd".repeat(16) } });
});

test("another run's start and end carry that one's invocation, and not this process's own", async () => {
  const environment = { INVOCATION_ID: "cd".repeat(16) };
  const shown = { result: "success", status: "0", invocationId: "ef".repeat(16) };
  expect(await run(["--event=start", `--unit=${UNIT}`], environment, shown)).toBe(0);
  expect(reported()).toMatchObject({ event: "start", unitFacts: { invocationId: "ef".repeat(16) } });
});

test("a drill is reported by its newest record", async () => {
  const drills = join(folder, "spool", "pgbackstop", "demo", "drills");
  mkdirSync(drills, { recursive: true });
  const failures = [{ where: "amcheck", error: "DbQueryError", code: 57, message: "secret words of a table" }];
  const made = record("20261121-051347Z-1a2b3c4d", { ok: false, failures });
  writeFileSync(join(drills, drillFileName(made)), JSON.stringify(made));
  expect(await run(["--event=drill"])).toBe(0);
  expect(reported()).toMatchObject({ ok: false, title: `fire drill of repo${made.repo} failed on db1` });
  expect(reported()["lines"]).toContain("failed: amcheck, DbQueryError (57)");
  expect(JSON.stringify(reported())).not.toContain("secret words");
  // If the unit wrote no record, the last record belongs to another run.
  expect(
    await run(["--event=drill", `--unit=${UNIT}`], {}, { result: "exit-code", status: "50", invocationId: "" }),
  ).toBe(0);
  expect(reported()).toMatchObject({ ok: false, title: "fire drill on db1: no record", unitFacts: { status: "50" } });
});

// claim: docs/notifications.md: a drill's notification is of its own run
test("a drill that died without a record is not reported by another drill's record", async () => {
  const drills = join(folder, "spool", "pgbackstop", "demo", "drills");
  mkdirSync(drills, { recursive: true });
  const endedAtS = Math.floor(Date.now() / 1000) - 60;
  const other = record("20261121-051347Z-1a2b3c4d", { endedAtS, invocationId: "ab".repeat(16) });
  writeFileSync(join(drills, drillFileName(other)), JSON.stringify(other));
  const died = { result: "signal", status: "9", invocationId: "cd".repeat(16) };
  expect(await run(["--event=drill", `--unit=${UNIT}`], {}, died)).toBe(0);
  expect(reported()).toMatchObject({ ok: false, title: "fire drill on db1: no record" });
  const ended = { result: "success", status: "0", invocationId: "ab".repeat(16) };
  expect(await run(["--event=drill", `--unit=${UNIT}`], {}, ended)).toBe(0);
  expect(reported()).toMatchObject({ ok: true, title: "fire drill of repo1 passed on db1" });
  // A systemd that does not say which run.
  expect(await run(["--event=drill", `--unit=${UNIT}`], {}, { ...ended, invocationId: "" })).toBe(0);
  expect(reported()).toMatchObject({ ok: true });
});

test("failed deliveries set the exit code, and are reported without the address", async () => {
  web.planned.push({ status: 403 });
  await expect(run(["--event=test"])).rejects.toMatchObject({
    exitCode: 104,
    message: `1 of 1 notification(s) were not delivered:\nwebhook: [ServiceError] ${web.origin}/…: answer 403`,
  });
});

test("without a file there is nothing to do, and the output says so", async () => {
  await expect(run(["--event=test", "--notify-file=/none.json"])).rejects.toMatchObject({ kind: "fileMissing" });
  await expect(run(["--event=test"], { CREDENTIALS_DIRECTORY: undefined })).rejects.toMatchObject({
    kind: "optionRequired",
  });
});
