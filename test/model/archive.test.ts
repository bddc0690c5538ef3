/**
 * A model of the archive. PostgreSQL finishes segments and recycles acknowledged ones. Repositories go down, fill up,
 * return and are healed. In any order, four rules hold: acknowledged WAL can be fetched, no repository holds wrong
 * bytes, every acknowledged segment that a repository lacks is recorded as missing WAL, and after a final heal all
 * repositories hold the same WAL.
 *
 * The nightly form runs more. fast-check prints the seed and the path of a failure.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "../harness/properties";
import { describe, expect, it } from "vitest";
import { type BackupError, fail } from "../../runtime/base/errors";
import { sha1Hex } from "../../runtime/base/hash";
import { openMissingWal } from "../../runtime/local/missingWal";
import { isSatisfied } from "../../runtime/operations/archivePush/acknowledge";
import type { AcknowledgePolicy } from "../../runtime/config/types";
import { archiveGet } from "../../runtime/operations/archiveGet/archiveGet";
import { archivePush } from "../../runtime/operations/archivePush/archivePush";
import { heal } from "../../runtime/operations/heal/heal";
import { stanzaCreate } from "../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../runtime/repository/repository";
import { HeldClock, testContext } from "../harness/context";
import { FaultyStorage } from "../harness/network/faults";
import { MemoryStorage } from "../harness/doubles/storages";
import { emptyWal, readable } from "../runtime/operations/archive";
import { addWal, CLUSTER, CONTROL, repository, walBytes, walName } from "../runtime/repository/support";
import { NIGHTLY } from "../../tools/parts/nightly";

const RUNS = NIGHTLY ? 400 : 6;
/** 400 runs take 4 minutes on an idle machine. */
const TIMEOUT_MS = NIGHTLY ? 3_600_000 : 300_000;
const KEYS = [1, 2, 3] as const;

type Step =
  | { readonly kind: "finish" }
  | { readonly kind: "push" }
  | { readonly kind: "heal" }
  | { readonly kind: "down" | "up" | "full" | "torn" | "lost"; readonly key: number };

const key = fc.constantFrom(...KEYS);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Step>({ kind: "finish" }) },
  { weight: 5, arbitrary: fc.constant<Step>({ kind: "push" }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: "heal" }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom("down" as const, "up" as const, "full" as const, "torn" as const, "lost" as const),
      key,
    }),
  },
);
const policy: fc.Arbitrary<AcknowledgePolicy> = fc.oneof(
  fc.constant<AcknowledgePolicy>({ mode: "all", repoIndexes: [] }),
  fc.constant<AcknowledgePolicy>({ mode: "any", repoIndexes: [] }),
  fc.uniqueArray(key, { minLength: 1 }).map((repoIndexes): AcknowledgePolicy => ({ mode: "named", repoIndexes })),
);

class World {
  readonly folder = mkdtempSync(join(tmpdir(), "pgb-model-"));
  readonly walDirectory = join(this.folder, "pg_wal");
  readonly ctx = testContext({ clock: new HeldClock() });
  readonly missingWal = openMissingWal(join(this.folder, "spool"), "demo");
  readonly memories = new Map(KEYS.map((repoIndex) => [repoIndex as number, new MemoryStorage()]));
  readonly storages = new Map([...this.memories].map(([repoIndex, memory]) => [repoIndex, new FaultyStorage(memory)]));
  /** Repositories with pending faults. */
  readonly troubled = new Set<number>();
  readonly repos: Repository[] = KEYS.map((repoIndex) =>
    repository(repoIndex, {
      storage: this.storageOf(repoIndex),
      compress: repoIndex === 1 ? { type: "none", level: 0 } : { type: "zst", level: 1 },
      ...(repoIndex === 3 ? { pass: "third" } : {}),
    }),
  );
  readonly policy: AcknowledgePolicy;
  finished = 0;
  readonly acknowledged = new Set<string>();

  constructor(acknowledge: AcknowledgePolicy) {
    this.policy = acknowledge;
  }

  storageOf(repoIndex: number): FaultyStorage {
    const result = this.storages.get(repoIndex);
    if (result === undefined) throw new Error(`no repo${repoIndex}`);
    return result;
  }

  async start(): Promise<void> {
    mkdirSync(join(this.walDirectory, "archive_status"), { recursive: true });
    await stanzaCreate(this.repos, CONTROL, this.ctx);
  }

  /** Files that wait for the archiver, oldest first. */
  ready(): string[] {
    return readdirSync(join(this.walDirectory, "archive_status"))
      .filter((name) => name.endsWith(".ready"))
      .map((name) => name.slice(0, -".ready".length))
      .sort();
  }

