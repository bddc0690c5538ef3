import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { restore, type RestoreOptions } from "../../../../runtime/operations/restore/restore";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { verify } from "../../../../runtime/operations/verify/verify";
import { listLabels, loadManifest } from "../../../../runtime/repository/backupStore";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { HeldClock, TEST_TIME_MS, type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { sampleBytes } from "../../format/vectors";
import {
  CONTROL,
  makeDataDirectory,
  makeTree,
  OTHER_CONTROL,
  repository,
  temporaryFolder,
  WAL_SIZE_BYTES,
  walName,
} from "../../repository/support";
import { pathOf, store } from "../archive";
import { pages, runBackup } from "./support";
import { restoreOptions } from "../restore/support";

let folder: string;
let data: string;
let ctx: TestContext;
let first: FaultyStorage;
let second: FaultyStorage;
let repos: [Repository, Repository];

beforeEach(async () => {
  folder = temporaryFolder();
  // One file is larger than a chunk, so that both copy methods run.
  data = makeDataDirectory(folder, { "base/5/large": sampleBytes(1_200_000), "base/5/16386": pages(4) });
  mkdirSync(join(data, "empty_dir"));
  ctx = testContext();
  first = new FaultyStorage(new MemoryStorage({ name: "memory1" }));
  second = new FaultyStorage(new MemoryStorage({ name: "memory2" }));
  repos = [
    repository(1, { storage: first, compress: { type: "zst", level: 3 } }),
    repository(2, { storage: second, compress: { type: "gz", level: 1 }, pass: "second" }),
  ];
  await stanzaCreate(repos, CONTROL, ctx);
});

const labelsOf = async (repo: Repository): Promise<string[]> =>
  (await loadBackupInfo(repo)).backups.map((entry) => entry.label);

async function requireWhole(repo: Repository): Promise<void> {
  const verdict = await verify(repo, inlinePool(new Map([[repo.key, repo]]), ctx, 2), WAL_SIZE_BYTES, ctx);
  expect(
    verdict.backups.filter((row) => row.status !== "valid"),
    verdict.problems.join("\n"),
  ).toEqual([]);
}

async function restoreFrom(from: readonly Repository[], to: string, more: Partial<RestoreOptions> = {}): Promise<void> {
  await restore(
    from,
    {
      pool: inlinePool(new Map(from.map((repo) => [repo.key, repo])), ctx, 2),
      users: { userName: () => null, groupName: () => null, findUid: () => null, findGid: () => null },
    },
    { ...restoreOptions(folder, to), ...more },
    ctx,
  );
}

/** Relative paths of all files with their content. */
function tree(root: string): Map<string, string> {
  const result = new Map<string, string>();
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) result.set(path.slice(root.length + 1), readFileSync(path).toString("latin1"));
  }
  return result;
}

