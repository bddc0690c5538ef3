import { beforeEach, describe, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import type { OpenedBackup, OpenProgress } from "../../../../runtime/operations/open/openLocation";
import { collectStatus, isWell, type StatusInput } from "../../../../runtime/operations/info/status";
import { statusJson, statusText } from "../../../../runtime/operations/info/statusText";
import { factsOf } from "../../../../runtime/recoverability/facts";
import type { Repository } from "../../../../runtime/repository/repository";
import { overlaid } from "../../../../runtime/storage/overlaid";
import { storeDump } from "../../../harness/madeDump";
import { FaultyStorage } from "../../../harness/network/faults";
import { makeStanza, SYSTEM_ID } from "../../../harness/madeRepository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import type { DrillRecord } from "../../../../runtime/operations/drill/record";
import { saveDrill } from "../../../../runtime/operations/drill/history";
import { testContext } from "../../../harness/context";
import { repository, temporaryFolder } from "../../repository/support";
import { statusInput } from "./statusInput";

const FULL = {
  label: "20261118-030000F",
  stoppedAtS: Date.UTC(2026, 10, 18, 3, 2) / 1000,
  wal: ["000000010000000000000003", "000000010000000000000004"],
} as const;
const INCR = {
  ...FULL,
  label: "20261118-030000F_20261119-030000I",
  prior: FULL.label,
  stoppedAtS: Date.UTC(2026, 10, 19, 3, 1) / 1000,
} as const;
const DRILL = {
  version: 1,
  stanza: "demo",
  pick: "newest",
  level: "standard",
  backup: null,
  target: null,
  startedAtS: 0,
  phases: [],
  rpo: null,
  restoredBytes: 0,
  checks: [],
  objectives: {},
} as const;
const NOW_S = Date.UTC(2026, 10, 20, 6, 40, 59) / 1000;

let storages: FaultyStorage[];
let repos: Repository[];
beforeEach(() => {
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
});

const inputOf = (more: Partial<StatusInput> = {}): StatusInput => statusInput(factsOf(repos), NOW_S, more);
const textOf = async (more: Partial<StatusInput> = {}): Promise<string> =>
  statusText(await collectStatus(inputOf(more)));
/** Masks the storage's times, which differ in each run. */
const masked = (text: string): string => text.replaceAll(/to \d{4}-[^)]*\)/g, "to …");

