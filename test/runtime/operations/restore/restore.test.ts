import { settingIn } from "../../../../runtime/operations/shared/settingsText";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { LIMITS } from "../../../../runtime/base/limits";
import { renderManifest } from "../../../../runtime/format/repository/manifest";
import { parsePgControl } from "../../../../runtime/format/page/pgControl";
import { inlinePool, type JobPool } from "../../../../runtime/operations/shared/jobs";
import { openSources } from "../../../../runtime/operations/restore/openSources";
import { restore, type RestoreOptions, type RestoreOutcome } from "../../../../runtime/operations/restore/restore";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadManifest } from "../../../../runtime/repository/backupStore";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { sampleBytes } from "../../format/vectors";
import { CONTROL, makeDataDirectory, makeTree, repository, temporaryFolder } from "../../repository/support";
import { runBackup } from "../backup/support";
import { restoreOptions } from "./support";

let folder: string;
let data: string;
let target: string;
let ctx: TestContext;
let first: FaultyStorage;
let second: FaultyStorage;
let repos: [Repository, Repository];

const MANY_COUNT = 60;
const MANY = Object.fromEntries(
  Array.from({ length: MANY_COUNT }, (_, index) => [`notes/${20000 + index}`, sampleBytes(3000 + index)]),
);

beforeEach(async () => {
  folder = temporaryFolder();
  data = makeDataDirectory(folder, { "large.bin": sampleBytes(1_200_000), ...MANY });
  target = join(folder, "restored");
  ctx = testContext();
  first = new FaultyStorage(new MemoryStorage({ name: "memory1", nowMs: () => ctx.clock.nowMs() }));
  second = new FaultyStorage(new MemoryStorage({ name: "memory2", nowMs: () => ctx.clock.nowMs() }));
  repos = [
    repository(1, { storage: first, compress: { type: "zst", level: 3 } }),
    repository(2, { storage: second, compress: { type: "gz", level: 1 }, pass: "second" }),
  ];
  await stanzaCreate(repos, CONTROL, ctx);
});

interface More extends Partial<Omit<RestoreOptions, "recovery">> {
  readonly recovery?: Partial<RestoreOptions["recovery"]>;
  /** Called before each file. */
  readonly onFile?: (name: string) => void;
  readonly requireStopped?: () => Promise<void>;
}

function restoreTo(
  to: string,
  from: readonly Repository[] = repos,
  { recovery, onFile, requireStopped = async () => {}, ...more }: More = {},
): Promise<RestoreOutcome> {
  const pool = inlinePool(new Map(from.map((repo) => [repo.key, repo])), ctx, 2);
  const watched: JobPool = {
    ...pool,
    run: (job) => {
      if (job.kind === "restoreFile") onFile?.(job.name);
      if (job.kind === "restoreFiles") for (const file of job.files) onFile?.(file.name);
      return pool.run(job);
    },
  };
  const base = restoreOptions(folder, to);
  return restore(
    from,
    {
      pool: watched,
      users: { userName: () => null, groupName: () => null, findUid: () => null, findGid: () => null },
      requireStopped,
    },
    { ...base, recovery: { ...base.recovery, ...recovery }, ...more },
    ctx,
  );
}

const warnings = (): string[] => ctx.lines.filter((line) => line.level === "warn").map((line) => line.text);
const labels = async (repo: Repository): Promise<string[]> =>
  (await loadBackupInfo(repo)).backups.map((entry) => entry.label);

function requireRestored(to: string): void {
  for (const name of ["large.bin", "base/1/1259", ...Object.keys(MANY)])
    expect(readFileSync(join(to, name)).equals(readFileSync(join(data, name))), name).toBe(true);
  expect(parsePgControl(readFileSync(join(to, "global/pg_control")).subarray(0, 512)).systemId).toBe(CONTROL.systemId);
}