describe("a backup", () => {
  it("is one pass into every repository under one label, and restores from each of them", async () => {
    const outcome = await runBackup(repos, data, ctx, { annotations: { why: "test" } });
    const [one, two] = outcome.results;
    if (!one?.ok || !two?.ok) throw new Error("a repository failed");
    expect(one.value.label).toBe(two.value.label);
    expect(one.value.manifest.annotations).toEqual({ why: "test" });
    expect(two.value.manifest.cipherPass).toHaveLength(64);
    expect(one.value.manifest.files.map((file) => [file.name, file.sha1])).toEqual(
      two.value.manifest.files.map((file) => [file.name, file.sha1]),
    );
    for (const repo of repos) {
      expect(await labelsOf(repo)).toEqual([one.value.label]);
      await requireWhole(repo);
    }
    for (const repo of repos) {
      const source = tree(data);
      const target = join(folder, `restored${repo.key}`);
      await restoreFrom([repo], target);
      const restored = tree(target);
      expect(restored.get("backup_label")).toBe("START WAL LOCATION: 0/300028\n");
      expect(restored.get("postgresql.auto.conf")).toContain("restore_command = 'get'");
      expect(existsSync(join(target, "empty_dir"))).toBe(true);
      expect(statSync(join(target, "base/5/large")).mtimeMs).toBe(
        Math.floor(statSync(join(data, "base/5/large")).mtimeMs / 1000) * 1000,
      );
      for (const extra of ["backup_label", "postgresql.auto.conf", "recovery.signal"]) restored.delete(extra);
      // The checkpoint in the restored pg_control is invalid, so PostgreSQL needs backup_label.
      expect(restored.get("global/pg_control")?.slice(32, 34)).toBe("\u00ad\u00de");
      restored.delete("global/pg_control");
      source.delete("global/pg_control");
      expect(restored).toEqual(source);
    }
  });

  it("checks pages, reports bad ones and continues", async () => {
    const bytes = pages(4);
    bytes[8192 * 2 + 100] = 0;
    writeFileSync(join(data, "base/5/16386"), bytes);
    const outcome = await runBackup(repos, data, ctx, { checksumPage: true });
    const [one] = outcome.results;
    if (!one?.ok) throw new Error("repo1 failed");
    const row = (name: string): unknown =>
      one.value.manifest.files.find((file) => file.name === `pg_data/base/5/${name}`);
    expect(row("16386")).toMatchObject({ checksumPage: false, pageErrors: [2] });
    expect(row("16384")).toMatchObject({ checksumPage: true });
    expect(row("large")).toMatchObject({ checksumPage: false });
    expect((await loadBackupInfo(repos[0])).backups[0]?.error).toBe(true);
    expect(ctx.lines.filter((line) => line.level === "warn").map((line) => line.text)).toContainEqual(
      `invalid page checksum(s) found in file ${join(data, "base/5/16386")} at page(s) 2`,
    );
  });

  it("reads no more than the scan saw, and skips missing files", async () => {
    makeTree(data, { "base/5/shrinks": "0123456789", "base/5/grows": "01234", "base/5/goes": "x" });
    const onCopy = (name: string): void => {
      if (!name.endsWith("large")) return;
      truncateSync(join(data, "base/5/shrinks"), 4);
      writeFileSync(join(data, "base/5/grows"), "0123456789");
      rmSync(join(data, "base/5/goes"));
    };
    const outcome = await runBackup(repos, data, ctx, {}, { onCopy });
    const [one] = outcome.results;
    if (!one?.ok) throw new Error("repo1 failed");
    const rows = new Map(one.value.manifest.files.map((file) => [file.name.replace("pg_data/base/5/", ""), file]));
    expect(rows.get("shrinks")).toMatchObject({ sizeBytes: 4, sizeOriginalBytes: 10 });
    expect(rows.get("grows")).toMatchObject({ sizeBytes: 5 });
    expect(rows.has("goes")).toBe(false);
    await requireWhole(repos[0]);
  });

  it("copies what may still change in the second of the scan after that second, and the rest before", async () => {
    const clock = new HeldClock(TEST_TIME_MS + 250);
    utimesSync(join(data, "base/5/16386"), TEST_TIME_MS / 1000 - 3, TEST_TIME_MS / 1000 - 3);
    const copied: string[] = [];
    let begin = (): void => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const onCopy = (name: string): void => {
      copied.push(name);
      begin();
    };
    const run = runBackup(repos, data, testContext({ clock }), {}, { onCopy });
    await Promise.race([begun, run]);
    await clock.advance(750);
    expect(copied).toEqual(["pg_data/base/5/16386"]);
    const [one] = (await clock.until(run)).results;
    if (!one?.ok) throw new Error("repo1 failed");
    expect(new Set(copied).size).toBeGreaterThan(2);
    expect(one.value.manifest.copyStartedAtS).toBe(TEST_TIME_MS / 1000 + 1);
    expect(one.value.manifest.stoppedAtS).toBe(TEST_TIME_MS / 1000 + 1);
  });

  it("waits for its WAL in each repository separately", async () => {
    await store(repos[0], 3, 4);
    await store(repos[1], 3);
    const outcome = await runBackup(repos, data, ctx, { archiveCheck: true });
    expect(outcome.results).toMatchObject([
      { ok: true },
      {
        ok: false,
        error: {
          kind: "archiveTimeout",
          exitCode: 82,
          message: expect.stringContaining(`${walName(4)} was not archived to repo2`),
        },
      },
    ]);
    expect(await labelsOf(repos[0])).toHaveLength(1);
    expect(await labelsOf(repos[1])).toEqual([]);
  });

  it("is not complete in a repository whose WAL has the right name and size only", async () => {
    for (const repo of repos) await store(repo, 3, 4);
    const path = await pathOf(repos[1], 4);
    await second.put(path, Buffer.alloc((await second.stat(path))?.sizeBytes ?? 0, 7));
    const outcome = await runBackup(repos, data, ctx, { archiveCheck: true });
    expect(outcome.results).toMatchObject([{ ok: true }, { ok: false, error: { kind: "archiveTimeout" } }]);
    expect(await labelsOf(repos[1])).toEqual([]);
  });

  it("removes unfinished attempts of an earlier run, and takes a later label than any repository knows", async () => {
    await runBackup(repos, data, ctx);
    const [known = ""] = await labelsOf(repos[1]);
    await second.put("backup/demo/20261119-000000F/backup.manifest.copy", Buffer.from("x"));
    await second.put("backup/demo/20261119-000000F/pg_data/base/1/1", Buffer.from("x"));
    const outcome = await runBackup(repos, data, testContext({ startedAtMs: ctx.clock.nowMs() }));
    expect(outcome.results.every((result) => result.ok && result.value.label > known)).toBe(true);
    expect(await listLabels(repos[1])).toHaveLength(2);
  });
});

