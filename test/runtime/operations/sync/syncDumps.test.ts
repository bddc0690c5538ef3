import { describe, expect, test } from "vitest";
import { collect } from "../../../../runtime/base/bytes";
import { fail } from "../../../../runtime/base/errors";
import { expiredDumps, type KeepDumps, type KnownDump } from "../../../../runtime/operations/dump/keepDumps";
import { chooseDump, readVerified } from "../../../../runtime/operations/dump/readDump";
import { surveyDumps } from "../../../../runtime/operations/dump/surveyDumps";
import { type DumpSyncOutcome, missingDumps, syncDumps } from "../../../../runtime/operations/sync/syncDumps";
import { listDumpDirectories, loadDumpManifest, removeDump } from "../../../../runtime/repository/dumpStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { testLease } from "../../../harness/leases";
import { DUMP_PARTS, storeDump } from "../../../harness/madeDump";
import { FaultyStorage } from "../../../harness/network/faults";
import * as fc from "../../../harness/properties";
import { repository } from "../../repository/support";

const [FIRST, SECOND, THIRD] = [20, 21, 22].map((day) => `202611${day}-064059Z-1a2b3c4d`) as [string, string, string];
const ctx = testContext();

async function sides(storage: MemoryStorage | FaultyStorage = new MemoryStorage(), ...labels: string[]) {
  const from = repository(1, { storage: new MemoryStorage() });
  for (const label of labels) await storeDump(from, label);
  return { from, to: repository(2, { storage, pass: "second" }) };
}

async function sync(
  from: Repository,
  to: Repository,
  { keep, lease = testLease() }: { keep?: KeepDumps; lease?: ReturnType<typeof testLease> } = {},
): Promise<DumpSyncOutcome & { taken: number }> {
  let taken = 0;
  const takeLease = async () => {
    taken++;
    return lease;
  };
  return { ...(await syncDumps(from, to, { keep, takeLease, dryRun: false }, ctx)), taken };
}

async function textOf(repo: Repository, label: string): Promise<string> {
  const [copy] = (await chooseDump([repo], label)).copies;
  return copy === undefined ? "" : Buffer.from(await collect(readVerified(copy, "shop"), 1000)).toString();
}

// claim: docs/dumps.md: sync copies complete dumps into a repository that lacks them, encrypted for it
describe("sync of dumps", () => {
  test("copies what is missing, with a passphrase of the target, and nothing twice", async () => {
    const { from, to } = await sides(new MemoryStorage(), FIRST, SECOND);
    expect(await sync(from, to)).toEqual({ labels: [SECOND, FIRST], problems: [], taken: 1 });
    expect(await surveyDumps(to)).toMatchObject({ completeCount: 2, newest: { label: SECOND }, faulty: [] });
    for (const label of [FIRST, SECOND]) expect(await textOf(to, label)).toBe(DUMP_PARTS.join(""));
    const passes = await Promise.all(
      (await listDumpDirectories(to)).map(async ({ directory }) => (await loadDumpManifest(to, directory)).cipherPass),
    );
    expect(new Set(passes).size).toBe(2);
    expect(passes).not.toContain(null);
    expect(await sync(from, to)).toEqual({ labels: [], problems: [], taken: 0 });
    // And back, where the copy's label is a known one.
    expect(await sync(to, from)).toEqual({ labels: [], problems: [], taken: 0 });
    const third = repository(3, { storage: new MemoryStorage() });
    expect((await sync(to, third)).labels).toEqual([SECOND, FIRST]);
    expect(await textOf(third, FIRST)).toBe(DUMP_PARTS.join(""));
  });

  test("asks a repository without dumps once, and the target nothing", async () => {
    const [source, target] = [new FaultyStorage(new MemoryStorage()), new FaultyStorage(new MemoryStorage())];
    expect(await sync(repository(1, { storage: source }), repository(2, { storage: target }))).toMatchObject({
      taken: 0,
    });
    expect([source, target].map((storage) => storage.calls("list").length)).toEqual([1, 0]);
  });

  test("a dry run copies nothing and takes no lease", async () => {
    const storage = new MemoryStorage();
    const { from, to } = await sides(storage, FIRST);
    const takeLease = () => Promise.reject(new Error("no lease in a dry run"));
    expect(await syncDumps(from, to, { keep: undefined, takeLease, dryRun: true }, ctx)).toEqual({
      labels: [FIRST],
      problems: [],
    });
    expect(storage.paths()).toEqual([]);
  });

  // claim: docs/dumps.md: sync copies only those that the target's keepDumps would keep
  test("copies only what the target keeps", async () => {
    const { from, to } = await sides(new MemoryStorage(), FIRST, SECOND);
    await storeDump(to, THIRD);
    expect((await sync(from, to, { keep: { count: 2 } })).labels).toEqual([SECOND]);
    expect((await sync(from, to, { keep: { days: 2 } })).labels).toEqual([FIRST]);
  });

  test("names a damaged dump, and copies the others", async () => {
    const storage = new MemoryStorage();
    const { from, to } = await sides(storage, FIRST, SECOND);
    await from.storage.put(`pgbackstop/demo/dump/${SECOND}/shop.dump.2`, Buffer.from("x".repeat(10)));
    const { labels, problems } = await sync(from, to);
    expect(labels).toEqual([FIRST]);
    expect(problems).toEqual([expect.stringContaining(`dump ${SECOND}: [ChecksumError]`)]);
    expect(storage.paths().some((path) => path.includes(SECOND))).toBe(false);
  });

  test("passes over a dump that keepDumps of the source removes meanwhile", async () => {
    const source = new FaultyStorage(new MemoryStorage());
    const from = repository(1, { storage: source });
    for (const label of [FIRST, SECOND]) await storeDump(from, label);
    const read = source.read.bind(source);
    source.read = async (path, range) => {
      if (path.endsWith(`${FIRST}/shop.dump`)) await removeDump(from, FIRST);
      return read(path, range);
    };
    const { to } = await sides();
    expect(await sync(from, to)).toMatchObject({ labels: [SECOND], problems: [] });
  });

  test("replaces one that lacks a file", async () => {
    const storage = new MemoryStorage();
    const { from, to } = await sides(storage, FIRST);
    await storeDump(to, FIRST);
    await storage.remove(`pgbackstop/demo/dump/${FIRST}/globals.sql`);
    expect((await sync(from, to)).labels).toEqual([FIRST]);
    expect(await surveyDumps(to)).toMatchObject({ completeCount: 1, faulty: [] });
    expect(await listDumpDirectories(to)).toMatchObject([{ label: FIRST, hasManifest: true }]);
  });

  test("another process that holds the lease is a problem, and costs nothing else", async () => {
    const { from, to } = await sides(new MemoryStorage(), FIRST);
    const takeLease = () => Promise.reject(fail("lockAcquire", "another dump"));
    expect(await syncDumps(from, to, { keep: undefined, takeLease, dryRun: false }, ctx)).toEqual({
      labels: [],
      problems: ["dumps: [LockAcquireError] another dump"],
    });
  });
});