describe("several repositories are one source", () => {
  it("that continues with the next one when a file breaks off", async () => {
    await runBackup(repos, data, ctx);
    first.plan(
      "read",
      { kind: "break", sizeBytes: 700, error: fail("hostConnect", "connection reset") },
      { path: /large\.bin/ },
    );
    expect((await restoreTo(target)).repoIndex).toBe(1);
    requireRestored(target);
    expect(warnings().filter((text) => text.startsWith("repo1: ["))).toEqual([
      "repo1: [HostConnectError] connection reset",
    ]);
    first.verifyAllFaultsExercised();
  });

  it("that asks a silent repository last", async () => {
    await runBackup(repos, data, ctx);
    let filesBefore = 0;
    await restoreTo(target, repos, {
      onFile: () => {
        if (++filesBefore === 5) first.breakDown(fail("hostConnect", "unreachable"));
      },
    });
    requireRestored(target);
    expect(warnings()).toContain("repo1 is now the last choice");
    // Running transfers fail, and a few more until the restore detects the outage.
    const atOnce = 2 * LIMITS.filesPerWorker;
    expect(warnings().filter((text) => text === "repo1: [HostConnectError] unreachable").length).toBeLessThanOrEqual(
      2 * atOnce,
    );
    expect(Object.keys(MANY).length).toBeGreaterThan(atOnce + 20);
  });

  it("that asks a repository again whose manifest could not be loaded, but not for each file", async () => {
    await runBackup(repos, data, ctx);
    const { recovery } = restoreOptions(folder, target);
    const { sources } = await openSources(repos, { set: undefined, recovery, server: null }, ctx);
    const file = sources.manifest.files.find(({ name }) => name === "pg_data/large.bin");
    if (file === undefined) throw new Error("no such file");
    const away = fail("hostConnect", "unreachable");
    const use = (): Promise<number> =>
      sources.use({ file, destination: "" }, async ({ repoIndex }) => {
        if (repoIndex === 1) throw away;
        return repoIndex;
      });
    second.breakDown(away);
    for (const _ of [1, 2, 3]) await expect(use()).rejects.toThrow("unreachable");
    expect(warnings().filter((text) => text.startsWith("repo2 cannot replace it"))).toHaveLength(1);
    second.repair();
    ctx.clock.advance(30_000);
    expect(await use()).toBe(2);
  });

  it("whatever label the run's backup has in each", async () => {
    await runBackup([repos[0]], data, ctx);
    ctx.clock.advance(10_000);
    writeFileSync(join(data, "large.bin"), sampleBytes(1_300_000));
    await runBackup(repos, data, ctx, { type: "incr" });
    const [full = "", incr = ""] = await labels(repos[0]);
    const [own = ""] = await labels(repos[1]);
    expect([incr.startsWith(`${full}_`), incr.endsWith("I"), own.endsWith("F")]).toEqual([true, true, true]);
    // Damage a file of the incremental backup, and remove one that it references.
    await first.put(`backup/demo/${incr}/pg_data/large.bin.zst`, Buffer.from("damaged"));
    await first.remove(`backup/demo/${full}/pg_data/notes/20007.zst`);
    expect(await restoreTo(target)).toMatchObject({ repoIndex: 1, label: incr });
    requireRestored(target);
    expect(warnings().filter((text) => text.startsWith("repo1: ["))).toHaveLength(2);
    // The other direction works too, by the label in the other repository.
    await second.remove(`backup/demo/${own}/pg_data/notes/20008.gz`);
    expect(await restoreTo(join(folder, "again"), repos, { set: own })).toMatchObject({ repoIndex: 2, label: own });
    requireRestored(join(folder, "again"));
  });

  it("even with another backup, when no repository can give the chosen one's manifest", async () => {
    await runBackup([repos[0]], data, ctx);
    ctx.clock.advance(10_000);
    await runBackup([repos[1]], data, ctx, {}, { stop: { lsn: "0/400200" } });
    const [label = ""] = await labels(repos[0]);
    for (const name of ["backup.manifest", "backup.manifest.copy"])
      await first.put(`backup/demo/${label}/${name}`, Buffer.from("damaged"));
    expect((await restoreTo(target)).repoIndex).toBe(2);
    requireRestored(target);
    expect(warnings()).toContain(`repo1: no repository can restore backup ${label}`);
    await expect(restoreTo(join(folder, "one"), [repos[0]])).rejects.toMatchObject({
      kind: "format",
      repoIndex: undefined,
    });
    await expect(restoreTo(join(folder, "named"), repos, { set: label })).rejects.toMatchObject({ kind: "format" });
  });

  it("but never takes the bytes of another backup", async () => {
    await runBackup([repos[0]], data, ctx);
    ctx.clock.advance(10_000);
    await runBackup([repos[1]], data, ctx, {}, { stop: { lsn: "0/400200" } });
    const [label = ""] = await labels(repos[0]);
    await first.remove(`backup/demo/${label}/pg_data/notes/20007.zst`);
    await expect(restoreTo(target)).rejects.toMatchObject({ kind: "fileMissing" });
    expect(existsSync(join(target, "global/pg_control"))).toBe(false);
  });

  it("has the WAL that recover saved in pg_wal before pg_control exists", async () => {
    await runBackup([repos[0]], data, ctx);
    makeTree(target, { "backup.manifest": "", "pgbackstop.old-wal/000000010000000000000007": "the last commits" });
    first.plan("read", { kind: "error", error: fail("fileRead", "damaged") }, { path: /pg_control/, times: 9 });
    await expect(restoreTo(target, repos, { delta: true })).rejects.toMatchObject({ kind: "fileRead" });
    expect(existsSync(join(target, "global/pg_control"))).toBe(false);
    expect(readFileSync(join(target, "pg_wal/000000010000000000000007"), "utf8")).toBe("the last commits");
    expect(existsSync(join(target, "pgbackstop.old-wal"))).toBe(false);
  });

  it("does not look for another source when this machine is at fault", async () => {
    await runBackup(repos, data, ctx);
    await expect(
      restoreTo(target, repos, {
        onFile: (name) => name === "pg_data/large.bin" && makeTree(target, { "large.bin/": "" }),
      }),
    ).rejects.toMatchObject({ kind: "fileOpen" });
    expect(warnings().filter((text) => text.startsWith("repo"))).toEqual([]);
  });
});

