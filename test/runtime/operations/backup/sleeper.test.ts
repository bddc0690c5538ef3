/**
 * A process sleeps for an hour before one of its storage operations. Meanwhile another host takes the lease, backs up
 * and expires. When the process continues, every listed backup stays complete and the other host loses nothing.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { ByteStream } from "../../../../runtime/base/bytes";
import { toBackupError } from "../../../../runtime/base/errors";
import type { BackupType } from "../../../../runtime/format/repository/label";
import { expireRepository } from "../../../../runtime/operations/expire/expire";
import type { Retention } from "../../../../runtime/repository/retention";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { sync } from "../../../../runtime/operations/sync/sync";
import { verify } from "../../../../runtime/operations/verify/verify";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import type { ByteRange, ListOptions, ObjectInfo } from "../../../../runtime/storage/storage";
import { type TestContext, testContext } from "../../../harness/context";
import { type TestLease, testLease } from "../../../harness/leases";
import { type MemoryFile, MemoryStorage } from "../../../harness/doubles/storages";
import { CONTROL, makeDataDirectory, repository, temporaryFolder, WAL_SIZE_BYTES } from "../../repository/support";
import { KEEP_ALL } from "../../../harness/madeRepository";
import { runBackup } from "./support";

const LABELED = /^backup\/demo\/\d{8}-\d{6}F/;

/** The sleeping host's storage, with the same files as the other host's. */
class SleepyStorage extends MemoryStorage {
  override readonly files: Map<string, MemoryFile>;
  /** Operations before the sleep. */
  left = Number.POSITIVE_INFINITY;
  sleep: () => Promise<void> = async () => {};
  /** Writes below the directories of backups that began after the sleep. */
  readonly afterSleep: string[] = [];
  #isAwake = false;

  constructor(shared: MemoryStorage) {
    super();
    this.files = shared.files;
  }

  async #step(written = ""): Promise<void> {
    if (this.#isAwake && LABELED.test(written)) this.afterSleep.push(written);
    if (this.left-- !== 0) return;
    await this.sleep();
    this.#isAwake = true;
  }

  override async stat(path: string): Promise<ObjectInfo | null> {
    await this.#step();
    return super.stat(path);
  }

  override async *list(path: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    await this.#step();
    yield* super.list(path, options);
  }

  override async read(path: string, range?: ByteRange): Promise<ByteStream> {
    await this.#step();
    return super.read(path, range);
  }

  override async put(path: string, bytes: Uint8Array): Promise<void> {
    await this.#step(path);
    await super.put(path, bytes);
  }

  override async remove(path: string): Promise<void> {
    await this.#step(path);
    await super.remove(path);
  }

  override async removePath(path: string): Promise<void> {
    await this.#step(path);
    await super.removePath(path);
  }
}

const REQUEST = { oldest: false, refusePageErrors: false, dryRun: false };
const KEEP_ONE: Retention = { full: 1, fullType: "count", archiveType: "full" };
const HOUR_MS = 3_600_000;

async function brokenIn(repo: Repository): Promise<string[]> {
  const ctx = testContext();
  const verdict = await verify(repo, inlinePool(new Map([[repo.key, repo]]), ctx, 2), WAL_SIZE_BYTES, ctx);
  return verdict.backups.filter((row) => row.status !== "valid").map((row) => row.label);
}

const labelsOf = async (repo: Repository): Promise<string[]> =>
  (await loadBackupInfo(repo)).backups.map((entry) => entry.label);

interface Stage {
  /** The same repository, as the sleeping host and the other host access it. */
  readonly sleepy: Repository;
  readonly repo: Repository;
  readonly storage: SleepyStorage;
  readonly data: string;
  readonly lease: TestLease;
  readonly ctx: TestContext;
}

/** Creates a repository with one backup, and then changes the data. */
async function stage(data: string, seed: number): Promise<Stage> {
  const shared = new MemoryStorage();
  const storage = new SleepyStorage(shared);
  const ctx = testContext();
  const repo = repository(1, { storage: shared });
  await stanzaCreate([repo], CONTROL, ctx);
  await runBackup([repo], data, ctx);
  ctx.clock.advance(60_000);
  writeFileSync(join(data, "base/5/16384"), Buffer.alloc(8192, seed % 250));
  return { sleepy: repository(1, { storage }), repo, storage, data, lease: testLease({ domain: "host1" }), ctx };
}

/** The other host backs up and expires. Returns the remaining labels. */
async function otherHost({ repo, data, lease, ctx }: Stage, type: BackupType): Promise<string[]> {
  lease.isLost = true;
  const other = testContext({ startedAtMs: ctx.clock.nowMs() + 200_000, seed: 9 });
  await runBackup([repo], data, other, { type }, {}, async () => testLease({ domain: "host2" }));
  for (let run = 0; run < 2; run++)
    await expireRepository(repo, KEEP_ONE, REQUEST, testLease({ domain: "host2" }), other);
  ctx.clock.advance(HOUR_MS);
  return labelsOf(repo);
}

type Work = (stage: Stage) => Promise<unknown>;
const backup =
  (type: BackupType): Work =>
  ({ sleepy, data, ctx, lease }) =>
    runBackup([sleepy], data, ctx, { type }, {}, async () => lease);
const expire: Work = async ({ sleepy, repo, data, ctx, lease }) => {
  await runBackup([repo], data, ctx);
  ctx.clock.advance(60_000);
  await expireRepository(sleepy, KEEP_ONE, REQUEST, lease, ctx);
};
/** Syncs from a repository with one more backup. */
const syncOne: Work = async ({ sleepy, repo, data, ctx, lease }) => {
  const source = repository(2, { storage: new MemoryStorage({ files: (repo.storage as MemoryStorage).files }) });
  await runBackup([source], data, ctx, { type: "incr" });
  const { problems } = await sync(
    source,
    sleepy,
    inlinePool(new Map([source, sleepy].map((one) => [one.key, one])), ctx, 2),
    { scope: { kind: "all", retention: KEEP_ALL }, dryRun: false, headerCheck: false, lease },
    ctx,
  );
  if (problems.some((line) => line.includes("[LockAcquireError]"))) throw new Error("lost");
};

const WORKS: readonly (readonly [name: string, work: Work])[] = [
  ["a full backup", backup("full")],
  ["an incremental backup", backup("incr")],
  ["expire", expire],
  ["sync", syncOne],
];

it.each(WORKS.flatMap(([name, work]) => (["full", "incr"] as const).map((type) => [name, type, work] as const)))(
  "%s leaves only complete backups wherever it sleeps while another host takes a %s one",
  async (_name, type, work) => {
    const data = makeDataDirectory(temporaryFolder());
    let lostCount = 0;
    let hasSlept = true;
    for (let before = 0; hasSlept; before++) {
      const here = await stage(data, before);
      let others: string[] = [];
      hasSlept = false;
      here.storage.left = before;
      here.storage.sleep = async () => {
        hasSlept = true;
        others = await otherHost(here, type);
      };
      const error = await work(here).then(
        () => null,
        (thrown: unknown) => toBackupError(thrown),
      );
      if (error !== null) lostCount++;
      const where = `after ${before} operations: ${error?.message ?? "done"}`;
      expect(await brokenIn(here.repo), where).toEqual([]);
      if (error !== null) expect(here.storage.afterSleep, where).toEqual([]);
      // The other host's label would look like a clock that went back.
      expect(error?.kind, where).not.toBe("clock");
      expect(await labelsOf(here.repo), where).toEqual(expect.arrayContaining(others));
    }
    expect(lostCount).toBeGreaterThan(10);
  },
);