// claim: docs/dumps.md: a copy that was killed never exists
describe("a sync that ends early", () => {
  test("after any write leaves no part of a dump, and the next one copies it", async () => {
    const { from } = await sides(new MemoryStorage(), FIRST, SECOND);
    let isCrashed = true;
    for (let writes = 0; isCrashed; writes++) {
      const memory = new MemoryStorage();
      const dying = new FaultyStorage(memory).crashAfter(writes);
      const outcome = await sync(from, repository(2, { storage: dying, pass: "second" }));
      isCrashed = dying.crashed;
      const to = repository(2, { storage: memory, pass: "second" });
      const left = await surveyDumps(to);
      expect(left.faulty, `after ${writes} writes`).toEqual([]);
      expect(left.completeCount, `after ${writes} writes`).toBeGreaterThanOrEqual(outcome.labels.length);
      await sync(from, to);
      expect(await surveyDumps(to)).toMatchObject({ completeCount: 2, faulty: [] });
      if (left.completeCount < 2)
        expect((await listDumpDirectories(to)).every(({ hasManifest }) => hasManifest)).toBe(true);
    }
  });

  // Another process took the lease over and copied the same dump while this one slept in its last write.
  test("because it slept removes its own copy, and not that of the next holder", async () => {
    const memory = new MemoryStorage();
    const sleeping = new FaultyStorage(memory);
    const { from } = await sides(new MemoryStorage(), FIRST);
    const lease = testLease();
    const to = repository(2, { storage: memory, pass: "second" });
    let other: DumpSyncOutcome | null = null;
    const sleep = async (path: string): Promise<void> => {
      if (!path.endsWith("dump.manifest") || other !== null) return;
      lease.isLost = true;
      other = await sync(from, to);
    };
    const put = sleeping.put.bind(sleeping);
    sleeping.put = async (path, ...rest) => {
      await sleep(path);
      return put(path, ...rest);
    };
    const putStream = sleeping.putStream.bind(sleeping);
    sleeping.putStream = async (path, ...rest) => {
      await sleep(path);
      return putStream(path, ...rest);
    };
    const outcome = await sync(from, repository(2, { storage: sleeping, pass: "second" }), { lease });
    expect(other).toMatchObject({ labels: [FIRST], problems: [] });
    expect(outcome).toMatchObject({ labels: [], problems: [expect.stringContaining("LockAcquireError")] });
    expect(await surveyDumps(to)).toMatchObject({ completeCount: 1, faulty: [] });
    expect(await textOf(to, FIRST)).toBe(DUMP_PARTS.join(""));
  });
});

test("exactly the dumps are copied that keepDumps would keep", () => {
  const dumps = fc.uniqueArray(fc.integer({ min: 10, max: 28 }), { maxLength: 8 });
  const keeps = fc.record({
    days: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
    count: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
  });
  const label = (day: number): string => `202611${day}-020000Z-1a2b3c4d`;
  fc.assert(
    fc.property(dumps, dumps, keeps, (own, other, { count, days }) => {
      const keep = { ...(count === undefined ? {} : { count }), ...(days === undefined ? {} : { days }) };
      const held = other.map((day): KnownDump => ({ label: label(day), state: "complete" }));
      const copied = missingDumps(own.map(label), held, keep);
      expect(copied.some((each) => held.some((dump) => dump.label === each))).toBe(false);
      const all = [...new Set([...own, ...other])].map((day): KnownDump => ({ label: label(day), state: "complete" }));
      const newest = all
        .map((dump) => dump.label)
        .sort()
        .at(-1);
      if (newest === undefined) return;
      const gone = expiredDumps(all, newest, keep);
      const wanted = own.map(label).filter((each) => !gone.includes(each) && !other.map(label).includes(each));
      expect([...copied].sort()).toEqual(wanted.sort());
    }),
  );
});