describe("the timelines of the archive", () => {
  const history = (timeline: number, text: string): Promise<void> =>
    first.put(`archive/demo/15-1/${timeline.toString(16).toUpperCase().padStart(8, "0")}.history`, Buffer.from(text));

  it("must lead on from the backup, unless recovery stays on its own", async () => {
    await runBackup(repos, data, ctx);
    await history(2, "1\t0/300000\tbefore the backup\n");
    const message = expect.stringContaining("forked from");
    await expect(restoreTo(target)).rejects.toMatchObject({ exitCode: 75, message });
    // Another backup is not of the followed timeline either, wherever its recovery ends.
    await expect(restoreTo(target, repos, { recovery: { type: "immediate" } })).rejects.toMatchObject({ exitCode: 75 });
    const latest = { recovery: { targetTimeline: "latest" } };
    await expect(restoreTo(target, repos, latest)).rejects.toMatchObject({ exitCode: 58, message });
    const [set = ""] = await labels(repos[0]);
    await expect(restoreTo(target, repos, { set })).rejects.toMatchObject({ exitCode: 58, message });
    expect(existsSync(target)).toBe(false);
    for (const more of [
      { recovery: { targetTimeline: "current" } },
      { recovery: { targetTimeline: "1" } },
      { recovery: { type: "immediate" as const }, set },
      { recovery: { type: "none" as const }, set },
    ])
      await restoreTo(join(folder, JSON.stringify(more).replaceAll(/\W/g, "")), repos, more);
    ctx.clock.advance(1000);
    await history(3, "1\t0/500000\tafter it\n");
    await restoreTo(target);
  });

  it("are reported when unreadable and do not stop a restore", async () => {
    await runBackup(repos, data, ctx);
    await history(2, "1\t0/500000\tafter it\n");
    first.plan("list", { kind: "error", error: fail("access", "denied") }, { path: /archive\/demo\/15-1/ });
    await restoreTo(target);
    expect(warnings()).toContain("repo1: unable to check timelines: [AccessError] denied");
  });
});

