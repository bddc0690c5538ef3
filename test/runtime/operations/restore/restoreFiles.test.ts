import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { SHA1_EMPTY, sha1Hex } from "../../../../runtime/base/hash";
import { encryptBytes } from "../../../../runtime/format/codec/cipher";
import { type CompressType, compressBytes } from "../../../../runtime/format/codec/compress";
import type { RestoreFileJob } from "../../../../runtime/operations/restore/restoreFile";
import { type RestoreFileOutcome, restoreFiles } from "../../../../runtime/operations/restore/restoreFiles";
import { PosixStorage } from "../../../../runtime/storage/posix";
import type { Storage } from "../../../../runtime/storage/storage";
import { testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { sampleBytes } from "../../format/vectors";
import { repository } from "../../repository/support";

const BUNDLE = "backup/demo/20261120-060000F/bundle/1";
const PASS = "passphrase";
const COUNT = 24;
const PLANS = [
  { compressType: "none", pass: null, raw: false },
  { compressType: "zst", pass: PASS, raw: true },
  { compressType: "gz", pass: null, raw: true },
  { compressType: "gz", pass: PASS, raw: false },
  { compressType: "lz4", pass: PASS, raw: false },
] as const;

let folder: string;
let memory: MemoryStorage;
let storage: FaultyStorage;
let contents: readonly Uint8Array[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pgbackstop-restore-"));
  memory = new MemoryStorage();
  storage = new FaultyStorage(memory);
  // One file is empty, and one has the maximum size.
  contents = Array.from({ length: COUNT }, (_, index) =>
    sampleBytes(index === 3 ? 0 : index === 4 ? 128 * 1024 : 100 * index + 1),
  );
});

afterEach(() => rmSync(folder, { recursive: true }));

interface Plan {
  readonly compressType: CompressType;
  readonly pass: string | null;
  readonly raw: boolean;
}

/** Stores all contents in one bundle, `gapBytes` apart. Returns the jobs that restore them. */
async function bundle({ compressType, pass, raw }: Plan, gapBytes = 0): Promise<RestoreFileJob[]> {
  const parts: Uint8Array[] = [];
  let offsetBytes = 0;
  const jobs = contents.map((bytes, index): RestoreFileJob => {
    const packed = bytes.length === 0 ? bytes : compressBytes(bytes, { type: compressType, level: 1 }, raw);
    const stored =
      pass === null || bytes.length === 0 ? packed : encryptBytes(packed, pass, Buffer.alloc(8, index), raw);
    const range = { offsetBytes, sizeBytes: stored.length };
    parts.push(stored, Buffer.alloc(gapBytes, 1));
    offsetBytes += stored.length + gapBytes;
    return {
      kind: "restoreFile",
      name: `pg_data/base/5/${index}`,
      destination: join(folder, String(index)),
      sizeBytes: bytes.length,
      sha1: bytes.length === 0 ? SHA1_EMPTY : sha1Hex(bytes),
      mode: index % 2 === 0 ? 0o600 : 0o640,
      modifiedAtS: 1_795_158_239 + index,
      owner: null,
      delta: false,
      sources: [
        { repoIndex: 1, path: BUNDLE, range, sizeRepoBytes: stored.length, compressType, cipherPass: pass, raw },
      ],
    };
  });
  await memory.put(BUNDLE, Buffer.concat(parts));
  return jobs;
}

async function run(files: readonly RestoreFileJob[], from: Storage = storage): Promise<readonly RestoreFileOutcome[]> {
  const repo = { ...repository(1), storage: from };
  return (await restoreFiles({ kind: "restoreFiles", files }, () => repo, testContext())).outcomes;
}

function requireRestored(except: readonly number[] = []): void {
  for (const [index, bytes] of contents.entries()) {
    if (except.includes(index)) continue;
    const path = join(folder, String(index));
    expect(Buffer.compare(readFileSync(path), bytes), path).toBe(0);
    expect([statSync(path).mode & 0o777, statSync(path).mtimeMs / 1000]).toEqual([
      index % 2 === 0 ? 0o600 : 0o640,
      1_795_158_239 + index,
    ]);
  }
}

const failures = (outcomes: readonly RestoreFileOutcome[]): (string | null)[] =>
  outcomes.map((outcome) => (outcome.ok ? null : `${outcome.error.kind}: ${outcome.error.message}`));

