// claim: docs/retention.md: a held backup stays with all that it needs, until its end or until release
import { beforeEach, describe, expect, test } from "vitest";
import { annotateCommand } from "../../../../runtime/commands/backups/annotate";
import { expireCommand } from "../../../../runtime/commands/backups/expire";
import { holdCommand, releaseCommand } from "../../../../runtime/commands/backups/hold";
import { stanzaDeleteCommand } from "../../../../runtime/commands/setup/stanzaDelete";
import { writeStopFile } from "../../../../runtime/local/stopFile";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
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

  test("refuses to delete the stanza", async () => {
    await run("hold", `--set=${FULL}`, "--reason=audit", "--until=2026-03-01");
    const lockPath = `${folder}/lock`;
    writeStopFile(lockPath, "demo");
    const made = (): ReturnType<typeof host> =>
      host({
        argv: ["--repo=1", "stanza-delete"],
        repos: repos.slice(0, 1),
        ctx: testContext({ clock }),
        folder,
        config: { lockPath },
      });
    await expect(stanzaDeleteCommand(made())).rejects.toThrow(
      `backup ${FULL} of repo1 is held: audit (until 2026-03-01T23:59:59Z)`,
    );
    expect(await listed()).toHaveLength(5);
  });

  test("ends by its date, but not because the clock of this host is ahead", async () => {
    await run("hold", `--set=${FULL}`, "--reason=audit", "--until=2026-02-20 12:00:00+00");
    clock = new HeldClock(NOW_MS + 400 * 86_400_000);
    await expire();
    expect(await listed()).toEqual([FULL, NEW]);
    clock = new HeldClock(NOW_MS + 20 * 86_400_000);
    await expire();
    expect(await listed()).toEqual([NEW]);
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