describe("a backup with a repository that fails", () => {
  it.each([
    ["at once", (storage: FaultyStorage) => void storage.breakDown(fail("hostConnect", "unreachable"))],
    [
      "at a large file",
      (storage: FaultyStorage) =>
        void storage.plan(
          "putStream",
          { kind: "break", sizeBytes: 100_000, error: fail("fileWrite", "full") },
          { path: /large/ },
        ),
    ],
    [
      "at a small file",
      (storage: FaultyStorage) =>
        void storage.plan("put", { kind: "error", error: fail("access", "refused") }, { path: /PG_VERSION/ }),
    ],
    [
      "at its manifest",
      (storage: FaultyStorage) =>
        void storage.plan("put", { kind: "error", error: fail("fileWrite", "full") }, { path: /backup\.manifest$/ }),
    ],
  ])("%s: the other one is finished, the failed one lists nothing", async (_when, plan) => {
    plan(second);
    const outcome = await runBackup(repos, data, ctx);
    expect(outcome.results.map((result) => result.ok)).toEqual([true, false]);
    await requireWhole(repos[0]);
    second.repair();
    expect(await labelsOf(repos[1])).toEqual([]);
    expect(
      (await runBackup(repos, data, testContext({ startedAtMs: ctx.clock.nowMs() + 5000 }))).results.every(
        (result) => result.ok,
      ),
    ).toBe(true);
    await requireWhole(repos[1]);
  });

  it("in the last one: the backup ends with its error", async () => {
    first.breakDown(fail("hostConnect", "unreachable"));
    second.plan("put", { kind: "error", error: fail("fileWrite", "full") }, { path: /1259/ });
    await expect(runBackup(repos, data, ctx)).rejects.toMatchObject({ kind: "repoInvalid", exitCode: 103 });
  });

  it("of another cluster (44) leaves it out", async () => {
    const other = repository(2);
    await stanzaCreate([other], OTHER_CONTROL, ctx);
    const outcome = await runBackup([repos[0], other], data, ctx);
    expect(outcome.results).toMatchObject([{ ok: true }, { ok: false, error: { kind: "archiveMismatch" } }]);
  });

  it("and dies after any write: it lists only complete backups, and the next run succeeds", async () => {
    await runBackup(repos, data, ctx);
    const [old = ""] = await labelsOf(repos[1]);
    const clean = new MemoryStorage();
    for await (const file of second.list("", { recursive: true }))
      await clean.put(file.path, await bytesOf(second, file.path));
    let crashes = 0;
    for (let writes = 0; ; writes++) {
      const memory = clean.clone();
      const storage = new FaultyStorage(memory).crashAfter(writes);
      const healthy = repository(1);
      await stanzaCreate([healthy], CONTROL, ctx);
      const following = testContext({ startedAtMs: ctx.clock.nowMs() + 10_000 });
      const outcome = await runBackup([healthy, { ...repos[1], storage }], data, following);
      expect(outcome.results[0], `after ${writes} writes`).toMatchObject({ ok: true });
      const repo = { ...repos[1], storage: memory };
      expect((await labelsOf(repo))[0]).toBe(old);
      await requireWhole(repo);
      if (!storage.crashed) break;
      crashes++;
      const next = await runBackup([repo], data, testContext({ startedAtMs: following.clock.nowMs() + 10_000 }));
      expect(next.results).toMatchObject([{ ok: true }]);
      await requireWhole(repo);
    }
    expect(crashes).toBeGreaterThan(15);
  });
});