describe("before it changes anything, a restore refuses", () => {
  it("a backup with damaged pages (26), unless they are allowed", async () => {
    const page = Buffer.alloc(8192, 7);
    writeFileSync(join(data, "base/5/30000"), page);
    await runBackup(repos, data, ctx, { checksumPage: true });
    makeTree(target, { PG_VERSION: "15\n", precious: "old" });
    const damaged =
      "backup 20261120-064059F was taken with damaged pages\ninvalid page checksum(s) found in file pg_data/base/5/";
    await expect(restoreTo(target, repos, { delta: true, checksumPageError: true })).rejects.toMatchObject({
      kind: "checksum",
      message: expect.stringContaining(damaged),
    });
    expect(readFileSync(join(target, "precious"), "utf8")).toBe("old");
    await restoreTo(target, repos, { delta: true });
    expect(existsSync(join(target, "precious"))).toBe(false);
    expect(warnings()).toContain("invalid page checksum(s) found in file pg_data/base/5/30000");
  });

  // claim: docs/hosts/recover.md: a server that is started while a restore chooses its backup is left alone
  it("a server that was started since it began (38), even in the last moment", async () => {
    await runBackup([repos[0]], data, ctx);
    const control = readFileSync(join(data, "global/pg_control"));
    makeTree(target, { PG_VERSION: "15\n", precious: "old" });
    mkdirSync(join(target, "global"));
    writeFileSync(join(target, "global/pg_control"), control);
    const refused = async (more: More = {}): Promise<void> => {
      await expect(restoreTo(target, [repos[0]], { ...more, delta: true })).rejects.toMatchObject({
        kind: "pgRunning",
      });
      expect(readdirSync(join(target, "global"))).toEqual(["pg_control"]);
      expect(readFileSync(join(target, "global/pg_control")).equals(control)).toBe(true);
      expect(readFileSync(join(target, "precious"), "utf8")).toBe("old");
    };
    const start = (): void => writeFileSync(join(target, "postmaster.pid"), "4711\n");
    const read = first.read.bind(first);
    first.read = async (path, range) => {
      if (path.endsWith("backup.info")) start();
      return read(path, range);
    };
    await refused();
    first.read = read;
    rmSync(join(target, "postmaster.pid"));
    // At the first look, immediately before pg_control is moved, and after that.
    for (const looks of [1, 2, 3]) {
      let count = 0;
      await refused({ requireStopped: async () => void (++count === looks && start()) });
      expect(count).toBe(looks);
      rmSync(join(target, "postmaster.pid"));
    }
    await restoreTo(target, [repos[0]], { delta: true });
    requireRestored(target);
  });

  it("a backup of a PostgreSQL with another kind of recovery (46)", async () => {
    await runBackup(repos, data, ctx);
    const [label = ""] = await labels(repos[0]);
    const manifest = await loadManifest(repos[0], label, null);
    const old = { ...manifest, pg: { ...manifest.pg, version: "9.6" } };
    await first.put(`backup/demo/${label}/backup.manifest`, Buffer.from(renderManifest(old)));
    await expect(restoreTo(target)).rejects.toMatchObject({ kind: "versionNotSupported", exitCode: 46 });
    expect(existsSync(target)).toBe(false);
  });

  it("a file link with an existing destination (93), and a directory without rights (53)", async () => {
    await runBackup(repos, data, ctx);
    makeTree(folder, { "etc/taken.conf": "x" });
    await expect(
      restoreTo(target, repos, { linkMap: { "postgresql.conf": join(folder, "etc/taken.conf") } }),
    ).rejects.toMatchObject({
      kind: "fileExists",
      exitCode: 93,
    });
    expect(existsSync(target)).toBe(false);
    await restoreTo(target, repos, { linkMap: { "postgresql.conf": join(folder, "etc/new/main.conf") } });
    expect(readFileSync(join(folder, "etc/new/main.conf"), "utf8")).toBe("# nothing\n");
  });
});

