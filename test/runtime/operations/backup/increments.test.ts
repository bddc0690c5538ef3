/** Chains of backups on given storages: prior backups, bundles, blocks and resumed backups per repository. */
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { BLOCK_DEFAULTS } from "../../../../runtime/format/repository/blockSize";
import { imageOf, renderPgControl } from "../../../../runtime/format/page/pgControl";
import { loadBlockHash } from "../../../../runtime/format/codec/xxh3";
import type { Manifest } from "../../../../runtime/format/repository/manifest";
import type { BackupOptions, BackupOutcome } from "../../../../runtime/operations/backup/backup";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { verify } from "../../../../runtime/operations/verify/verify";
import { listLabels } from "../../../../runtime/repository/backupStore";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import { readFile, type Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { sampleBytes } from "../../format/vectors";
import { CONTROL, makeDataDirectory, repository, temporaryFolder, WAL_SIZE_BYTES } from "../../repository/support";
import { changePage, pages, runBackup, type ServerAnswers } from "./support";

const MIB = 1024 * 1024;

let data: string;
let ctx: TestContext;
let second: FaultyStorage;
let repos: [Repository, Repository];

beforeEach(async () => {
  data = makeDataDirectory(temporaryFolder(), {
    "base/5/large": sampleBytes(3 * MIB),
    "base/5/small": sampleBytes(3000),
  });
  // An old time, so that files that a test writes have a different one.
  for (const name of readdirSync(data, { recursive: true }) as string[])
    utimesSync(join(data, name), 1_000_000_000, 1_000_000_000);
  ctx = testContext();
  second = new FaultyStorage(new MemoryStorage({ name: "memory2" }));
  repos = [
    repository(1, { compress: { type: "zst", level: 3 } }),
    repository(2, {
      storage: second,
      compress: { type: "gz", level: 1 },
      pass: "second",
      bundle: { sizeBytes: MIB, limitBytes: 64 * 1024 },
    }),
  ];
  await stanzaCreate(repos, CONTROL, ctx);
});

interface Ran {
  readonly outcome: BackupOutcome;
  readonly manifests: readonly Manifest[];
  /** Names of the files that were read, once per read. */
  readonly read: readonly string[];
}

/** A backup some seconds after the previous one. */
async function run(
  type: BackupOptions["type"],
  more: Partial<BackupOptions> = {},
  answers: ServerAnswers = {},
  into: readonly Repository[] = repos,
): Promise<Ran> {
  await ctx.clock.sleep(5000, ctx.signal);
  const read: string[] = [];
  const onCopy = (name: string): void => {
    read.push(name.replace("pg_data/", ""));
    answers.onCopy?.(name);
  };
  const outcome = await runBackup(into, data, ctx, { type, ...more }, { ...answers, onCopy });
  const manifests = outcome.results.flatMap((result) => (result.ok ? [result.value.manifest] : []));
  return { outcome, manifests, read };
}

const rowOf = (manifest: Manifest | undefined, name: string) =>
  manifest?.files.find((file) => file.name === `pg_data/${name}`);
const warnings = (): string[] => ctx.lines.filter((line) => line.level === "warn").map((line) => line.text);

async function requireWhole(...some: readonly Repository[]): Promise<void> {
  for (const repo of some) {
    const verdict = await verify(repo, inlinePool(new Map([[repo.key, repo]]), ctx, 2), WAL_SIZE_BYTES, ctx);
    expect(
      verdict.backups.filter((backup) => backup.status !== "valid"),
      verdict.problems.join("\n"),
    ).toEqual([]);
  }
}

describe("an increment", () => {
  // claim: README.md: the data directory is read once (one read of a file for all targets)
  it("reads only files that may have changed, once for all repositories, and refers to the rest", async () => {
    const [full] = (await run("full")).manifests;
    writeFileSync(join(data, "base/5/small"), sampleBytes(4000));
    utimesSync(join(data, "base/5/small"), 1_000_000_100, 1_000_000_100);
    const { read, manifests } = await run("incr");
    expect([...read].sort()).toEqual(["base/5/small", "global/pg_control"]);
    for (const manifest of manifests) {
      expect(manifest).toMatchObject({ type: "incr", prior: full?.label, references: [full?.label, manifest.label] });
      expect(manifest.label.startsWith(`${full?.label}_`)).toBe(true);
      expect(rowOf(manifest, "base/5/small")).not.toHaveProperty("reference");
      expect(rowOf(manifest, "base/5/large")).toMatchObject({ reference: full?.label });
    }
    expect(manifests[0]?.label).toBe(manifests[1]?.label);
    await requireWhole(...repos);
    const [entry] = (await loadBackupInfo(repos[0])).backups.slice(-1);
    expect(entry).toMatchObject({ prior: full?.label, references: [full?.label] });
    expect(entry?.sizeDeltaBytes).toBeLessThan(entry?.sizeBytes ?? 0);
  });

  it("keeps a touched file with the same bytes", async () => {
    const [full] = (await run("full")).manifests;
    utimesSync(join(data, "base/5/small"), 1_000_000_100, 1_000_000_100);
    utimesSync(join(data, "base/5/large"), 1_000_000_100, 1_000_000_100);
    const { manifests } = await run("incr");
    for (const manifest of manifests) {
      expect(rowOf(manifest, "base/5/small")).toMatchObject({ reference: full?.label, modifiedAtS: 1_000_000_100 });
      // The file is too large to compare during the copy.
      expect(rowOf(manifest, "base/5/large")).not.toHaveProperty("reference");
    }
    utimesSync(join(data, "base/5/large"), 1_000_000_200, 1_000_000_200);
    const [incr] = manifests;
    for (const manifest of (await run("incr", { delta: true })).manifests) {
      expect(rowOf(manifest, "base/5/large")).toMatchObject({ reference: incr?.label });
      expect(manifest.references).toEqual([full?.label, incr?.label, manifest.label]);
    }
    await requireWhole(...repos);
  });

  it("is a full backup without a prior, says why, and stays an increment elsewhere", async () => {
    await run("full", {}, {}, [repos[0]]);
    const { manifests } = await run("incr");
    expect(manifests.map((manifest) => manifest.type)).toEqual(["incr", "full"]);
    expect(warnings()).toContain("repo2: no prior backup exists, incr backup has been changed to full");
    expect(rowOf(manifests[0], "base/5/large")).toHaveProperty("reference");
    expect(rowOf(manifests[1], "base/5/large")).not.toHaveProperty("reference");
    const next = await run("diff");
    expect(next.manifests.map((manifest) => manifest.label.slice(-1))).toEqual(["D", "D"]);
    expect(next.manifests[0]?.label).not.toBe(next.manifests[1]?.label);
    await requireWhole(...repos);
  });

  it("does not trust a prior with a damaged or missing manifest", async () => {
    const [full] = (await run("full")).manifests;
    const path = `backup/demo/${full?.label}/backup.manifest`;
    for (const name of [path, `${path}.copy`]) await second.put(name, Buffer.from("damaged"));
    expect((await run("incr")).manifests.map((manifest) => manifest.type)).toEqual(["incr", "full"]);
    expect(
      warnings().some((text) => text.startsWith(`repo2: prior backup ${full?.label} cannot be read: [CryptoError]`)),
    ).toBe(true);
    const newest = (await listLabels(repos[1])).at(-1);
    await second.remove(`backup/demo/${newest}/backup.manifest`);
    await second.removePath(`backup/demo/${full?.label}`);
    expect((await run("incr")).manifests.map((manifest) => manifest.type)).toEqual(["incr", "full"]);
  });

  it("keeps its set's compression and page checks", async () => {
    await run("full", { checksumPage: true });
    const changed = [{ ...repos[0], compress: { type: "lz4", level: 1 } } as Repository];
    const [incr] = (await run("incr", { checksumPage: false }, {}, changed)).manifests;
    expect(incr?.options).toMatchObject({ compressType: "zst", checksumPage: true });
    expect(warnings()).toContainEqual(
      expect.stringMatching(/^repo1: incr backup cannot alter compress-type option to 'lz4', reset to value in /),
    );
    expect(warnings()).toContainEqual(
      expect.stringMatching(
        /^repo1: incr backup cannot alter 'checksum-page' option to 'false', reset to 'true' from /,
      ),
    );
    await requireWhole(repos[0]);
  });

  it("checks no page of a cluster without data checksums, whatever is asked and the backup before had", async () => {
    const unchecked = Buffer.alloc(4 * 8192, 7);
    for (let no = 0; no < 4; no++) unchecked.writeUInt16LE(0, no * 8192 + 8);
    await run("full", { checksumPage: true });
    writeFileSync(join(data, "global/pg_control"), imageOf(renderPgControl({ ...CONTROL, dataChecksums: false })));
    writeFileSync(join(data, "base/5/16384"), unchecked);
    for (const checksumPage of [true, undefined]) {
      const from = warnings().length;
      const { manifests } = await run("incr", { checksumPage });
      expect(manifests.map(({ options }) => options.checksumPage)).toEqual([false, false]);
      for (const { files } of manifests)
        expect([...files].find(({ name }) => name === "pg_data/base/5/16384")?.checksumPage).toBe(undefined);
      const held = checksumPage === true ? ["repo1: ", "repo2: "] : [];
      expect(
        warnings()
          .slice(from)
          .filter((text) => text.includes("checksum-page")),
      ).toEqual(
        held.map(
          (name) =>
            `${name}checksum-page option set to true but checksums are not enabled on the cluster, resetting to false`,
        ),
      );
    }
  });

  it("compares everything after untrusted times", async () => {
    await run("full");
    utimesSync(join(data, "base/5/small"), 900_000_000, 900_000_000);
    const { read, manifests } = await run("incr");
    expect(read).toContain("base/5/large");
    for (const manifest of manifests) {
      expect(manifest.options.delta).toBe(true);
      expect(rowOf(manifest, "base/5/large")).toHaveProperty("reference");
    }
    expect(warnings()).toContainEqual(
      expect.stringMatching(/^repo1: file 'pg_data\/base\/5\/small' has timestamp earlier than prior backup/),
    );
  });
});

describe("bundles", () => {
  it("take the small files of a repository, each readable separately", async () => {
    for (let no = 0; no < 60; no++) writeFileSync(join(data, `base/5/${20000 + no}`), sampleBytes(40_000 + no));
    const [plain, bundled] = (await run("full")).manifests;
    expect(plain?.files.some((file) => file.bundle !== undefined)).toBe(false);
    expect(rowOf(bundled, "base/5/large")).not.toHaveProperty("bundle");
    const ids = new Set(bundled?.files.map((file) => file.bundle?.id).filter((id) => id !== undefined));
    expect(ids).toEqual(new Set([1, 2, 3]));
    expect(rowOf(bundled, "base/5/16385")).toMatchObject({ sizeBytes: 0, sizeRepoBytes: 0 });
    await requireWhole(...repos);
  });

  it("have no bytes of files that shrank to nothing or vanished during the copy", async () => {
    const onCopy = (name: string): void => {
      if (!name.endsWith("large")) return;
      truncateSync(join(data, "base/5/small"), 0);
      rmSync(join(data, "base/1/1259"));
    };
    const [plain, bundled] = (await run("full", {}, { onCopy })).manifests;
    expect(rowOf(bundled, "base/5/small")).toMatchObject({ sizeBytes: 0, sizeOriginalBytes: 3000, sizeRepoBytes: 0 });
    expect(rowOf(bundled, "base/5/small")).not.toHaveProperty("bundle");
    expect(rowOf(plain, "base/5/small")).toMatchObject({ sizeBytes: 0, sizeOriginalBytes: 3000 });
    expect(rowOf(bundled, "base/1/1259")).toBeUndefined();
    await requireWhole(...repos);
  });

  it("that cannot be stored remove one repository from the run", async () => {
    second.plan(
      "putStream",
      { kind: "break", sizeBytes: 100, error: fail("fileWrite", "full") },
      { path: /bundle\/1$/ },
    );
    const { outcome } = await run("full");
    expect(outcome.results).toMatchObject([{ ok: true }, { ok: false, error: { kind: "fileWrite" } }]);
    await requireWhole(repos[0]);
  });
});

describe("block increments", () => {
  it("store only changed blocks, per repository on its own chain of maps", async () => {
    const blocks = { block: BLOCK_DEFAULTS, bundle: { sizeBytes: MIB, limitBytes: 64 * 1024 } };
    const both = [
      { ...repos[0], ...blocks },
      { ...repos[1], ...blocks },
    ] as const;
    const large = join(data, "base/5/large");
    const touch = (at: number): void => {
      const bytes = readFileSync(large);
      bytes[at] = (bytes[at] ?? 0) ^ 255;
      writeFileSync(large, bytes);
    };
    // A recent time: an old file would be stored whole.
    const nowS = Math.floor(ctx.clock.nowMs() / 1000);
    utimesSync(large, nowS - 1000, nowS - 1000);
    await run("full", {}, {}, [both[0]]);
    touch(MIB);
    utimesSync(large, nowS - 900, nowS - 900);
    const { manifests } = await run("incr", {}, {}, both);
    expect(manifests.map((manifest) => [manifest.type, manifest.blockIncr, manifest.bundleRaw])).toEqual([
      ["incr", true, true],
      ["full", true, true],
    ]);
    const [first, other] = manifests.map((manifest) => rowOf(manifest, "base/5/large"));
    expect(first?.block?.sizeBytes).toBe(8192);
    expect(first?.sizeRepoBytes).toBeLessThan(30_000);
    expect(other?.sizeRepoBytes).toBeGreaterThan(300_000);
    touch(2 * MIB);
    utimesSync(large, nowS - 800, nowS - 800);
    const next = await run("incr", {}, {}, both);
    for (const manifest of next.manifests) expect(rowOf(manifest, "base/5/large")?.sizeRepoBytes).toBeLessThan(30_000);
    // The file has a new time but no changed block, so the backup stores nothing.
    utimesSync(large, nowS - 700, nowS - 700);
    const same = await run("incr", {}, {}, both);
    for (const [index, manifest] of same.manifests.entries()) {
      expect(rowOf(manifest, "base/5/large")).toMatchObject({
        reference: next.manifests[index]?.label,
        modifiedAtS: nowS - 700,
      });
    }
    await requireWhole(...both);
  });
});

it.each([
  [100, 1],
  [600, 1],
  [600, 2],
])(
  "of %i pages in blocks each bad one is reported, also when only others changed since the last backup: %i repositories",
  async (count, repoCount) => {
    const some = repos.slice(0, repoCount).map((repo) => ({ ...repo, block: BLOCK_DEFAULTS }));
    const path = join(data, "base/5/16390");
    const bytes = pages(count);
    let nowS = Math.floor(ctx.clock.nowMs() / 1000) - 1000;
    const backUp = async (type: "full" | "incr"): Promise<readonly unknown[]> => {
      writeFileSync(path, bytes);
      utimesSync(path, nowS, nowS++);
      const { manifests } = await run(type, { checksumPage: true }, {}, some);
      return manifests.map((manifest) => {
        const row = rowOf(manifest, "base/5/16390");
        return [row?.checksumPage, row?.pageErrors, row?.block?.sizeBytes];
      });
    };
    const everywhere = (row: readonly unknown[]): readonly unknown[] => some.map(() => row);
    expect(await backUp("full")).toEqual(everywhere([true, undefined, 8192]));
    changePage(bytes, 7, 1);
    changePage(bytes, 50, 1);
    bytes.writeUInt32LE(2, 50 * 8192 + 100);
    expect(await backUp("incr")).toEqual(everywhere([false, [50], 8192]));
    changePage(bytes, 7, 3);
    expect(await backUp("incr")).toEqual(everywhere([false, [50], 8192]));
    changePage(bytes, 50, 4);
    expect(await backUp("incr")).toEqual(everywhere([true, undefined, 8192]));
    await requireWhole(...some);
  },
);

it("a damaged map of the prior copy is reported, and every block is stored again", async () => {
  const repo = { ...repos[0], block: BLOCK_DEFAULTS };
  const large = join(data, "base/5/large");
  const nowS = Math.floor(ctx.clock.nowMs() / 1000);
  utimesSync(large, nowS - 1000, nowS - 1000);
  const [full] = (await run("full", {}, {}, [repo])).manifests;
  const path = `backup/demo/${full?.label}/pg_data/base/5/large.pgbi`;
  const stored = Buffer.from(await readFile(repo, path, null));
  const mapBegin = stored.length - (rowOf(full, "base/5/large")?.block?.mapSizeBytes ?? 0);
  stored.writeUInt8(1, mapBegin);
  await repo.storage.put(path, stored);
  utimesSync(large, nowS - 900, nowS - 900);
  const [incr] = (await run("incr", {}, {}, [repo])).manifests;
  expect(warnings()).toContain(
    "repo1: stored all blocks of 'pg_data/base/5/large', because its prior copy cannot be read: [FormatError] block map of 'pg_data/base/5/large' is damaged: its version is not 0",
  );
  expect(rowOf(incr, "base/5/large")).not.toHaveProperty("reference");
  const verdict = await verify(repo, inlinePool(new Map([[1, repo]]), ctx, 2), WAL_SIZE_BYTES, ctx);
  expect(verdict.backups.map((backup) => [backup.label, backup.status])).toEqual([
    [full?.label, "invalid"],
    [incr?.label, "valid"],
  ]);
});

it.each(["full", "incr"] as const)(
  "a compressor that fails in one repository leaves the others their %s backup",
  async (type) => {
    // Level 99 does not exist, so the compressor fails. With `delta` the files go through batches.
    const odd: Repository = { ...repository(3, { compress: { type: "gz", level: 99 } }) };
    await stanzaCreate([odd], CONTROL, ctx);
    if (type === "incr") await run("full");
    const { outcome } = await run(type, { delta: type === "incr" }, {}, [...repos, odd]);
    expect(outcome.results.map((result) => result.ok)).toEqual([true, true, false]);
    await requireWhole(...repos);
  },
);

it("a changed file whose blocks all have the prior copy's checksums is stored again, every block of it", async () => {
  // One-byte checksums collide quickly.
  const settings = { ...BLOCK_DEFAULTS, checksumSizeMap: [{ blockSizeBytes: 8192, checksumSizeBytes: 1 }] };
  const repo = { ...repos[1], block: settings };
  const large = join(data, "base/5/large");
  const nowS = Math.floor(ctx.clock.nowMs() / 1000);
  utimesSync(large, nowS - 1000, nowS - 1000);
  await run("full", {}, {}, [repo]);
  const hash = await loadBlockHash();
  const bytes = readFileSync(large);
  const block = bytes.subarray(0, 8192);
  const [before] = hash.hash(block, 1);
  for (let value = bytes.readUInt32LE(100) + 1; ; value++) {
    block.writeUInt32LE(value % 2 ** 32, 100);
    if (hash.hash(block, 1)[0] === before) break;
  }
  writeFileSync(large, bytes);
  utimesSync(large, nowS - 900, nowS - 900);
  const [incr] = (await run("incr", {}, {}, [repo])).manifests;
  expect(rowOf(incr, "base/5/large")).toMatchObject({ sha1: sha1Hex(bytes), block: { checksumSizeBytes: 1 } });
  expect(rowOf(incr, "base/5/large")).not.toHaveProperty("reference");
  await requireWhole(repo);
});

describe("a full backup that was interrupted", () => {
  /** Aborts a backup at its stop. The manifest is saved after every file. */
  async function breakOff(into: readonly Repository[] = repos): Promise<void> {
    await expect(
      run("full", { manifestSaveThresholdBytes: 1 }, { onStop: () => ctx.abort() }, into),
    ).rejects.toMatchObject({ kind: "term" });
    ctx = testContext({ startedAtMs: ctx.clock.nowMs() });
  }

  it("is resumed under its label, without reading the stored files again", async () => {
    await breakOff();
    const [label] = await listLabels(repos[0]);
    const { read, manifests } = await run("full");
    expect(manifests.map((manifest) => manifest.label)).toEqual([label, label]);
    expect(warnings()).toContain(
      `repo1: resumable backup ${label} of same type exists -- invalid files will be removed then the backup will resume`,
    );
    // Only the large file: repo2 has the small ones in bundles, which are never resumed.
    expect(read.filter((name) => name === "base/5/large")).toEqual([]);
    await requireWhole(...repos);
  });

  it("does not count changed or damaged files", async () => {
    await breakOff([repos[0]]);
    const [label] = await listLabels(repos[0]);
    const path = `backup/demo/${label}/pg_data/base/5/large.zst`;
    await repos[0].storage.put(path, Buffer.from("damaged"));
    writeFileSync(join(data, "base/5/small"), Buffer.alloc(3000, 9));
    utimesSync(join(data, "base/5/small"), 1_000_000_100, 1_000_000_100);
    const { read } = await run("full", {}, {}, [repos[0]]);
    expect(read).toEqual(expect.arrayContaining(["base/5/large", "base/5/small"]));
    expect(warnings()).toContainEqual(
      expect.stringContaining("resumed backup file pg_data/base/5/large did not have expected checksum"),
    );
    await requireWhole(repos[0]);
  });

  it.each([
    ["without resume", { resume: false }, "resume is disabled"],
    ["for another type", { type: "incr" as const }, "resume only valid for full backup"],
  ])("is removed %s", async (_when, more, reason) => {
    await run("full");
    await breakOff();
    const unfinished = (await listLabels(repos[0])).at(-1);
    const { manifests } = await run("full", more);
    expect(manifests[0]?.label).not.toBe(unfinished);
    expect(await listLabels(repos[0])).not.toContain(unfinished);
    expect(warnings()).toContain(`repo1: backup '${unfinished}' cannot be resumed: ${reason}`);
  });

  it("is not resumed when another repository of the run finished under its label", async () => {
    second.plan("put", { kind: "error", error: fail("fileWrite", "full") }, { path: /backup\.manifest$/ });
    const { outcome } = await run("full", { manifestSaveThresholdBytes: 1 });
    expect(outcome.results.map((result) => result.ok)).toEqual([true, false]);
    const [finished = ""] = await listLabels(repos[0]);
    const { manifests } = await run("full");
    const [label = ""] = manifests.map((manifest) => manifest.label);
    expect(label > finished).toBe(true);
    expect(await listLabels(repos[0])).toEqual([finished, label]);
    expect(await listLabels(repos[1])).toEqual([label]);
    await requireWhole(...repos);
  });

  it.each([
    ["in the middle", /backup_label/, "repo1 may have the complete backup and is not part of this run"],
    ["at its end", /backup\.manifest$/, "it was almost finished, so another repository may have the complete backup"],
  ])(
    "%s is not resumed when a repository that may hold the complete one does not take part",
    async (_when, path, reason) => {
      second.plan("put", { kind: "error", error: fail("fileWrite", "full") }, { path });
      await run("full", { manifestSaveThresholdBytes: 1, annotations: { of: "mine" } });
      const [finished = ""] = await listLabels(repos[0]);
      expect(await listLabels(repos[1])).toEqual([finished]);
      const { manifests } = await run("full", {}, {}, [repos[1]]);
      const [label = ""] = manifests.map((manifest) => manifest.label);
      expect(warnings()).toContain(`repo2: backup '${finished}' cannot be resumed: ${reason}`);
      expect(await listLabels(repos[1])).toEqual([label]);
      expect(label > finished).toBe(true);
      // Only the first backup in repo1 has the annotation.
      expect((await loadBackupInfo(repos[0])).backups.map((entry) => entry.annotations)).toEqual([{ of: "mine" }]);
      await requireWhole(...repos);
    },
  );
});

it("invalid pages end the backup if they count as an error", async () => {
  writeFileSync(join(data, "base/5/16384"), Buffer.alloc(8192, 7));
  await expect(run("full", { checksumPage: true, checksumPageError: true })).rejects.toMatchObject({
    kind: "checksum",
    message: expect.stringMatching(/^invalid page checksum\(s\) found in file .*\/base\/5\/\w+$/),
  });
  expect((await loadBackupInfo(repos[0])).backups).toEqual([]);
});

it("links, excluded paths and directories equal those in stock's manifest", async () => {
  const outside = join(data, "..", "outside");
  mkdirSync(join(outside, "log"), { recursive: true });
  writeFileSync(join(outside, "log", "today.log"), "line\n");
  writeFileSync(join(data, "pg_notes"), "not for the backup");
  mkdirSync(join(data, "scratch"));
  writeFileSync(join(data, "scratch", "file"), "x");
  symlinkSync(join(outside, "log"), join(data, "log"));
  const [manifest] = (await run("full", { exclude: ["pg_notes", "scratch/"] })).manifests;
  expect(rowOf(manifest, "log/today.log")).toBeDefined();
  expect(manifest?.links).toMatchObject([{ name: "pg_data/log", destination: join(outside, "log") }]);
  expect(rowOf(manifest, "pg_notes")).toBeUndefined();
  expect(rowOf(manifest, "scratch/file")).toBeUndefined();
  expect(manifest?.paths.map((path) => path.name)).toContain("pg_data/scratch");
  expect(ctx.lines.map((line) => line.text)).toEqual(
    expect.arrayContaining([
      `exclude '${join(data, "pg_notes")}' from backup using 'pg_notes' exclusion`,
      `exclude contents of '${join(data, "scratch")}' from backup using 'scratch/' exclusion`,
    ]),
  );
});