async function bytesOf(storage: FaultyStorage, path: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of await storage.read(path)) parts.push(part);
  return Buffer.concat(parts);
}

describe("a backup is refused", () => {
  it.each([
    [{ inRecovery: true }, "dbConnect"],
    [{ version: "13" }, "versionNotSupported"],
    [{ dataDirectory: "/elsewhere" }, "dbMismatch"],
    [{ archiveMode: "off" }, "archiveDisabled"],
    [{ archiveMode: "always" }, "featureNotSupported"],
    [{ archiveCommand: "cp %p /x" }, "archiveCommandInvalid"],
  ] as const)("by a server with %o", async (facts, kind) => {
    await expect(runBackup(repos, data, ctx, { archiveCheck: true }, { facts })).rejects.toMatchObject({ kind });
    expect(await listLabels(repos[0])).toEqual([]);
  });

  it("when a file of the cluster cannot be read", async () => {
    const path = join(data, "base/5/16384");
    const onCopy = (name: string): void => {
      if (!name.endsWith("/16384")) return;
      rmSync(path);
      mkdirSync(path);
    };
    await expect(runBackup(repos, data, ctx, {}, { onCopy })).rejects.toMatchObject({ kind: "fileRead", path });
    expect(await labelsOf(repos[0])).toEqual([]);
  });

  it("when it is stopped, and leaves nothing listed", async () => {
    await expect(runBackup(repos, data, ctx, {}, { onStop: () => ctx.abort() })).rejects.toMatchObject({
      kind: "term",
    });
    for (const repo of repos) expect(await labelsOf(repo)).toEqual([]);
  });
});