describe("the screen", () => {
  // claim: docs/dumps.md: status shows the newest dump of each repository, and one that lacks a file needs attention
  test("of a repository with dumps", async () => {
    const [first, second] = repos as [Repository, Repository];
    for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    await storeDump(first, "20261119-020000Z-1a2b3c4d", { stoppedAtS: NOW_S - 86_400 });
    await storeDump(first, "20261120-020000Z-1a2b3c4d", { stoppedAtS: NOW_S - 4 * 3600 });
    const report = await collectStatus(inputOf());
    expect(isWell(report)).toBe(true);
    expect(statusText(report).match(/^.*dump.*$/gm)).toEqual([
      "    newest dump    20261120-020000Z-1a2b3c4d, 4 hours ago: shop, 2 dumps",
    ]);
    expect(statusJson(report)).toMatchObject({
      repos: [{ dumps: { complete: 2, faulty: [], newest: { label: "20261120-020000Z-1a2b3c4d" } } }, {}],
    });
    expect(JSON.stringify(statusJson({ ...report, repos: report.repos.slice(1) }))).not.toContain("dump");
    await storeDump(second, "20261120-020000Z-1a2b3c4d");
    await second.storage.remove("pgbackstop/demo/dump/20261120-020000Z-1a2b3c4d/globals.sql");
    const lacking = await collectStatus(inputOf());
    expect(isWell(lacking)).toBe(false);
    expect(statusText(lacking)).toContain(
      "    ! [FileMissingError] dump 20261120-020000Z-1a2b3c4d cannot be used: 'globals.sql' is missing or of another size\n",
    );
  });

  test("of a file system without space for another week", async () => {
    for (const repo of repos)
      await makeStanza(repo, { versions: ["18"], backups: [FULL, INCR], wal: { "18-1": FULL.wal } });
    const withFree = (freeBytes: number): Partial<StatusInput> => ({
      repos: factsOf(
        repos.map((repo) => ({
          ...repo,
          storage: overlaid(repo.storage, { space: async () => ({ freeBytes, totalBytes: 1024 ** 3 }) }),
        })),
      ),
    });
    expect(isWell(await collectStatus(inputOf(withFree(1024 ** 2))))).toBe(true);
    const report = await collectStatus(inputOf(withFree(0)));
    expect(isWell(report)).toBe(false);
    expect(statusText(report)).toMatch(/^ {4}! \[FileWriteError\] 0B are free, and a week like the last one \(/m);
  });

  // claim: docs/drills-attack.md: status compares the lock that an attack drill relied on with the age of each backup
  test("of backups that are older than the lock that an attack drill relied on", async () => {
    for (const repo of repos)
      await makeStanza(repo, { versions: ["18"], backups: [FULL, INCR], wal: { "18-1": FULL.wal } });
    const drill = { ...DRILL, pick: "attack", ok: true, failures: [], rtoMs: null, endedAtS: NOW_S } as const;
    const locked = (repo: number, days: number): DrillRecord => {
      const id = `20261120-0${repo}0000Z-1a2b3c4d`;
      return { ...drill, id, repo, lockedForS: days * 86_400 };
    };
    for (const [index, repo] of repos.entries())
      await saveDrill([repo], temporaryFolder(), locked(index + 1, index === 0 ? 2 : 30), testContext());
    const report = await collectStatus(inputOf());
    expect(report.repos.map(({ troubles }) => troubles.map(({ message }) => message))).toEqual([
      [expect.stringContaining("files are locked for 2 days, and 1 of 2 backups are older")],
      [],
    ]);
  });

  test("of two repositories with the same content", async () => {
    for (const repo of repos)
      await makeStanza(repo, { versions: ["18"], backups: [FULL, INCR], wal: { "18-1": FULL.wal } });
    expect(masked(await textOf())).toBe(
      [
        "demo: all is well, but no drill has restored these backups",
        "  repo1  memory1",
        "    newest backup  20261118-030000F_20261119-030000I (incr), 27 hours ago",
        "    newest full    20261118-030000F, 2 days ago",
        "    recoverable    from 2026-11-18T03:02:00Z to …, 2 backup(s)",
        "    WAL looked at  from 000000010000000000000003 on; never verified on this host",
        "  repo2  memory2",
        "    newest backup  20261118-030000F_20261119-030000I (incr), 27 hours ago",
        "    newest full    20261118-030000F, 2 days ago",
        "    recoverable    from 2026-11-18T03:02:00Z to …, 2 backup(s)",
        "    WAL looked at  from 000000010000000000000003 on; never verified on this host",
        "  waiting WAL    none",
        "",
      ].join("\n"),
    );
  });

  test("of dropped WAL says so until a backup of the same cluster begins after it", async () => {
    const last = "000000030000000000000009";
    const former = { ...FULL, label: "20261117-030000F", wal: [last, last] } as const;
    for (const [index, repo] of repos.entries()) {
      const backups = [former, { ...FULL, dbId: index + 1 }];
      await makeStanza(repo, { versions: ["17", "18"], backups, wal: {} });
    }
    const dropped: StatusInput["dropped"] = (_key, cluster) =>
      cluster?.version === "18" ? ["000000010000000000000002"] : [];
    const { repos: rows } = await collectStatus(inputOf({ dropped }));
    expect(rows.map(({ droppedCount }) => droppedCount)).toEqual([1, 0]);
    expect(rows[0]?.troubles.map(({ message }) => message)).toContainEqual(
      expect.stringContaining("1 WAL file(s) were dropped"),
    );
  });

  test("of a stream shows its progress, and that it is stalled", async () => {
    for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    const states = [
      { key: 1, lsn: "0/3000148", positionBytes: 0x3000148, atS: NOW_S - 4, lostCount: 0 },
      { key: 2, lsn: "0/2000148", positionBytes: 0x2000148, atS: NOW_S - 3600, lostCount: 0 },
    ];
    const streams = { intervalSeconds: 5, states, synchronous: null };
    const text = await textOf({ streams });
    expect(text).toContain("    streamed       to 0/3000148, everything written 4 seconds ago or earlier\n");
    expect(text).toContain(
      "    streamed       to 0/2000148, everything written 60 minutes ago or earlier, 16MB behind another repository\n",
    );
    expect(text).toContain("    ! [ArchiveTimeoutError] WAL was last streamed 60 minutes ago\n");
    const json = statusJson(await collectStatus(inputOf({ streams }))) as { repos: { stream: unknown }[] };
    expect(json.repos.map(({ stream }) => stream)).toEqual([
      { at: NOW_S - 4, behind: 0, lsn: "0/3000148" },
      { at: NOW_S - 3600, behind: 16_777_216, lsn: "0/2000148" },
    ]);
    // With a configured interval of an hour, an hour's delay is normal.
    expect(await textOf({ streams: { ...streams, intervalSeconds: 3600 } })).not.toContain("last streamed");
    expect(await textOf({ streams: { ...streams, states: states.slice(0, 1) } })).toContain(
      "! [ArchiveTimeoutError] no WAL was streamed here yet\n",
    );
    expect(await textOf({ streams: null })).not.toContain("streamed");
    const waiting = { ...streams, synchronous: { isWaiting: true, waitingS: 0, trouble: null } };
    expect(await textOf({ streams: waiting })).toContain("commits        wait for repositories (synchronous)\n");
    const hanging = { ...streams, synchronous: { isWaiting: true, waitingS: 45, trouble: null } };
    expect(await textOf({ streams: hanging })).toContain("(synchronous), now for 45");
    const gaveUp = { ...streams, synchronous: { isWaiting: false, waitingS: 0, trouble: "no answer" } };
    expect(await textOf({ streams: gaveUp })).toContain("commits do not wait for a repository: no answer\n");
    expect(statusJson(await collectStatus(inputOf({ streams: gaveUp })))).toMatchObject({
      synchronous: { trouble: "no answer", waiting: false },
    });
  });

  test("says how much of an opened backup is here, and what holds up the rest", async () => {
    const opened = {
      at: "/mnt/past",
      label: FULL.label,
      repo: "repo1",
      systemId: String(SYSTEM_ID),
      isServed: true,
      isProduction: false,
      isRecovering: false,
    };
    const progress: OpenProgress = {
      totalBytes: 2048,
      missingBytes: 512,
      isWhole: false,
      fetchesAll: false,
      trouble: null,
    };
    const lineOf = async (more: Partial<OpenProgress>): Promise<string> =>
      /^ {2}open +(.*)$/m.exec(await textOf({ opened: [{ ...opened, progress: { ...progress, ...more } }] }))?.[1] ??
      "";
    const what = `${FULL.label} of repo1 in /mnt/past`;
    expect(await lineOf({})).toBe(`${what}: 1.5KB of 2KB are here`);
    expect(await lineOf({ fetchesAll: true })).toBe(`${what}: 1.5KB of 2KB are here, fetching the rest`);
    expect(await lineOf({ fetchesAll: true, trouble: "repo1 is away" })).toBe(
      `${what}: 1.5KB of 2KB are here, the rest waits: repo1 is away`,
    );
    // Not on the disk yet.
    expect(await lineOf({ missingBytes: 0 })).toBe(`${what}: 2KB of 2KB are here`);
    expect(await lineOf({ missingBytes: 0, isWhole: true })).toBe(`${what}: everything is here`);
    const report = await collectStatus(inputOf({ opened: [{ ...opened, progress }] }));
    expect(statusJson(report)).toMatchObject({
      opened: [{ progress: { all: false, missing: 512, total: 2048, trouble: null, whole: false }, served: true }],
    });
  });

  // claim: docs/hosts/instant.md: metrics and `status` show…
  test("production that lacks files needs attention, an opened backup does not", async () => {
    const progress: OpenProgress = {
      totalBytes: 2048,
      missingBytes: 512,
      isWhole: false,
      fetchesAll: true,
      trouble: null,
    };
    const state = { systemId: String(SYSTEM_ID), isServed: true, isRecovering: false, progress };
    const opened = { at: "/data", label: FULL.label, repo: "repo1", ...state };
    const textFor = (more: Partial<OpenedBackup>): Promise<string> =>
      textOf({ opened: [{ ...opened, isProduction: true, ...more }] });
    expect(await textFor({})).toContain(
      `open           ${FULL.label} of repo1 in /data: production runs on it; 1.5KB of 2KB are here, fetching the rest\n`,
    );
    expect(await textFor({})).not.toContain("production lacks files");
    const away = { progress: { ...progress, trouble: "repo1 is away" } };
    expect(await textFor(away)).toMatch(/^demo: .*production lacks files; no drill/);
    expect(await textFor(away)).toContain("! [FileMissingError] files of production in '/data' cannot be fetched");
    expect(await textFor({ isServed: false })).toContain("! [ExecuteError] nobody serves the files of production");
    expect(await textFor({ isServed: false })).toContain("(not mounted: recover continues)");
    const [first] = repos;
    if (first === undefined) throw new Error("no repository");
    await makeStanza(first, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    expect(await textFor({})).toContain("in /data");
    expect(await textFor({ systemId: "1" })).not.toContain("in /data");
    for (const more of [away, { isServed: false }])
      expect(await textFor({ ...more, isProduction: false })).not.toContain("production");
  });

  // claim: docs/commands.md, docs/kubernetes/commands.md: `status` shows on one screen what needs attention
  test("says what needs attention in which repository, and what runs", async () => {
    const [first, second] = repos;
    if (first === undefined || second === undefined) throw new Error("no repositories");
    await makeStanza(first, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    await makeStanza(second, { versions: ["18"], backups: [], wal: {} });
    const more: Partial<StatusInput> = {
      missingWal: (repoIndex) => (repoIndex === 2 ? ["000000010000000000000004"] : []),
      expectFull: () => 86_400,
      waiting: { count: 3, oldestAtS: NOW_S - 40 },
      running: [{ what: "backup", percent: 43 }],
      opened: [
        {
          at: "/mnt/past",
          label: FULL.label,
          repo: "repo1",
          systemId: String(SYSTEM_ID),
          isServed: false,
          isProduction: false,
          isRecovering: false,
          progress: null,
        },
      ],
    };
    expect(masked(await textOf(more))).toBe(
      [
        "demo: 2 of 2 repositories need attention; no drill has restored these backups",
        "  repo1  memory1",
        "    newest backup  20261118-030000F (full), 2 days ago",
        "    recoverable    from 2026-11-18T03:02:00Z to …, 1 backup(s)",
        "    WAL looked at  from 000000010000000000000003 on; never verified on this host",
        "    ! [BackupSetInvalidError] the newest full backup '20261118-030000F' is 2 days old; expected is one every 24 hours",
        "      HINT: pgbackstop backup --type=full --repo=1 takes one; pgbackstop sync copies one from another repository.",
        "      HINT: Check the log of the scheduled backups.",
        "  repo2  memory2",
        "    missing WAL    1 file(s)",
        "    ! [BackupSetInvalidError] no full backup: nothing can be restored from this repository",
        "      HINT: pgbackstop backup --type=full --repo=2 takes one; pgbackstop sync copies one from another repository.",
        "    ! [FileMissingError] 1 acknowledged WAL file(s) are missing here",
        "      HINT: They are copied automatically. To copy them now: pgbackstop heal",
        "  waiting WAL    3 file(s), the oldest for 40 seconds",
        "  backup now     43 % done",
        "  open           20261118-030000F of repo1 in /mnt/past (not mounted: open or close it)",
        "",
      ].join("\n"),
    );
    const json = statusJson(await collectStatus(inputOf(more))) as { ok: boolean; repos: { troubles: unknown[] }[] };
    expect(json.ok).toBe(false);
    expect(json.repos.map(({ troubles }) => troubles.length)).toEqual([1, 2]);
  });

  test("names a conflict first, also in a repository that cannot be read", async () => {
    const [first, second] = repos;
    if (first === undefined || second === undefined) throw new Error("no repositories");
    for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    const names = ["000000010000000000000004", "000000010000000000000005"];
    const conflicts = (repoIndex: number): string[] => names.slice(0, repoIndex - 1);
    const one = await collectStatus(inputOf({ conflicts }));
    expect(isWell(one)).toBe(false);
    expect(one.repos.map(({ troubles }) => troubles.map(({ message }) => message))).toEqual([
      [],
      ["the archive's 000000010000000000000004 differs from this server's"],
    ]);
    storages[1]?.breakDown(fail("access", "refused"));
    const two = await collectStatus(inputOf({ conflicts: (repoIndex) => (repoIndex === 2 ? names : []) }));
    expect(two.repos[1]?.troubles[1]).toMatchObject({
      exitCode: 45,
      message: expect.stringContaining(
        "2 WAL files in the archive differ from this server's, the first is 000000010000000000000004",
      ),
    });
    expect(statusJson(two)).toMatchObject({ repos: [{ conflicts: [] }, { conflicts: names }] });
  });

  // claim: docs/commands.md: `status` shows on one…
  test("is not well while WAL waits for longer than the objective", async () => {
    for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    const waiting = { count: 2, oldestAtS: NOW_S - 200 };
    const overdue = { waiting, rpoS: 180 };
    const report = await collectStatus(inputOf(overdue));
    expect(isWell(report)).toBe(false);
    expect(statusText(report).split("\n")).toEqual([
      "demo: WAL waits for too long; no drill has restored these backups",
      ...Array.from({ length: 8 }, () => expect.any(String) as string),
      "  waiting WAL    2 file(s), the oldest for 3 minutes",
      "  ! [ArchiveTimeoutError] WAL has waited in pg_wal for 3 minutes; the objective is 3 minutes at most",
      "    HINT: pgbackstop check reports the repository or setting. After the repair, pgbackstop heal sends the WAL immediately.",
      "",
    ]);
    expect(statusJson(report)).toMatchObject({ ok: false, troubles: [{ error: "ArchiveTimeoutError" }] });
    const streams = {
      intervalSeconds: 5,
      states: [1, 2].map((key) => ({ key, lsn: "0/4000000", positionBytes: 0x4000000, atS: NOW_S, lostCount: 0 })),
      synchronous: null,
    };
    for (const well of [
      { ...overdue, waiting: { count: 2, oldestAtS: NOW_S - 180 } },
      // Without an objective five minutes are allowed.
      { waiting },
      // A former primary's leftovers.
      { ...overdue, isStandby: true },
      { ...overdue, waiting: null },
      // Streamed already.
      { ...overdue, streams },
    ])
      expect(await textOf(well)).toMatch(/^demo: all is well,/);
    const hour = { waiting: { count: 300, oldestAtS: NOW_S - 3600 } };
    expect(await textOf({ ...hour, streams })).toContain("for 60 minutes; expected is 5 minutes at most\n");
    expect(await textOf({ ...hour, rpoS: 7200 })).toMatch(/^demo: all is well,/);
    const [, second] = storages;
    second?.breakDown(fail("hostConnect", "unreachable"));
    expect(await textOf(overdue)).toMatch(/^demo: 1 of 2 repositories needs attention, WAL waits for too long; /);
  });

  // claim: docs/runbook.md: `status` shows other machines' drills
  test("knows other machines' drills, and the last measured RPO", async () => {
    for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    const drill = (no: number, more: object): DrillRecord => ({
      ...DRILL,
      id: `20261119-06405${no}Z-0000000${no}`,
      repo: 1,
      ok: true,
      endedAtS: NOW_S - 86_400 * (9 - no),
      rtoMs: 34_500,
      failures: [],
      ...more,
    });
    const backup = { label: "20261113-024001F", type: "full", stoppedAtS: NOW_S - 86_400 * 10 } as const;
    const rpo = { seconds: 11.2, method: "heartbeat", lostWalBytes: null } as const;
    for (const record of [
      drill(1, { rpo }),
      drill(2, { rpo: { ...rpo, seconds: 4 } }),
      drill(3, { pick: "oldest", backup }),
    ]) {
      await saveDrill(repos, temporaryFolder(), record, testContext());
    }
    const text = await textOf();
    expect(text).toContain(
      "    last drill     passed 6 days ago, open after 35 seconds\n    lost then      4 seconds (heartbeat), 7 days ago\n",
    );
    expect(text.match(/last drill/g)).toHaveLength(1);
    const { repos: reported } = statusJson(await collectStatus(inputOf())) as { repos: { drill: object | null }[] };
    expect(reported.map((each) => each.drill)).toEqual([
      {
        ended: NOW_S - 86_400 * 6,
        id: "20261119-064053Z-00000003",
        label: "20261113-024001F",
        level: "standard",
        ok: true,
        pick: "oldest",
        rpo: { ended: NOW_S - 86_400 * 7, method: "heartbeat", seconds: 4 },
        rtoMs: 34_500,
      },
      null,
    ]);
  });

  test("says in its headline which drill has restored a repository last, and when", async () => {
    for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    const drill = (no: number, more: object): DrillRecord => {
      const id = `20261119-06405${no}Z-0000000${no}`;
      return { ...DRILL, id, repo: 2, ok: true, endedAtS: NOW_S - 3 * 86_400, rtoMs: 1000, failures: [], ...more };
    };
    const drills = [drill(1, {}), drill(2, { repo: 3, endedAtS: NOW_S - 60 })];
    expect(await textOf({ drills })).toMatch(
      /^demo: all is well, last proven by a drill that restored repo2 3 days ago\n/,
    );
    const failed = [...drills, drill(3, { ok: false, endedAtS: NOW_S - 7200 })];
    const report = await collectStatus(inputOf({ drills: failed }));
    expect(statusText(report)).toMatch(
      /^demo: 1 of 2 repositories needs attention; last proven by a drill that restored repo2 3 days ago\n/,
    );
    expect(statusJson(report)).toMatchObject({
      proof: { ended: NOW_S - 3 * 86_400, id: "20261119-064051Z-00000001", repo: 2 },
      repos: [{}, { troubles: [{ code: "drill", hints: ["pgbackstop drill --repo=2 runs a new one."] }] }],
    });
  });

  test("heads a slot that nobody reads with these words, although no WAL waits", async () => {
    for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    const slot = {
      slot: "pgbackstop",
      atS: NOW_S,
      activeAtS: NOW_S - 3600,
      isActive: false,
      walStatus: null,
      retainedBytes: 0,
      safeBytes: null,
      lossCount: 0,
      trouble: null,
    };
    expect(await textOf({ slot })).toMatch(/^demo: nobody reads the replication slot; /);
  });

  // claim: docs/hosts/status.md: `status` shows next runs and drills
  test("shows the next runs and the result of each repository's newest drill", async () => {
    for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    const drill = (repo: number, ok: boolean, agoS: number) => ({
      ...DRILL,
      id: `20261120-06405${repo}Z-0000000${repo}`,
      repo,
      ok,
      endedAtS: NOW_S - agoS,
      rtoMs: ok ? 34_500 : null,
      failures: ok ? [] : [{ where: "checks", error: "DbQueryError", code: 57, message: "the table orders is empty" }],
    });
    const more: Partial<StatusInput> = {
      host: {
        troubles: [],
        notLookedAt: [],
        next: [
          { name: "verify", nextAtS: NOW_S + 7200, lastAtS: null },
          { name: "heal", nextAtS: null, lastAtS: null },
        ],
      },
      drills: [drill(1, false, 9000), drill(1, true, 7200), drill(2, false, 600)],
    };
    const text = await textOf(more);
    expect(text).toContain("    last drill     passed 2 hours ago, open after 35 seconds\n");
    expect(text).toContain("    last drill     failed 10 minutes ago\n");
    expect(text).toMatch(
      /demo: 1 of 2[^]*! \[BackupSetInvalidError\] the newest fire drill \(.*\) failed: the table orders is empty/,
    );
    expect(text).toContain("  next runs      verify in 2 hours, heal not planned\n");
    expect(statusJson(await collectStatus(inputOf(more)))).toMatchObject({
      next: [
        { last: null, name: "verify", next: NOW_S + 7200 },
        { last: null, name: "heal", next: null },
      ],
      repos: [{ drill: { ended: NOW_S - 7200, ok: true, rtoMs: 34_500 } }, { drill: { ok: false, rtoMs: null } }],
    });
  });

  // claim: docs/hosts/status.md: a unit that systemd does not run needs attention, and `status` says what it did not
  //   look at
  test("of a host that does not back up, and of what was not looked at", async () => {
    for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    const trouble = fail("execute", "pgbackstop-demo-full.timer is stopped", { hint: "systemctl enable --now it" });
    const host = { troubles: [trouble], notLookedAt: ["units: why"], next: null };
    const report = await collectStatus(inputOf({ host }));
    expect(isWell(report)).toBe(false);
    const lines = statusText(report).split("\n");
    expect(lines[0]).toBe("demo: this host needs attention; no drill has restored these backups");
    expect(lines).toContain("  ! [ExecuteError] pgbackstop-demo-full.timer is stopped");
    expect(lines).toContain("    HINT: systemctl enable --now it");
    expect(lines).toContain("  not looked at  units: why");
    expect(statusJson(report)).toMatchObject({
      next: null,
      notLookedAt: ["units: why"],
      ok: false,
      troubles: [{ error: "ExecuteError", message: "pgbackstop-demo-full.timer is stopped" }],
    });
  });

  test("continues with the other repository when one is unreadable", async () => {
    for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [FULL], wal: { "18-1": FULL.wal } });
    storages[1]?.breakDown(fail("fileOpen", "the disk is away"));
    const text = await textOf();
    expect(text).toContain("demo: 1 of 2 repositories needs attention");
    expect(text).toMatch(/repo1 {2}memory1\n {4}newest backup/);
    expect(text).toMatch(/repo2 {2}memory2\n {4}! \[/);
  });

  // claim: docs/commands.md: `status` shows on one…
  test("shows a repository that falls behind the other one, although it has the backups", async () => {
    const [first, second] = repos;
    if (first === undefined || second === undefined) throw new Error("no repositories");
    await makeStanza(first, {
      versions: ["18"],
      backups: [FULL],
      wal: { "18-1": [...FULL.wal, "000000010000000000000005"] },
    });
    await makeStanza(second, { versions: ["18"], backups: [FULL], wal: {} });
    expect(await textOf()).toContain("; another repository has had 000000010000000000000005 since");
  });
});