describe("a backup that was named", () => {
  it("is restored even when it ends after the target, with a warning", async () => {
    await runBackup(repos, data, ctx);
    const [label = ""] = await labels(repos[0]);
    const behind = `backup ${label} ends after the target`;
    const requests = [
      [{ type: "time", target: "2026-11-20 06:40:00+00" }, true],
      [{ type: "time", target: "2026-11-20 07:00:00+00" }, false],
      [{ type: "time", target: "yesterday" }, false],
      [{ type: "lsn", target: "0/300000" }, true],
      [{ type: "lsn", target: "0/400100" }, false],
      [{ type: "xid", target: "5" }, false],
    ] as const;
    for (const [index, [recovery, isBehind]] of requests.entries()) {
      ctx.lines.length = 0;
      await restoreTo(join(folder, String(index)), repos, { set: label, recovery });
      expect(
        warnings().some((text) => text.startsWith(behind)),
        recovery.target,
      ).toBe(isBehind);
    }
  });
});

it("killed at any step, it continues with --delta", async () => {
  await runBackup(repos, data, ctx);
  // What a kill leaves: before its log lines and before each file.
  const left: string[] = [];
  const kept = ctx;
  const keep = (): void => {
    const copy = join(folder, `left-${left.length}`);
    if (existsSync(target)) cpSync(target, copy, { recursive: true, preserveTimestamps: true });
    else mkdirSync(copy);
    left.push(copy);
  };
  ctx = { ...kept, log: { ...kept.log, detail: keep } };
  await restoreTo(target, [repos[0]], { onFile: keep });
  ctx = kept;
  const halfMarked = join(folder, "left-half-marked");
  makeTree(halfMarked, { "backup.manifest.pgbackrest.tmp": "[backrest]" });
  expect(left.length).toBeGreaterThan(MANY_COUNT);
  const few = left.filter((_, index) => index < 12 || index % 30 === 0);
  for (const copy of [...few, halfMarked]) {
    await restoreTo(copy, [repos[0]], { delta: true });
    requireRestored(copy);
    expect(readdirSync(copy).filter((name) => name.startsWith("backup.manifest"))).toEqual([]);
  }
});

// claim: docs/internals/versus-pgbackrest.md: restore --delta over files with another name
it("over a copy by `cp -al`, it leaves the copy as it is", async () => {
  await runBackup(repos, data, ctx);
  const safety = join(folder, "safety");
  for (const more of [{ delta: true }, { force: true }, { delta: true, databaseExclude: ["5"] }]) {
    rmSync(target, { recursive: true, force: true });
    rmSync(safety, { recursive: true, force: true });
    cpSync(data, target, { recursive: true, preserveTimestamps: true });
    appendFileSync(join(target, "large.bin"), "since the backup");
    chmodSync(join(target, "large.bin"), 0o640);
    execFileSync("cp", ["-al", target, safety]);
    const before = entriesOf(safety);
    await restoreTo(target, [repos[0]], more);
    expect(entriesOf(safety)).toEqual(before);
    requireRestored(target);
  }
});

/** Each file with its mode and bytes. */
function entriesOf(directory: string): Map<string, string> {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
  const paths = names.map((name) => join(directory, name)).filter((path) => statSync(path).isFile());
  return new Map(paths.map((path) => [path, `${statSync(path).mode} ${sha1Hex(readFileSync(path))}`]));
}

it("a target on a day that no calendar has is refused (29) before anything is written, also with a named backup", async () => {
  await runBackup(repos, data, ctx);
  const [label = ""] = await labels(repos[0]);
  const recovery = { type: "time", target: "2026-11-31 00:00:00+00" } as const;
  for (const set of [label, undefined])
    await expect(restoreTo(target, repos, { ...(set === undefined ? {} : { set }), recovery })).rejects.toMatchObject({
      exitCode: 29,
      message: "invalid date 2026-11-31 in time '2026-11-31 00:00:00+00'",
    });
  expect(existsSync(target)).toBe(false);
});

