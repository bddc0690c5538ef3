// claim: README.md: `verify` detects gaps in the WAL, also where a failover left a timeline, and reports them by its
//   exit code
import * as fc from "../../../harness/properties";
import { beforeEach, describe, expect, it } from "vitest";
import { collect } from "../../../../runtime/base/bytes";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { parseBackupInfo, renderBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { fullLabelOf, labelType } from "../../../../runtime/format/repository/label";
import { type Manifest, type ManifestFile, parseManifest } from "../../../../runtime/format/repository/manifest";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { differingNames } from "../../../../runtime/operations/shared/namedWal";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { gapsOf } from "../../../../runtime/operations/verify/gaps";
import { type Verdict, type VerifyOptions, verify } from "../../../../runtime/operations/verify/verify";
import { surveyWal } from "../../../../runtime/operations/shared/walSurvey";
import { runsOf, type WalRange } from "../../../../runtime/format/wal/segmentPath";
import { formatLsn, timelineOf } from "../../../../runtime/format/wal/walSegment";
import { historyOfNames, pathsIn } from "../../../../runtime/recoverability/branches";
import { putBackup } from "../../../harness/madeRepository";
import { RepoFacts } from "../../../../runtime/recoverability/facts";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { vectorText } from "../../format/vectors";
import { CONTROL, repository, WAL_SIZE_BYTES, walBytes, walName } from "../../repository/support";
import { labelText, pathOf, readable, store } from "../archive";

const GOLDEN = parseManifest(vectorText("v2.45/plain/full.manifest.gz"), "golden");
const ctx = testContext();
let storage: FaultyStorage;
let repo: Repository;

beforeEach(async () => {
  storage = new FaultyStorage(new MemoryStorage());
  repo = repository(1, { storage, compress: { type: "gz", level: 6 } });
  await stanzaCreate([repo], CONTROL, ctx);
});

const run = (options: VerifyOptions = {}): Promise<Verdict> =>
  verify(repo, inlinePool(new Map([[1, repo]]), ctx, 2), WAL_SIZE_BYTES, ctx, options);

/** Stores a backup of these files, uncompressed. Files in `references` are only referenced. */
async function backup(
  label: string,
  from: number,
  files: Readonly<Record<string, string>>,
  references: Readonly<Record<string, string>> = {},
): Promise<void> {
  const rows = Object.entries({ ...files, ...references }).map(([name, content]): ManifestFile => {
    const base = { name: `pg_data/${name}`, modifiedAtS: 1, mode: 0o600, user: "postgres", group: "postgres" };
    if (files[name] === undefined)
      return { ...base, sizeBytes: 5, sizeRepoBytes: 5, sha1: sha1Hex("first"), reference: content };
    return { ...base, sizeBytes: content.length, sizeRepoBytes: content.length, sha1: sha1Hex(content) };
  });
  for (const [name, content] of Object.entries(files))
    await storage.put(`backup/demo/${label}/pg_data/${name}`, Buffer.from(content));
  const manifest: Manifest = {
    ...GOLDEN,
    label,
    type: labelType(label),
    ...(labelType(label) === "full" ? {} : { prior: fullLabelOf(label) }),
    references: [...new Set([...Object.values(references), label])],
    lsnStart: formatLsn(BigInt(from * WAL_SIZE_BYTES)),
    archiveStart: walName(from),
    archiveStop: walName(from),
    files: rows,
  };
  await putBackup(repo, manifest, null);
}

it("finds a cluster of backup.info that archive.info does not know", async () => {
  await backup("20261120-064059F", 1, { a: "first" });
  await store(repo, 1);
  const info = await loadBackupInfo(repo);
  const [first] = info.history;
  const next = { ...first, id: 2, pgVersion: "16" } as typeof first;
  await saveBackupInfo(repo, { ...info, currentId: 2, history: [first, next] as typeof info.history }, ctx);
  expect(await run()).toMatchObject({
    ok: false,
    problems: [expect.stringMatching(/^backup\.info has cluster 2 \(16 \d+\), and archive\.info lacks it/)],
  });
});

describe("second copies", () => {
  it("report a damaged one of each pair, whichever it is, and not a difference that a killed writer left", async () => {
    await backup("20261120-064059F", 1, { a: "first" });
    await store(repo, 1);
    expect(await run()).toMatchObject({ ok: true, problems: [] });
    const info = await loadBackupInfo(repo);
    await storage.put("backup/demo/backup.info.copy", Buffer.from(renderBackupInfo({ ...info, backups: [] })));
    expect(await run()).toMatchObject({ ok: true, problems: [] });
    const names = [
      "archive/demo/archive.info",
      "backup/demo/backup.info",
      "backup/demo/20261120-064059F/backup.manifest",
    ];
    for (const path of names.flatMap((name) => [name, `${name}.copy`])) {
      const whole = await collect(await storage.read(path), 1 << 20);
      await storage.put(path, Buffer.concat([whole.subarray(0, 60), Buffer.from("!"), whole.subarray(61)]));
      expect(await run()).toMatchObject({ ok: false, problems: [expect.stringContaining(`${path}: damaged: `)] });
      await storage.put(path, whole);
    }
  });
});

function sha1sOf({ named }: Verdict): Map<string, string | undefined> {
  return new Map([...named.keys()].map((name) => [name, named.get(name)]));
}

describe("gaps in the archive", () => {
  const names = (...nos: number[]): string[] => nos.map((no) => walName(no));
  const rangesOf = (stored: readonly string[], needed: readonly WalRange[]): readonly WalRange[] => {
    const runs = runsOf(stored.toSorted(), WAL_SIZE_BYTES);
    // The histories are lost.
    const newest = new Map(runs.map(([, last]) => [timelineOf(last), last]));
    const paths = pathsIn(historyOfNames(newest, new Map([[1, []]]), WAL_SIZE_BYTES));
    const gapless = needed.map(([archiveStart, archiveStop]) => ({ archiveStart, archiveStop }));
    return gapsOf(runs, { alone: [], gapless }, paths, WAL_SIZE_BYTES);
  };
  const gaps = (stored: readonly string[], needed: readonly WalRange[] = []): string[] =>
    rangesOf(stored, needed).map(([first, last]) => `${first}-${last}`);
  const gap = (from: number, to: number, timeline = 1): string => `${walName(from, timeline)}-${walName(to, timeline)}`;

  it("are named, at the start, in the middle and at the end", () => {
    expect(gaps(names(1, 2, 3))).toEqual([]);
    expect(gaps(names(1, 4, 5, 9))).toEqual([gap(2, 3), gap(6, 8)]);
    expect(gaps(names(5), [[walName(3), walName(4)]])).toEqual([gap(3, 4)]);
    expect(gaps(names(3), [[walName(3), walName(5)]])).toEqual([gap(4, 5)]);
    expect(gaps([], [[walName(3), walName(5)]])).toEqual([gap(3, 5)]);
    expect(gaps(names(1, 5, 6), [[walName(5), walName(5)]])).toEqual([]);
    expect(gaps([], [])).toEqual([]);
  });

  it("are detected on each timeline separately", () => {
    expect(gaps([...names(1, 2), walName(2, 2), walName(4, 2)], [[walName(1), walName(1)]])).toEqual([gap(3, 3, 2)]);
    expect(gaps([walName(4, 2)], [[walName(1), walName(2)]])).toEqual([gap(1, 2)]);
  });

  it("do not matter on a timeline that is older than every backup", () => {
    const rest = [...names(1, 3), walName(4, 2), walName(5, 2)];
    expect(gaps(rest, [[walName(4, 2), walName(5, 2)]])).toEqual([]);
    expect(gaps(rest)).toEqual([gap(2, 2)]);
  });

  it("cross the end of a log file", () => {
    expect(gaps(names(4094, 4097))).toEqual([gap(4095, 4096)]);
  });

  it("equal those of a brute force search", () => {
    const nos = fc.uniqueArray(fc.integer({ min: 4070, max: 4120 }), { maxLength: 40 });
    const ranges = fc.array(fc.tuple(fc.integer({ min: 4070, max: 4120 }), fc.integer({ min: 0, max: 3 })), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(nos, ranges, (stored, starts) => {
        const needed = starts.map(([start, length]): WalRange => [walName(start), walName(start + length)]);
        const first = starts.length > 0 ? Math.min(...starts.map(([start]) => start)) : Math.min(...stored);
        const last = Math.max(...stored, ...starts.map(([start, length]) => start + length));
        const missing: number[] = [];
        for (let no = first; no <= last; no++) if (!stored.includes(no)) missing.push(no);
        const held = stored.map((no) => walName(no));
        const result = rangesOf(held, needed).flatMap(([from, to]) => {
          const begin = missing.findIndex((no) => walName(no) === from);
          const end = missing.findIndex((no) => walName(no) === to);
          return missing.slice(begin, end + 1);
        });
        expect(result).toEqual(missing);
      }),
    );
  });
});

describe("verify", () => {
  it("reports nothing for a complete repository", async () => {
    await store(repo, 1, 2, 3);
    await backup("20261120-000000F", 2, { PG_VERSION: "15\n", "base/1/1": "first" });
    const none = { missing: 0, checksumInvalid: 0, sizeInvalid: 0, other: 0, unread: 0 };
    const verdict = await run();
    expect({ ...verdict, named: sha1sOf(verdict) }).toEqual({
      repoIndex: 1,
      ok: true,
      isDamaged: false,
      stream: { total: 0, valid: 0 },
      archives: [
        {
          archiveId: "15-1",
          counts: { total: 3, valid: 3, ...none },
          gaps: [],
          gaplessFrom: null,
          missingHistories: [],
          segmentSizeBytes: WAL_SIZE_BYTES,
        },
      ],
      dumps: [],
      backups: [{ label: "20261120-000000F", status: "valid", counts: { total: 2, valid: 2, ...none } }],
      problems: [],
      named: new Map([1, 2, 3].map((no) => [`15-${CONTROL.systemId}/${walName(no)}`, sha1Hex(walBytes(no))])),
      ends: new Map([[`15-${CONTROL.systemId}`, { newest: walName(3), settled: "" }]]),
      orphans: [],
    });
  });

  it("checks one set alone, with its WAL and the gaps after it", async () => {
    await store(repo, 1, 2, 3, 5);
    await backup("20261120-000000F", 1, { PG_VERSION: "15\n" });
    await backup("20261121-000000F", 3, { PG_VERSION: "15\n", "base/1/1": "second" });
    const verdict = await run({ set: "20261121-000000F" });
    expect(verdict.archives).toMatchObject([{ counts: { total: 1, valid: 1 }, gaps: [[walName(4), walName(4)]] }]);
    expect(verdict.backups).toMatchObject([{ label: "20261121-000000F", counts: { total: 2, valid: 2 } }]);
    await expect(run({ set: "20261122-000000F" })).rejects.toMatchObject({ kind: "backupSetInvalid" });
  });

  it("reads a share of the data files, and all WAL", async () => {
    await store(repo, 1, 2);
    const files = Object.fromEntries(
      Array.from({ length: 400 }, (_, index) => [`base/1/${index}`, `content ${index}`]),
    );
    await backup("20261120-000000F", 1, files);
    const verdict = await run({ samplePercent: 25 });
    expect(verdict.archives[0]?.counts.total).toBe(2);
    expect(verdict.backups[0]?.counts.total).toBeGreaterThan(60);
    expect(verdict.backups[0]?.counts.total).toBeLessThan(140);
    expect(verdict.ok).toBe(true);
    expect((await run({ samplePercent: 100 })).backups[0]?.counts.total).toBe(400);
  });

  it("looks at every file that is not in the sample", async () => {
    await store(repo, 1, 2);
    const label = "20261120-000000F";
    const names = Array.from({ length: 400 }, (_, index) => `base/1/${index}`);
    await backup(label, 1, Object.fromEntries(names.map((name) => [name, `content of ${name}`])));
    const [lost = "", cut = "", other = ""] = names.map((name) => `backup/demo/${label}/pg_data/${name}`);
    await storage.remove(lost);
    await storage.put(cut, Buffer.from("cut"));
    await storage.put(other, Buffer.from("CONTENT of base/1/2"));
    const bytes = (count: number): Uint8Array => new Uint8Array(count).fill(255);
    const none = { ...ctx, random: { ...ctx.random, bytes } };
    const dataReads = (): string[] => storage.calls("read").filter((path) => path.includes("/base/1/"));
    const before = dataReads().length;
    const pool = inlinePool(new Map([[1, repo]]), none, 2);
    expect(await verify(repo, pool, WAL_SIZE_BYTES, none, { samplePercent: 1 })).toMatchObject({
      ok: false,
      backups: [{ status: "invalid", counts: { total: 2, valid: 0, missing: 1 } }],
      problems: expect.arrayContaining([
        expect.stringContaining(`file missing '${lost}'`),
        expect.stringContaining(`'${cut}'`),
      ]),
    });
    expect(dataReads().slice(before).sort()).toEqual([lost, cut]);
  });

  it("reads the files of a bundle by one request, and names the damaged one", async () => {
    await store(repo, 1);
    const label = "20261120-000000F";
    const parts = ["first", "second", "third"].map((text) => Buffer.from(text));
    let offsetBytes = 0;
    const files = parts.map((bytes, index): ManifestFile => {
      const bundle = { id: 1, offsetBytes };
      offsetBytes += bytes.length;
      const base = {
        name: `pg_data/base/1/${index}`,
        modifiedAtS: 1,
        mode: 0o600,
        user: "postgres",
        group: "postgres",
      };
      return { ...base, sizeBytes: bytes.length, sizeRepoBytes: bytes.length, sha1: sha1Hex(bytes), bundle };
    });
    const options = { ...GOLDEN.options, compressType: "none" } as const;
    const manifest = {
      ...GOLDEN,
      options,
      label,
      references: [label],
      lsnStart: formatLsn(BigInt(WAL_SIZE_BYTES)),
      archiveStart: walName(1),
      archiveStop: walName(1),
      bundle: true,
      files,
    };
    await storage.put(`backup/demo/${label}/bundle/1`, Buffer.concat(parts));
    await putBackup(repo, manifest, null);
    const before = storage.calls("read").filter((path) => path.endsWith("bundle/1")).length;
    expect(await run()).toMatchObject({ ok: true, backups: [{ counts: { total: 3, valid: 3 } }] });
    expect(storage.calls("read").filter((path) => path.endsWith("bundle/1")).length - before).toBe(1);
    await storage.put(`backup/demo/${label}/bundle/1`, Buffer.from("firstSECONDthird"));
    expect(await run()).toMatchObject({ ok: false, backups: [{ counts: { total: 3, valid: 2, checksumInvalid: 1 } }] });
    await storage.put(`backup/demo/${label}/bundle/1`, Buffer.from("firstsecond"));
    expect(await run()).toMatchObject({ ok: false, backups: [{ counts: { total: 3, valid: 2, sizeInvalid: 1 } }] });
  });

  it("reports a missing backup that another one refers to", async () => {
    await store(repo, 1);
    await backup("20261120-000000F", 1, { PG_VERSION: "15\n", "base/1/1": "first" });
    await backup("20261120-000000F_20261121-000000I", 1, { PG_VERSION: "15\n" }, { "base/1/1": "20261120-000000F" });
    const info = await loadBackupInfo(repo);
    await saveBackupInfo(repo, { ...info, backups: info.backups.slice(1) }, ctx);
    const verdict = await run();
    expect(verdict).toMatchObject({ ok: false, backups: [{ status: "invalid" }] });
    expect(verdict.problems).toEqual([
      "20261120-000000F_20261121-000000I: refers to backup 20261120-000000F, which is not in backup.info",
    ]);
    expect(verdict.orphans).toEqual(["backup/demo/20261120-000000F is not in backup.info"]);
  });

  it("reports unreferenced files, but not as an error", async () => {
    await store(repo, 1);
    await backup("20261120-000000F", 1, { PG_VERSION: "15\n" });
    await storage.put("backup/demo/20261120-000000F/pg_data/base/1/left", Buffer.from("left"));
    await storage.put("archive/demo/14-7/0000000100000000/x", Buffer.from("x"));
    await storage.put("backup/demo/20261119-000000F/pg_data/x", Buffer.from("x"));
    expect(await run()).toMatchObject({
      ok: true,
      orphans: [
        "archive/demo/14-7 belongs to no history id of archive.info",
        "backup/demo/20261119-000000F holds no backup",
        "backup/demo/20261120-000000F/pg_data/base/1/left is in no manifest",
      ],
    });
  });

  it("counts damaged, truncated, lost and duplicate WAL", async () => {
    await store(repo, 1, 2, 3, 4);
    const right = await pathOf(repo, 1);
    await storage.put(right, Buffer.from("damaged"));
    await storage.put(`archive/demo/15-1/0000000100000000/${walName(2)}-${sha1Hex("x")}`, Buffer.from("x"));
    storage.plan("read", { kind: "truncate", sizeBytes: 500 }, { path: new RegExp(walName(3)) });
    const verdict = await run();
    expect(verdict.ok).toBe(false);
    expect(verdict.archives[0]?.counts).toEqual({
      total: 5,
      valid: 1,
      missing: 0,
      checksumInvalid: 2,
      sizeInvalid: 0,
      other: 2,
      unread: 0,
    });
    expect(verdict.problems).toContainEqual(expect.stringContaining(`duplicate segments found for 15-1/${walName(2)}`));
    await storage.put(right.replace(".gz", "").replace(/-[0-9a-f]{40}/, `-${sha1Hex("short")}`), Buffer.from("short"));
    await storage.remove(right);
    expect((await run()).archives[0]?.counts).toMatchObject({ sizeInvalid: 1 });
  });

  it("names a gap that a restore could not pass", async () => {
    await store(repo, 2, 3, 6);
    await backup("20261120-000000F", 2, { PG_VERSION: "15\n" });
    const verdict = await run();
    expect(verdict).toMatchObject({ ok: false, archives: [{ gaps: [[walName(4), walName(5)]] }] });
    expect(verdict.problems).toEqual([
      `15-1: WAL missing from ${walName(4)} to ${walName(5)}: a restore cannot pass it`,
    ]);
  });

  it("takes no WAL for a gap that retention-archive removes", async () => {
    repo = { ...repo, retention: { archive: 1, archiveType: "full", fullType: "count" } };
    await store(repo, 1, 10, 11, 12);
    await backup("20261120-000000F", 1, { PG_VERSION: "15\n" });
    await backup("20261121-000000F", 10, { PG_VERSION: "15\n" });
    expect(await run()).toMatchObject({ ok: true, problems: [], archives: [{ gaplessFrom: walName(10) }] });
    expect(await run({ set: "20261120-000000F" })).toMatchObject({ ok: true, archives: [{ counts: { total: 1 } }] });
    const survey = await surveyWal(new RepoFacts(repo), (await loadBackupInfo(repo)).backups, WAL_SIZE_BYTES, 0);
    expect(survey?.gapCount).toBe(0);
    await storage.remove(await pathOf(repo, 1));
    await storage.remove(await pathOf(repo, 11));
    expect(await run()).toMatchObject({
      ok: false,
      archives: [
        {
          gaps: [
            [walName(1), walName(1)],
            [walName(11), walName(11)],
          ],
        },
      ],
    });
  });

  it("reports a missing history between a backup's timeline and the newest one", async () => {
    const history = (timeline: number): readonly [string, Uint8Array] => [
      `0000000${timeline}.history`,
      Buffer.from(`1\t0/${(3 * WAL_SIZE_BYTES).toString(16)}\tx\n`),
    ];
    await store(repo, 1, 2, [walName(3, 2), walBytes(3)]);
    await backup("20261120-000000F", 1, { PG_VERSION: "15\n" });
    expect(await run()).toMatchObject({
      ok: false,
      archives: [{ gaps: [], missingHistories: [["00000002.history", "00000002.history"]] }],
      problems: ["15-1: 00000002.history is missing: a restore ends on an earlier timeline"],
    });
    const survey = async (): Promise<number | undefined> =>
      (await surveyWal(new RepoFacts(repo), (await loadBackupInfo(repo)).backups, WAL_SIZE_BYTES, 0))?.gapCount;
    expect(await survey()).toBe(1);
    await store(repo, history(3));
    expect(await run()).toMatchObject({
      ok: false,
      archives: [{ missingHistories: [["00000002.history", "00000002.history"]] }],
    });
    await store(repo, history(2));
    expect(await run()).toMatchObject({ ok: true, problems: [] });
    expect(await survey()).toBe(0);
    await store(repo, history(6));
    expect((await run()).problems).toEqual([
      "15-1: 00000004.history to 00000005.history are missing: a restore ends on an earlier timeline",
    ]);
  });

  it("reports a damaged file in every backup that refers to it", async () => {
    await store(repo, 1);
    await backup("20261120-000000F", 1, { PG_VERSION: "15\n", "base/1/1": "first" });
    await backup("20261120-000000F_20261121-000000I", 1, { PG_VERSION: "15\n" }, { "base/1/1": "20261120-000000F" });
    expect(await run()).toMatchObject({ ok: true });
    await storage.put("backup/demo/20261120-000000F/pg_data/base/1/1", Buffer.from("FIRST"));
    const verdict = await run();
    expect(verdict.backups.map((row) => [row.label, row.status, row.counts.checksumInvalid])).toEqual([
      ["20261120-000000F", "invalid", 1],
      ["20261120-000000F_20261121-000000I", "invalid", 1],
    ]);
    expect(verdict.problems).toHaveLength(2);
    await storage.remove("backup/demo/20261120-000000F/pg_data/base/1/1");
    expect((await run()).backups.map((row) => row.counts.missing)).toEqual([1, 1]);
  });

  it("reads bytes that several backups of a set refer to once, and compares them with each manifest", async () => {
    await store(repo, 1);
    const full = "20261120-000000F";
    const reads = (): number =>
      storage.calls("read").filter((path) => path.endsWith(`${full}/pg_data/base/1/1`)).length;
    await backup(full, 1, { PG_VERSION: "15\n", "base/1/1": "first" });
    for (const day of ["21", "22"])
      await backup(`${full}_202611${day}-000000I`, 1, { PG_VERSION: "15\n" }, { "base/1/1": full });
    const before = reads();
    expect(await run()).toMatchObject({
      ok: true,
      backups: [{ counts: { total: 2 } }, { counts: { total: 2 } }, { counts: { total: 2 } }],
    });
    expect(reads() - before).toBe(1);
    // The file now matches the full backup's record, but not those of the other backups.
    await backup(full, 1, { PG_VERSION: "15\n", "base/1/1": "other" });
    const verdict = await run();
    expect(verdict.backups.map((row) => row.counts.checksumInvalid)).toEqual([0, 1, 1]);
    expect(verdict.problems[1]).toBe(`${full}_20261122-000000I: ${verdict.problems[0]}`);
  });

  it("reads stock's block incremental backups by the checksums of their stored bytes", async () => {
    const label = "20261120-000000F";
    const stored = Buffer.from("super blocks and their map");
    const row: ManifestFile = {
      name: "pg_data/base/1/1",
      sizeBytes: 65536,
      sizeRepoBytes: stored.length,
      sha1: sha1Hex("original"),
      sha1Repo: sha1Hex(stored),
      modifiedAtS: 1,
      mode: 0o600,
      user: "postgres",
      group: "postgres",
      block: { sizeBytes: 8192, checksumSizeBytes: 6, mapSizeBytes: 8 },
    };
    await storage.put(`backup/demo/${label}/pg_data/base/1/1.pgbi`, stored);
    await putBackup(
      repo,
      {
        ...GOLDEN,
        label,
        references: [label],
        lsnStart: formatLsn(BigInt(WAL_SIZE_BYTES)),
        archiveStart: walName(1),
        archiveStop: walName(1),
        blockIncr: true,
        files: [row],
      },
      null,
    );
    await store(repo, 1);
    expect(await run()).toMatchObject({ ok: true, backups: [{ counts: { total: 1, valid: 1 } }] });
  });

  it("reports a listed backup without a readable manifest", async () => {
    const [entry] = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden").backups;
    if (entry === undefined) throw new Error("no golden backup");
    await store(repo, 3);
    const started = { archiveStart: walName(3), lsnStart: formatLsn(BigInt(3 * WAL_SIZE_BYTES)) };
    await saveBackupInfo(repo, { ...(await loadBackupInfo(repo)), backups: [{ ...entry, ...started }] }, ctx);
    expect(await run()).toMatchObject({
      ok: false,
      backups: [{ status: "manifest missing" }],
      problems: [expect.stringContaining("FileMissingError")],
    });
  });

  it("takes the size of segments from the backups: the cluster on this host may be another one", async () => {
    await backup("20261120-064059F", 1, { a: "first" });
    await store(repo, 1);
    await store(repo, 3);
    const pool = inlinePool(new Map([[1, repo]]), ctx, 2);
    const { archives, problems } = await verify(repo, pool, 16 * WAL_SIZE_BYTES, ctx);
    expect(archives[0]?.segmentSizeBytes).toBe(WAL_SIZE_BYTES);
    expect(problems).toEqual([expect.stringMatching(/WAL missing from 0{7}10{15}2 to 0{7}10{15}2:/)]);
  });

  it("takes the size from a stored segment where there is no backup and no cluster", async () => {
    await store(repo, 1, 2);
    await storage.put(await pathOf(repo, 1), Buffer.from("damaged"));
    const { archives } = await verify(repo, inlinePool(new Map([[1, repo]]), ctx, 2), WAL_SIZE_BYTES / 2, ctx);
    expect(archives).toMatchObject([{ segmentSizeBytes: WAL_SIZE_BYTES, counts: { total: 2, valid: 1 } }]);
  });

  it.each(["hostConnect", "service", "access"] as const)(
    "a file that a repository does not give (%s) is not read, and not damaged",
    async (kind) => {
      await store(repo, 1);
      await backup("20261120-000000F", 1, { PG_VERSION: "15\n" });
      await backup("20261121-000000F", 1, { PG_VERSION: "15\n", "base/1/1": "first" });
      const isGood = async (): Promise<void> => {
        expect((await run()).ok).toBe(true);
      };
      await isGood();
      const away = { kind: "error", error: fail(kind, "away") } as const;
      storage.plan("read", away, { path: new RegExp(`${walName(1)}-`) });
      const wal = await run();
      expect(wal).toMatchObject({ ok: false, isDamaged: false });
      expect(wal.archives[0]?.counts).toMatchObject({ unread: 1, valid: 0, other: 0 });
      storage.plan("read", away, { path: /20261121-000000F\/pg_data\/base/ });
      expect((await run()).backups).toMatchObject([{ status: "valid" }, { status: "not read", counts: { unread: 1 } }]);
      storage.plan("read", away, { path: /20261121-000000F\/backup\.manifest/, times: 2 });
      const manifest = await run();
      expect(manifest).toMatchObject({ ok: false, isDamaged: false });
      expect(manifest.backups).toMatchObject([{ status: "valid" }, { status: "not read" }]);
      storage.repair();
      await isGood();
    },
  );

  it("distinguishes a failing store from wrong bytes", async () => {
    await store(repo, 1);
    await backup("20261120-000000F", 1, { PG_VERSION: "15\n" });
    storage.breakDown(fail("access", "refused"));
    await expect(run()).rejects.toMatchObject({ kind: "access" });
    storage.repair();
    expect(await readable(repo)).toEqual([walName(1)]);
  });

  it("reads histories and backup labels, whose names carry no checksum, and returns their checksums for a comparison", async () => {
    const label = `${walName(1)}.00000028.backup`;
    const history = Buffer.from("1\t0/1\tx\n");
    await store(
      repo,
      1,
      ["00000002.history", history],
      [label, Buffer.from(labelText(walName(1)))],
      [`${walName(1)}.partial`, walBytes(8)],
    );
    const verdict = await run();
    expect(verdict).toMatchObject({ ok: true, archives: [{ counts: { total: 2, valid: 2 } }] });
    const named = sha1sOf(verdict);
    expect([...named.values()]).toContain(sha1Hex(history));
    const other = new Map([...named].map(([name, sha1]) => [name, name.endsWith(".history") ? "0" : sha1]));
    expect(
      differingNames(
        new Map([
          [1, verdict.named],
          [2, other],
        ]),
      ),
    ).toEqual([
      { repoIndexes: [1, 2], text: expect.stringMatching(/00000002\.history differs between repo1, repo2$/) },
    ]);
    await store(repo, ["00000002.history", Buffer.from("\u0001")], [label, Buffer.from(labelText(walName(2)))]);
    expect(await run()).toMatchObject({
      ok: false,
      problems: expect.arrayContaining([
        "damaged file '15-1/00000002.history': timeline history line 1: expected timeline, position and reason",
        `damaged file '15-1/${label}': it does not begin in segment ${walName(1)}`,
      ]),
    });
  });
});
