// claim: docs/retention.md: a held backup stays with all that it needs, until its end or until release
import { beforeEach, describe, expect, test } from "vitest";
import { annotateCommand } from "../../../../runtime/commands/backups/annotate";
import { expireCommand } from "../../../../runtime/commands/backups/expire";
import { holdCommand, releaseCommand } from "../../../../runtime/commands/backups/hold";
import { stanzaDeleteCommand } from "../../../../runtime/commands/setup/stanzaDelete";
import { writeStopFile } from "../../../../runtime/local/stopFile";
import type { BackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import { readFile, type Repository } from "../../../../runtime/repository/repository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { HeldClock, testContext, type TestContext } from "../../../harness/context";
import { makeStanza } from "../../../harness/madeRepository";
import { repository, temporaryFolder, walName } from "../../repository/support";
import { host } from "../support";

const FULL = "20260101-000000F";
const [FIRST, SECOND, THIRD] = ["02", "03", "04"].map((day) => `${FULL}_202601${day}-000000I`) as [
  string,
  string,
  string,
];
const NEW = "20260201-000000F";
const STANZA = {
  versions: ["15"],
  backups: [
    { label: FULL, wal: [walName(1), walName(1)] },
    { label: FIRST, prior: FULL, wal: [walName(3), walName(3)] },
    { label: SECOND, prior: FIRST, wal: [walName(5), walName(6)] },
    { label: THIRD, prior: SECOND, wal: [walName(8), walName(8)] },
    { label: NEW, wal: [walName(10), walName(10)] },
  ],
  wal: { "15-1": Array.from({ length: 12 }, (_, no) => walName(no)) },
} as const;
const NOW_MS = Date.UTC(2026, 1, 1, 6);

let folder: string;
let clock: HeldClock;
let storages: MemoryStorage[];
let repos: Repository[];
beforeEach(async () => {
  folder = temporaryFolder();
  clock = new HeldClock(NOW_MS);
  storages = [1, 2].map((key) => new MemoryStorage({ name: `memory${key}` }));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  for (const repo of repos) await makeStanza(repo, STANZA);
});

const COMMANDS = {
  annotate: annotateCommand,
  expire: expireCommand,
  hold: holdCommand,
  release: releaseCommand,
} as const;

async function run(name: keyof typeof COMMANDS, ...argv: string[]): Promise<TestContext<HeldClock>> {
  const ctx = testContext({ clock });
  await COMMANDS[name](host({ folder, repos, ctx, argv: [name, ...argv] }));
  return ctx;
}

function expire(...argv: string[]): Promise<TestContext<HeldClock>> {
  return run("expire", "--repo1-retention-full=1", "--repo2-retention-full=1", ...argv);
}

function deleteStanza(...argv: string[]): ReturnType<typeof stanzaDeleteCommand> {
  const config = { lockPath: `${folder}/lock` };
  const ctx = testContext({ clock });
  return stanzaDeleteCommand(
    host({ argv: ["--repo=1", "stanza-delete", ...argv], repos: repos.slice(0, 1), ctx, folder, config }),
  );
}

/** What the first repository has after an `expire` so many days later. */
async function leftAfter(days: number): Promise<string[]> {
  clock = new HeldClock(NOW_MS + days * 86_400_000);
  await expire();
  return listed();
}

async function listed(repo = repos[0]): Promise<string[]> {
  return repo === undefined ? [] : (await loadBackupInfo(repo)).backups.map(({ label }) => label);
}

describe("hold", () => {
  test("keeps an incremental backup with all that it needs and its WAL in each repository, and the rest goes", async () => {
    await run("hold", `--set=${SECOND}`, "--reason=audit 2026");
    await expire();
    for (const repo of repos) expect(await listed(repo)).toEqual([FULL, FIRST, SECOND, NEW]);
    const names = storages[0]?.paths().flatMap((path) => /15-1\/\d{16}\/(\d[0-9A-F]{23})/.exec(path)?.[1] ?? []);
    expect(names?.sort()).toEqual([1, 3, 5, 6, 10, 11].map((no) => walName(no)));
    const done = await run("release", `--set=${SECOND}`);
    expect(done.lines.map(({ text }) => text)).toContain(`backup ${SECOND} of repo1, repo2: released`);
    await expire();
    expect(await listed()).toEqual([NEW]);
  });

  test("refuses to remove it, or what it needs, by hand", async () => {
    await run("hold", `--set=${SECOND}`, "--reason=audit");
    for (const label of [SECOND, FULL]) {
      const ctx = testContext({ clock });
      const made = host({ folder, repos, ctx, argv: ["expire", `--set=${label}`] });
      await expect(expireCommand(made)).rejects.toThrow("encountered 2 error(s)");
      const text = ctx.lines.map((line) => `${line.text} ${line.error?.message ?? ""}`).join("\n");
      expect(text).toContain(`backup ${SECOND} is held: audit (until release)`);
    }
    await expect(expire("--oldest")).rejects.toThrow("encountered 2 error(s)");
    expect(await listed()).toEqual(STANZA.backups.map(({ label }) => label));
    await expire(`--set=${THIRD}`);
    expect(await listed()).toEqual([FULL, FIRST, SECOND, NEW]);
  });

  test("fails where the repository does not show the record that it says it has stored", async () => {
    const [lying] = storages as [MemoryStorage];
    const put = lying.put.bind(lying);
    lying.put = async (path, bytes) => (path.includes("/holds/") ? undefined : put(path, bytes));
    await expect(run("hold", `--set=${SECOND}`, "--reason=audit")).rejects.toThrow(
      "hold failed in 1 of 2 repositories",
    );
    lying.put = put;
    await run("hold", `--set=${SECOND}`, "--reason=audit");
  });

  test("refuses to delete the stanza", async () => {
    await run("hold", `--set=${FULL}`, "--reason=audit", "--until=2026-03-01");
    writeStopFile(`${folder}/lock`, "demo");
    await expect(deleteStanza()).rejects.toThrow(`backup ${FULL} of repo1 is held: audit (until 2026-03-01T23:59:59Z)`);
    expect(await listed()).toHaveLength(5);
    for (const path of ["backup.info", "backup.info.copy"]) await storages[0]?.remove(`backup/demo/${path}`);
    await expect(deleteStanza()).rejects.toThrow(`backup ${FULL} of repo1 is held: audit`);
    expect(await deleteStanza("--force")).toBe(0);
    expect(storages[0]?.paths()).toEqual([]);
  });

  test("ends by its date, but not because the clock of this host is ahead", async () => {
    await run("hold", `--set=${FULL}`, "--reason=audit", "--until=2026-02-20 12:00:00+00");
    expect(await leftAfter(400)).toEqual([FULL, NEW]);
    expect(await leftAfter(20)).toEqual([NEW]);
  });

  describe("of a list that has lost it", () => {
    const lines = (ctx: TestContext<HeldClock>): string[] => ctx.lines.map(({ text }) => text);
    let before: BackupInfo[];
    beforeEach(async () => {
      before = [];
      for (const repo of repos) before.push(await loadBackupInfo(repo));
    });

    /** As stock's backup does that read the list before. */
    async function writeBack(change = (info: BackupInfo): BackupInfo => info): Promise<void> {
      for (const [index, repo] of repos.entries())
        await saveBackupInfo(repo, change(before[index] as BackupInfo), testContext());
    }

    test("keeps the backup, writes the hold back, and lets it go after release", async () => {
      await run("hold", `--set=${SECOND}`, "--reason=audit 2026", "--until=2027-12-31");
      await writeBack();
      const ctx = await expire();
      expect(lines(ctx)).toContain(
        `repo1: backup ${SECOND} is held: audit 2026 (until 2027-12-31T23:59:59Z): backup.info lacked the hold`,
      );
      for (const repo of repos) {
        const { backups } = await loadBackupInfo(repo);
        expect(backups.map(({ label }) => label)).toEqual([FULL, FIRST, SECOND, NEW]);
        expect(backups[2]?.annotations).toMatchObject({ "pgbackstop-hold": "audit 2026" });
      }
      expect(lines(await expire()).join()).not.toContain("lacked");
      await run("release", `--set=${SECOND}`);
      await expire();
      expect(await listed()).toEqual([NEW]);
      expect(storages.flatMap((storage) => storage.paths().filter((path) => path.includes("/holds/")))).toEqual([]);
    });

    test("writes it back although nothing goes, and not in a dry run", async () => {
      await run("hold", `--set=${THIRD}`, "--reason=audit");
      await writeBack();
      await run("expire", "--dry-run");
      const noted = async (): Promise<unknown> =>
        (await loadBackupInfo(repos[0] as Repository)).backups[3]?.annotations?.["pgbackstop-hold"];
      expect(await noted()).toBeUndefined();
      await run("expire", "--repo1-retention-full=2");
      expect(await noted()).toBe("audit");
    });

    test("refuses to remove it by hand, and to delete the stanza", async () => {
      await run("hold", `--set=${SECOND}`, "--reason=audit");
      await writeBack();
      await expect(run("expire", `--set=${FIRST}`)).rejects.toThrow("encountered 2 error(s)");
      writeStopFile(`${folder}/lock`, "demo");
      await expect(deleteStanza()).rejects.toThrow(`backup ${SECOND} of repo1 is held: audit (until release)`);
      expect(await listed()).toHaveLength(5);
    });

    test("counts the longer of two", async () => {
      await run("hold", `--set=${FULL}`, "--reason=short", "--until=2026-02-10");
      for (const [index, repo] of repos.entries()) before[index] = await loadBackupInfo(repo);
      await run("hold", `--set=${FULL}`, "--reason=long", "--until=2026-03-10");
      await writeBack();
      expect(await leftAfter(20)).toEqual([FULL, NEW]);
      expect(await leftAfter(40)).toEqual([NEW]);
    });

    test("keeps what the list lost with it, of an encrypted repository too, until release", async () => {
      storages = [new MemoryStorage({ name: "memory1" })];
      repos = [repository(1, { storage: storages[0] as MemoryStorage, pass: "secret" })];
      await makeStanza(repos[0] as Repository, STANZA);
      before = [await loadBackupInfo(repos[0] as Repository)];
      await run("hold", `--set=${SECOND}`, "--reason=private words");
      const stored = await readFile(repos[0] as Repository, `pgbackstop/demo/holds/${SECOND}`, null);
      expect(Buffer.from(stored).toString("latin1")).not.toContain("private");
      // As after a stanza-create that knows only the cluster of now.
      await writeBack((info) => ({
        ...info,
        currentId: 7,
        history: info.history.map((row) => ({ ...row, id: 7, systemId: 1n })),
        backups: [],
      }));
      const ctx = await run("expire", "--repo1-retention-full=1");
      expect(lines(ctx)).toContain(
        `repo1: backup ${SECOND} is held: private words (until release): backup.info lacks it, and its files stay`,
      );
      const labels = (): string[] => [
        ...new Set(
          storages[0]?.paths().flatMap((path) => /^backup\/demo\/(\d{8}-\d{6}F[^/]*)\//.exec(path)?.[1] ?? []),
        ),
      ];
      // The newest may be a backup that still runs elsewhere.
      expect(labels()).toEqual([FULL, FIRST, SECOND, THIRD, NEW]);
      await run("release", `--set=${SECOND}`);
      await run("expire", "--repo1-retention-full=1");
      expect(labels()).toEqual([NEW]);
    });

    test("says once that another program removed it", async () => {
      await run("hold", `--set=${FULL}`, "--reason=audit");
      await writeBack((info) => ({ ...info, backups: info.backups.filter(({ label }) => label === NEW) }));
      for (const storage of storages) await storage.removePath(`backup/demo/${FULL}`);
      for (const storage of storages)
        for (const label of [FIRST, SECOND, THIRD]) await storage.removePath(`backup/demo/${label}`);
      const text = `repo1: backup ${FULL} is held: audit (until release): another program removed it`;
      expect(lines(await expire())).toContain(text);
      expect(lines(await expire())).not.toContain(text);
    });

    test.each(["", "{", '{"version":2}', '{"version":1,"hold":{"reason":5}}'])(
      "keeps a backup whose record is unreadable: %j",
      async (text) => {
        for (const storage of storages) await storage.put(`pgbackstop/demo/holds/${FULL}`, Buffer.from(text));
        await expire();
        expect(await listed()).toEqual([FULL, NEW]);
        await run("release", `--set=${FULL}`);
        await expire();
        expect(await listed()).toEqual([NEW]);
      },
    );
  });

  test("shows in a dry run's calendar, with what it needs", async () => {
    await run("hold", `--set=${FIRST}`, "--reason=audit");
    const ctx = testContext({ clock });
    const made = host({
      folder,
      repos: repos.slice(0, 1),
      ctx,
      argv: ["expire", "--dry-run", "--repo1-retention-full=1"],
    });
    await expireCommand(made);
    expect(made.printed.join("")).toBe(
      [
        "repo1: what stays",
        `  ${FULL}                   needed by ${FIRST}; only as it was when it ended`,
        `  ${FIRST}  held: audit (until release); only as it was when it ended`,
        `  ${NEW}                   within retention`,
        "repo1: what goes",
        `  ${SECOND}`,
        `  ${THIRD}`,
        "repo1: any point in time from 2026-02-01T00:01:00Z on\n",
      ].join("\n"),
    );
    expect(await listed()).toHaveLength(5);
  });

  test("refuses a hold without a reason, with one that is not on one line, and with an end that is over or none", async () => {
    const refused = async (reason: string, until: string | null, message: string): Promise<void> => {
      const argv = [`--set=${FULL}`, `--reason=${reason}`, ...(until === null ? [] : [`--until=${until}`])];
      await expect(run("hold", ...argv)).rejects.toThrow(message);
    };
    await refused(" ", null, "' ' is not valid for 'reason' option");
    await refused("two\nlines", null, "is not valid for 'reason' option");
    await refused("audit", "2026-01-31", "'2026-01-31' is not valid for 'until' option");
    await refused("audit", "2026-02-30", "'2026-02-30' is not valid for 'until' option");
    await refused("audit", "soon", "'soon' is not valid for 'until' option");
    await expect(run("hold", "--set=20200101-000000F", "--reason=audit")).rejects.toThrow(
      "no repository has backup 20200101-000000F",
    );
    await expect(run("annotate", `--set=${FULL}`, "--annotation=pgbackstop-hold=")).rejects.toThrow("is a hold's");
    expect((await loadBackupInfo(repos[0] as Repository)).backups[0]?.annotations).not.toHaveProperty(
      "pgbackstop-hold",
    );
  });
});