describe("adjacent files in a bundle", () => {
  it.each(PLANS)("are restored by one read: %o", async (plan) => {
    const outcomes = await run(await bundle(plan));
    requireRestored();
    expect(outcomes).toHaveLength(COUNT);
    for (const [index, outcome] of outcomes.entries())
      expect(outcome).toEqual({ ok: true, value: { repoIndex: index === 3 ? null : 1, kept: false, warnings: [] } });
    expect(storage.calls("read")).toEqual([BUNDLE]);
  });

  it("are restored over a small gap by one read, over large ones by several", async () => {
    await run(await bundle(PLANS[0], 1000));
    requireRestored();
    expect(storage.calls("read")).toHaveLength(1);
    await run(await bundle(PLANS[0], 20_000));
    requireRestored();
    expect(storage.calls("read")).toHaveLength(1 + COUNT - 1);
  });

  it("are restored from a directory", async () => {
    const jobs = await bundle(PLANS[1]);
    const root = join(folder, "repo");
    const posix = new PosixStorage({
      root,
      syncDirectories: false,
      symlinks: false,
      signal: new AbortController().signal,
    });
    await posix.put(BUNDLE, memory.files.get(BUNDLE)?.bytes ?? new Uint8Array());
    await run(jobs, posix);
    requireRestored();
  });

  it("fail separately when damaged, and after the end of a truncated bundle", async () => {
    const jobs = await bundle(PLANS[1]);
    const stored = Buffer.from(memory.files.get(BUNDLE)?.bytes ?? []);
    const [seventh, last] = [jobs[7]?.sources[0]?.range, jobs[COUNT - 1]?.sources[0]?.range];
    stored.fill(0, (seventh?.offsetBytes ?? 0) + 20, (seventh?.offsetBytes ?? 0) + 40);
    await memory.put(BUNDLE, stored.subarray(0, (last?.offsetBytes ?? 0) + 30));
    const outcomes = failures(await run(jobs));
    requireRestored([7, COUNT - 1]);
    expect(outcomes.flatMap((text, index) => (text === null ? [] : [index]))).toEqual([7, COUNT - 1]);
    for (const index of [7, COUNT - 1])
      expect(outcomes[index]).toMatch(new RegExp(`^checksum: error restoring '${folder}/${index}'`));
    expect(readFileSync(join(folder, "7"))).toHaveLength(0);
  });

  it("are tried separately when they cannot be read together", async () => {
    const jobs = await bundle(PLANS[1]);
    storage.plan("read", { kind: "error", error: fail("service", "busy") });
    expect(failures(await run(jobs)).filter((text) => text !== null)).toEqual([]);
    requireRestored();
    expect(storage.calls("read")).toHaveLength(1 + COUNT - 1);
  });
});

describe("a repository that does not answer", () => {
  it("is not asked for every file", async () => {
    const jobs = await bundle(PLANS[0]);
    storage.breakDown(fail("hostConnect", "unreachable"));
    const outcomes = failures(await run(jobs));
    expect(outcomes.filter((text) => text === "hostConnect: unreachable")).toHaveLength(COUNT - 1);
    // The empty file needs no bytes.
    expect(outcomes[3]).toBeNull();
    expect(storage.calls("read").length).toBeLessThan(10);
  });

  it("differs from a missing file, and from errors of this machine's files", async () => {
    const jobs = await bundle(PLANS[0]);
    memory.files.clear();
    expect(failures(await run(jobs)).filter((text) => text?.startsWith("fileMissing"))).toHaveLength(COUNT - 1);
    await bundle(PLANS[0]);
    const nowhere = jobs.map((job, index) =>
      index > 10 ? { ...job, destination: join(folder, "missing", job.name) } : job,
    );
    const outcomes = failures(await run(nowhere));
    requireRestored(jobs.map((_, index) => index).filter((index) => index > 10));
    expect(outcomes.slice(0, 11).every((text) => text === null)).toBe(true);
    for (const [index, text] of outcomes.entries())
      if (index > 10) expect(text).toContain(`unable to open file '${nowhere[index]?.destination}'`);
  });
});

describe("existing files", () => {
  it("stay if they have the right bytes, and cost no read", async () => {
    const jobs = (await bundle(PLANS[1])).map((job) => ({ ...job, delta: true }));
    await run(jobs);
    for (const index of [5, 6]) writeFileSync(join(folder, String(index)), "other");
    utimesSync(join(folder, "8"), 1, 1);
    const outcomes = await run(jobs);
    requireRestored();
    expect(outcomes.flatMap((outcome, index) => (outcome.ok && !outcome.value.kept ? [index] : []))).toEqual([5, 6]);
    expect(storage.calls("read")).toHaveLength(2);
  });
});