  async take(one: Step): Promise<void> {
    if ("key" in one && one.kind !== "up") this.troubled.add(one.key);
    switch (one.kind) {
      case "finish":
        this.finished++;
        return addWal(this.walDirectory, walName(this.finished), walBytes(this.finished));
      case "push":
        return this.push();
      case "heal":
        await this.heal();
        return;
      case "up":
        this.troubled.delete(one.key);
        return this.storageOf(one.key).repair();
      case "down":
        return void this.storageOf(one.key).breakDown(fail("hostConnect", "unreachable", { retryable: true }));
      case "full":
        return void this.storageOf(one.key).plan("putStream", { kind: "error", error: FULL }, { times: 3 });
      case "torn":
        return void this.storageOf(one.key).plan("putStream", { kind: "break", sizeBytes: 10, error: FULL });
      case "lost":
        return void this.storageOf(one.key).plan("putStream", {
          kind: "errorAfter",
          error: fail("hostConnect", "the answer was lost"),
        });
    }
  }

  async push(): Promise<void> {
    const [name] = this.ready();
    if (name === undefined) return;
    const { walDirectory, policy: acknowledge } = this;
    const options = {
      walDirectory,
      walName: name,
      cluster: CLUSTER,
      headerCheck: true,
      acknowledge,
      graceMs: 5000,
      timeoutMs: 60_000,
    };
    const outcome = await this.ctx.clock.until(archivePush(this.repos, this.missingWal, options, this.ctx));
    if (!outcome.accepted) return expect(outcome.error).not.toBeNull();
    this.acknowledged.add(name);
    const holding = new Set(outcome.results.filter((result) => result.ok).map((result) => result.repoIndex));
    expect(isSatisfied(this.policy, KEYS, holding)).toBe(true);
    // PostgreSQL recycles the segment: now only the repositories have it.
    rmSync(join(walDirectory, name));
    rmSync(join(walDirectory, "archive_status", `${name}.ready`));
  }

  async heal(): Promise<void> {
    const results = await heal(
      this.repos,
      { missingWal: this.missingWal, cluster: CLUSTER, local: emptyWal({ listReady: async () => this.ready() }) },
      this.ctx,
    );
    if (this.troubled.size > 0) return;
    for (const result of results) expect(result).toMatchObject({ ok: true, value: { unhealed: [] } });
  }

  /** Holds after every step. */
  async check(): Promise<void> {
    for (const repo of this.repos) {
      const memory = this.memories.get(repo.key);
      if (memory === undefined) throw new Error(`no ${repo.name}`);
      const bare = { ...repo, storage: memory };
      const held = await readable(bare);
      const stored: string[] = [];
      for await (const entry of bare.storage.list("archive/demo/15-1", { recursive: true })) stored.push(entry.path);
      // No file is damaged or stored twice.
      expect(stored).toHaveLength(held.length);
      const lacking = [...this.acknowledged].filter((name) => !held.includes(name)).sort();
      // All missing WAL is recorded. A lost answer may record a stored segment too.
      for (const name of lacking) expect(this.missingWal.list(repo.key)).toContain(name);
    }
  }

  async end(): Promise<void> {
    for (const storage of this.storages.values()) storage.repair();
    this.troubled.clear();
    for (let turn = 0; this.ready().length > 0 && turn <= this.finished; turn++) await this.push();
    await this.heal();
    expect(this.missingWal.repoIndexes()).toEqual([]);
    const everything = Array.from({ length: this.finished }, (_, no) => walName(no + 1));
    expect([...this.acknowledged].sort()).toEqual(everything);
    for (const repo of this.repos) expect(await readable(repo)).toEqual(everything);
    const destination = join(this.folder, "fetched");
    for (const [no, name] of everything.entries()) {
      expect(
        await this.ctx.clock.until(archiveGet(this.repos, { walName: name, destination, cluster: CLUSTER }, this.ctx)),
      ).toBe(true);
      expect(sha1Hex(readFileSync(destination))).toBe(sha1Hex(walBytes(no + 1)));
    }
  }
}

const FULL: BackupError = fail("fileWrite", "no space left");

describe("the archive under faults", () => {
  it(
    `keeps its promises in ${RUNS} runs`,
    async () => {
      await fc.assert(
        fc.asyncProperty(policy, fc.array(step, { minLength: 5, maxLength: 30 }), async (acknowledge, steps) => {
          const world = new World(acknowledge);
          try {
            await world.start();
            for (const one of steps) {
              await world.take(one);
              await world.check();
            }
            await world.end();
          } finally {
            rmSync(world.folder, { recursive: true, force: true });
          }
        }),
        { numRuns: RUNS },
      );
    },
    TIMEOUT_MS,
  );
});