describe("a backup of a stopped server", () => {
  it("recovers nothing, unless a type of recovery is requested; its pg_control is unchanged", async () => {
    await runBackup(repos, data, ctx);
    const [label = ""] = await labels(repos[0]);
    const manifest = await loadManifest(repos[0], label, null);
    const offline = { ...manifest, options: { ...manifest.options, online: false } };
    await first.put(`backup/demo/${label}/backup.manifest`, Buffer.from(renderManifest(offline)));
    for (const [typeIsDefault, signal] of [
      [true, false],
      [false, true],
    ] as const) {
      const to = join(folder, String(typeIsDefault));
      await restoreTo(to, repos, { typeIsDefault });
      expect(existsSync(join(to, "recovery.signal"))).toBe(signal);
      expect(readFileSync(join(to, "global/pg_control")).equals(readFileSync(join(data, "global/pg_control")))).toBe(
        true,
      );
    }
    expect(ctx.lines.some((line) => line.text === `repo1: restore backup set ${label}`)).toBe(true);
  });
});

describe("old state", () => {
  it("has no effect: old targets in any configuration file, WAL in stock's spool", async () => {
    writeFileSync(
      join(data, "postgresql.conf"),
      "include_dir 'conf.d'\nrecovery_target_name = 'old'\nwork_mem = '1MB'\n",
    );
    makeTree(data, { "conf.d/a.conf": "recovery_target_action = 'shutdown'\n" });
    makeTree(join(folder, "spool"), { "in/000000010000000000000001": "x", "out/000000010000000000000002.ok": "" });
    await runBackup(repos, data, ctx);
    await restoreTo(target);
    expect(readFileSync(join(target, "conf.d/a.conf"), "utf8")).toBe("recovery_target_action = 'shutdown'\n");
    const autoConf = readFileSync(join(target, "postgresql.auto.conf"), "utf8");
    expect(settingIn("recovery_target_name", [autoConf])).toBe("");
    expect(settingIn("recovery_target_action", [autoConf])).toBe("pause");
    expect(ctx.lines.map(({ text }) => text)).toEqual(
      expect.arrayContaining([
        "recovery_target_name = '' replaces the configuration's until recovery ends",
        "recovery_target_action = 'pause' replaces the configuration's until recovery ends",
      ]),
    );
    expect([
      existsSync(join(folder, "spool/in/000000010000000000000001")),
      existsSync(join(folder, "spool/out")),
    ]).toEqual([false, true]);
    // The manifest marks a running restore, so a finished one removes it.
    expect(existsSync(join(target, "backup.manifest"))).toBe(false);
  });

  it("is reported when it cannot be read, and stops no restore", async () => {
    writeFileSync(join(data, "postgresql.conf"), "include 'base'\n");
    ctx.clock.advance(10_000);
    await runBackup(repos, data, ctx);
    await restoreTo(join(folder, "second"));
    expect(warnings().at(-1)).toContain(
      "unable to search the server's configuration for recovery settings: unable to open file",
    );
  });

  it("the marker of a running restore holds no passphrase", async () => {
    await runBackup(repos, data, ctx);
    const [label = ""] = await labels(repos[1]);
    const { cipherPass = "" } = await loadManifest(
      repos[1],
      label,
      (await loadBackupInfo(repos[1])).cipherPass ?? null,
    );
    let mark = "";
    await restoreTo(target, [repos[1]], {
      onFile: () => {
        mark = readFileSync(join(target, "backup.manifest"), "utf8");
      },
    });
    expect([cipherPass.length > 20, mark.includes(cipherPass), mark.includes(label)]).toEqual([true, false, true]);
    expect(statSync(join(target, "global/pg_control")).mtimeMs % 1000).toBe(0);
  });
});