describe("a restore", () => {
  it("takes a file from another repository when a copy is damaged", async () => {
    await runBackup(repos, data, ctx);
    const [label = ""] = await labelsOf(repos[0]);
    await first.put(`backup/demo/${label}/pg_data/base/5/large.zst`, Buffer.from("damaged"));
    await first.remove(`backup/demo/${label}/pg_data/base/1/1259.zst`);
    await restoreFrom(repos, join(folder, "restored"));
    expect(readFileSync(join(folder, "restored/base/5/large")).equals(readFileSync(join(data, "base/5/large")))).toBe(
      true,
    );
    expect(ctx.lines.filter((line) => line.level === "warn" && line.text.startsWith("repo1: [")).length).toBe(2);
    await expect(restoreFrom([repos[0]], join(folder, "again"))).rejects.toMatchObject({
      kind: expect.stringMatching(/^(format|fileMissing|checksum)$/),
    });
    // Without pg_control PostgreSQL cannot start on an interrupted restore.
    expect(existsSync(join(folder, "again/global/pg_control"))).toBe(false);
  });

  it("with --delta repairs a directory: keeps right files, removes extra ones", async () => {
    await runBackup(repos, data, ctx);
    const target = join(folder, "restored");
    await restoreFrom(repos, target);
    writeFileSync(join(target, "base/5/large"), "changed");
    makeTree(target, { "base/5/stray": "x", "stray/deep/x": "x", stray_link: "-> /etc" });
    const beganMs = statSync(join(target, "base/1/1259")).ctimeMs;
    await restoreFrom(repos, target, { delta: true });
    expect(readFileSync(join(target, "base/5/large")).equals(readFileSync(join(data, "base/5/large")))).toBe(true);
    for (const gone of ["base/5/stray", "stray", "stray_link"]) expect(existsSync(join(target, gone))).toBe(false);
    expect(existsSync("/etc/passwd")).toBe(true);
    expect(beganMs).toBeGreaterThan(0);
  });

  it("with --delta never empties a directory that is not a cluster's", async () => {
    await runBackup(repos, data, ctx);
    const home = join(folder, "home");
    makeTree(home, { "photos/one.jpg": "precious", "notes.txt": "precious" });
    await expect(restoreFrom(repos, home, { delta: true })).rejects.toMatchObject({
      kind: "pathNotEmpty",
      exitCode: 40,
    });
    expect(tree(home)).toEqual(
      new Map([
        ["photos/one.jpg", "precious"],
        ["notes.txt", "precious"],
      ]),
    );
    expect(
      ctx.lines.some((line) => line.level === "warn" && line.text.includes("--delta and --force have been disabled")),
    ).toBe(true);
    // backup.manifest marks an interrupted restore.
    makeTree(home, { "backup.manifest": "x" });
    await restoreFrom(repos, home, { delta: true });
    expect(existsSync(join(home, "notes.txt"))).toBe(false);
  });

  it("is refused over a running server (38) and into a directory with files (40)", async () => {
    await runBackup(repos, data, ctx);
    makeTree(join(folder, "full"), { x: "x" });
    await expect(restoreFrom(repos, join(folder, "full"))).rejects.toMatchObject({ kind: "pathNotEmpty" });
    makeTree(join(folder, "running"), { "postmaster.pid": "4711\n" });
    await expect(restoreFrom(repos, join(folder, "running"), { delta: true })).rejects.toMatchObject({
      kind: "pgRunning",
      exitCode: 38,
      message: expect.stringContaining("pid 4711"),
    });
  });

  it("restores tablespaces and links from a repository of directories", async () => {
    const storage = new PosixStorage({
      root: join(folder, "repo"),
      syncDirectories: false,
      symlinks: true,
      signal: ctx.signal,
    });
    const posix = repository(3, { storage, latestLink: true });
    await stanzaCreate([posix], CONTROL, ctx);
    makeTree(folder, { "ts1/PG_15_202209061/5/16400": "in the tablespace", "outside/log/today": "line" });
    makeTree(data, { "pg_tblspc/16384": `-> ${join(folder, "ts1")}`, log: `-> ${join(folder, "outside/log")}` });
    chmodSync(join(data, "base/5/16384"), 0o640);
    await runBackup([posix], data, ctx, {}, { stop: { tablespaceMap: `16384 ${join(folder, "ts1")}\n` } });
    const [label = ""] = await labelsOf(posix);
    expect(existsSync(join(folder, `repo/backup/demo/${label}/pg_data/empty_dir`))).toBe(true);
    expect((await loadManifest(posix, label, null)).targets.map((target) => target.name)).toEqual([
      "pg_data",
      "pg_data/log",
      "pg_tblspc/16384",
    ]);
    const target = join(folder, "restored");
    await restoreFrom([posix], target, { tablespaceMap: { ts1: join(folder, "ts1new") } });
    expect(readFileSync(join(target, "pg_tblspc/16384/PG_15_202209061/5/16400"), "utf8")).toBe("in the tablespace");
    expect(readFileSync(join(target, "log/today"), "utf8")).toBe("line");
    expect(existsSync(join(target, "tablespace_map"))).toBe(false);
    expect(statSync(join(target, "base/5/16384")).mode & 0o777).toBe(0o640);
  });
});
