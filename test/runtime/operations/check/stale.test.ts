import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../../runtime/base/clock";
import { fail } from "../../../../runtime/base/errors";
import { checkCommand } from "../../../../runtime/commands/setup/check";
import { type ExpectedAges, findStale } from "../../../../runtime/operations/check/stale";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { startWebServer, type WebServer } from "../../../harness/doubles/messageServers";
import { storeDump } from "../../../harness/madeDump";
import { makeStanza } from "../../../harness/madeRepository";
import { FaultyStorage } from "../../../harness/network/faults";
import { host } from "../../commands/support";
import { repository, temporaryFolder } from "../../repository/support";

const HOUR_S = 3600;
const NOW_S = Math.floor(systemClock.nowMs() / 1000);
const WAL = ["000000010000000000000003", "000000010000000000000004"] as const;
const FULL = { label: "20261118-030000F", stoppedAtS: NOW_S - 48 * HOUR_S, wal: WAL } as const;
const INCR = {
  label: "20261118-030000F_20261119-030000I",
  prior: FULL.label,
  stoppedAtS: NOW_S - 24 * HOUR_S,
  wal: WAL,
} as const;

let storages: FaultyStorage[];
let repos: Repository[];
let web: WebServer;
let folder: string;
beforeEach(async () => {
  // Every file is an hour old.
  const nowMs = (): number => (NOW_S - HOUR_S) * 1000;
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}`, nowMs })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  web = await startWebServer();
  folder = temporaryFolder();
});
afterEach(() => web.close());

const fill = async (...backups: (typeof FULL | typeof INCR)[]): Promise<void> => {
  for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups, wal: { "18-1": WAL } });
};
const messagesAt = async (expected: ExpectedAges, nowS: number): Promise<string[]> =>
  (await findStale(repos, (key) => (key === 1 ? expected : {}), nowS)).flatMap((result) =>
    result.ok ? result.value.map(({ message }) => `repo${result.repoIndex}: ${message}`) : [result.error.message],
  );
const messages = (expected: ExpectedAges): Promise<string[]> => messagesAt(expected, NOW_S);

test("each age has its own limit, and what is not expected is not compared", async () => {
  await fill(FULL, INCR);
  const recent = { expectFullWithinS: 49 * HOUR_S, expectBackupWithinS: 25 * HOUR_S, expectWalWithinS: 2 * HOUR_S };
  expect(await messages(recent)).toEqual([]);
  expect(await messages({})).toEqual([]);
  expect(await messages({ ...recent, expectFullWithinS: 47 * HOUR_S })).toEqual([
    "repo1: the newest full backup '20261118-030000F' is 2 days old; expected is one every 47 hours",
  ]);
  expect(await messages({ ...recent, expectBackupWithinS: 23 * HOUR_S })).toEqual([
    "repo1: the newest backup is 24 hours old; expected is at most 23 hours",
  ]);
  expect(await messages({ ...recent, expectWalWithinS: 1800 })).toEqual([
    "repo1: the newest WAL is 60 minutes old; expected is at most 30 minutes",
  ]);
});

test("a repository without a backup or WAL is stale, and says it once", async () => {
  for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [], wal: {} });
  expect(
    await messages({ expectFullWithinS: "ever", expectBackupWithinS: 25 * HOUR_S, expectWalWithinS: 900 }),
  ).toEqual([
    "repo1: no full backup: nothing can be restored from this repository",
    "repo1: no WAL: expected is at most 15 minutes old",
  ]);
  expect(await messages({ expectBackupWithinS: 25 * HOUR_S })).toEqual([
    "repo1: no backup: expected is at most 25 hours old",
  ]);
});

test("what is of the future is not recent: a clock is wrong", async () => {
  const expected = { expectFullWithinS: 49 * HOUR_S, expectBackupWithinS: 25 * HOUR_S, expectWalWithinS: 2 * HOUR_S };
  const aheadS = 400 * 24 * HOUR_S;
  for (const repo of repos)
    await makeStanza(repo, {
      versions: ["18"],
      backups: [{ ...FULL, stoppedAtS: NOW_S + aheadS }],
      wal: { "18-1": WAL },
    });
  const time = new Date((NOW_S + aheadS) * 1000).toISOString().replace(".000Z", "Z");
  expect(await messages(expected)).toEqual([
    `repo1: the newest full backup '20261118-030000F' is of the future (${time}): its age says nothing`,
    `repo1: the newest backup is of the future (${time}): its age says nothing`,
  ]);
  // An hour is tolerated. The files are an hour old, so the WAL is from three hours ahead of this time.
  expect(await messagesAt(expected, NOW_S + aheadS - HOUR_S)).toEqual([expect.stringContaining("the newest WAL is")]);
  const wal = await messagesAt({ expectWalWithinS: 2 * HOUR_S }, NOW_S - 3 * HOUR_S);
  expect(wal).toEqual([expect.stringContaining("the newest WAL is of the future")]);
});

// claim: docs/dumps.md: `check --stale` reports a repository whose newest complete dump is older than expected, or that
//   has none
test("a dump that is too old, lacks a file or does not exist is reported where one is expected", async () => {
  await fill(FULL, INCR);
  const [repo] = repos as [Repository];
  const ofDumps = (hours: number): Promise<string[]> => messages({ expectDumpWithinS: hours * HOUR_S });
  expect(await messages({})).toEqual([]);
  expect(await ofDumps(25)).toEqual(["repo1: no complete dump: expected is at most 25 hours old"]);
  await storeDump(repo, "20261118-020000Z-1a2b3c4d", { stoppedAtS: NOW_S - 30 * HOUR_S });
  await storeDump(repo, "20261119-020000Z-1a2b3c4d", { stoppedAtS: NOW_S - 6 * HOUR_S });
  expect(await ofDumps(25)).toEqual([]);
  await repo.storage.remove("pgbackstop/demo/dump/20261119-020000Z-1a2b3c4d/shop.dump");
  expect(await ofDumps(25)).toEqual(["repo1: the newest complete dump is 30 hours old; expected is at most 25 hours"]);
  expect(await ofDumps(31)).toEqual([]);
});

/** `check --stale` with a webhook and an Alertmanager as targets. */
async function check(
  expectBackupWithinS: number,
  argv = ["--no-archive-check"],
  targets: readonly object[] = [
    { type: "webhook", url: `${web.origin}/hook` },
    { type: "alertmanager", url: web.origin },
  ],
): Promise<number> {
  const file = join(folder, "notify.json");
  writeFileSync(file, JSON.stringify({ targets }));
  const options = ["--stale", `--notify-file=${file}`, "--unit=pgbackstop-main-stale.service", ...argv, "check"];
  const base = host({ argv: options, repos, ctx: testContext({ clock: systemClock }), folder });
  const settings = { ...base.config.settings, repos: { 2: { expectBackupWithinS } } };
  return checkCommand({
    ...base,
    config: { ...base.config, settings },
    readFile: (path) => readFile(path).catch(() => null),
  });
}
const sent = (): unknown[] =>
  web.requests
    .map(({ body, path }) => [path, JSON.parse(body)])
    .toSorted((left, right) => (String(left) < String(right) ? -1 : 1));

test("what is too old goes to the targets, without a server, and the check exits with 75", async () => {
  await fill(FULL);
  await expect(check(47 * HOUR_S)).rejects.toMatchObject({ exitCode: 75 });
  const alertLabels = { alertname: "PgbackstopBackupStale", stanza: "demo", instance: "db1" };
  expect(sent()).toMatchObject([
    ["/api/v2/alerts", [{ labels: alertLabels }]],
    ["/hook", { event: "stale", ok: false, title: "backups of demo on db1 are too old" }],
  ]);
  expect(web.requests.find(({ path }) => path === "/hook")?.body).toContain(
    "repo2: [BackupSetInvalidError] the newest backup is 2 days old; expected is at most 47 hours",
  );
});

test("when all are recent, only Alertmanager hears of it: its alert ends", async () => {
  await fill(FULL);
  expect(await check(49 * HOUR_S)).toBe(0);
  expect(sent()).toMatchObject([
    ["/api/v2/alerts", [{ annotations: { summary: expect.stringContaining("recent again") as string } }]],
  ]);
  const [alert] = JSON.parse(web.requests[0]?.body ?? "[]") as { readonly endsAt: string }[];
  expect(Date.parse(alert?.endsAt ?? "")).toBeLessThanOrEqual(systemClock.nowMs());
});

// claim: docs/notifications.md: a check that no target subscribes to fails with another exit code, so that the
//   unit fails
test("without a target for what is too old, the check fails with another code and names it", async () => {
  await fill(FULL);
  const url = `${web.origin}/hook`;
  for (const targets of [
    [],
    [{ type: "webhook", url, events: ["failure"] }],
    [{ type: "webhook", url, units: ["pgbackstop-main-full.service"] }],
  ]) {
    const failed = check(47 * HOUR_S, undefined, targets);
    await expect(failed).rejects.toMatchObject({ exitCode: 104 });
    await expect(failed).rejects.toThrow(
      /'stale' of pgbackstop-main-stale\.service, so nobody was notified:\nrepo2: \[BackupSetInvalidError\] the newest/,
    );
    expect(await check(49 * HOUR_S, undefined, targets)).toBe(0);
  }
  expect(web.requests).toEqual([]);
});

// claim: docs/notifications.md: an alert ends only after every repository was read
test("an unreadable repository ends no alert", async () => {
  await fill(FULL);
  storages[0]?.breakDown(fail("hostConnect", "unable to connect"));
  await expect(check(49 * HOUR_S)).rejects.toThrow(/unable to connect/);
  expect(web.requests).toEqual([]);
});

test("neither a dead server nor an unreadable repository hides what is too old", async () => {
  await fill(FULL);
  storages[0]?.breakDown(fail("hostConnect", "unable to connect"));
  await expect(check(47 * HOUR_S)).rejects.toMatchObject({ exitCode: 104 });
  expect(web.requests).toHaveLength(2);
  // The session of this host has no server behind it.
  await expect(check(47 * HOUR_S, [])).rejects.toThrow(/facts/);
  expect(web.requests).toHaveLength(4);
  // Nor does a notice that nobody gets hide the server's error.
  await expect(check(47 * HOUR_S, [], [])).rejects.toThrow(/facts/);
});
