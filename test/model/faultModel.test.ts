/**
 * Writes, backups of every kind, expire, heal, restores, and everything that can go wrong meanwhile, in any order: repositories down, full,
 * slow, tearing writes, losing answers, bytes that flip, clocks that step, and processes that die between any two writes.
 *
 * At every moment: acknowledged WAL is in as many repositories as the policy asks for, and what one lacks is its recorded debt; every backup
 * that backup.info lists is whole and restores to what the cluster was; a flipped bit is told by verify or changes nothing; archive-get
 * never gives wrong bytes and never says "not found" for what was acknowledged. At the end, after heal, all repositories agree.
 *
 * fast-check prints seed and path of a failure. `PGBACKSTOP_LONG=1` runs for `PGBACKSTOP_MODEL_MINUTES` (default 5) from `PGBACKSTOP_SEED` on.
 */
import * as fc from "fast-check";
import { describe, it, expect } from "vitest";
import { fail } from "../../runtime/base/errors";
import type { BackupType } from "../../runtime/format/label";
import type { AcknowledgePolicy } from "../../runtime/operations/acknowledge";
import { FaultWorld, KEYS, type Key } from "./faultWorld";

const IS_LONG = process.env["PGBACKSTOP_LONG"] === "1";
const MINUTES = Number(process.env["PGBACKSTOP_MODEL_MINUTES"] ?? 5);
const SEED = Number(process.env["PGBACKSTOP_SEED"] ?? 1);
/** Of the normal run. */
const RUNS = 8;

type Weather = "down" | "up" | "full" | "torn" | "lost" | "slow";
type Step =
  | { readonly kind: "wal"; readonly count: number; readonly crash: number | null }
  | { readonly kind: "write"; readonly seed: number }
  | { readonly kind: "checkpoint" | "promote" }
  | { readonly kind: "backup"; readonly type: BackupType; readonly crash: number | null }
  | { readonly kind: "expire"; readonly full: number; readonly crash: number | null }
  | { readonly kind: "heal"; readonly crash: number | null }
  | { readonly kind: "weather"; readonly what: Weather; readonly key: Key }
  | { readonly kind: "flip"; readonly key: Key; readonly pick: number }
  | { readonly kind: "clock"; readonly stepMs: number }
  | { readonly kind: "restore" }
  | { readonly kind: "fetch"; readonly pick: number };

const key = fc.constantFrom(...KEYS);
const crash = fc.option(fc.nat(60), { freq: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("wal" as const), count: fc.integer({ min: 0, max: 3 }), crash: fc.option(fc.nat(8), { freq: 3 }) }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("write" as const), seed: fc.nat(100_000) }) },
  { weight: 2, arbitrary: fc.constant<Step>({ kind: "checkpoint" }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: "promote" }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("backup" as const), type: fc.constantFrom<BackupType>("full", "diff", "incr"), crash }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("expire" as const), full: fc.integer({ min: 1, max: 3 }), crash: fc.option(fc.nat(12), { freq: 2 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("heal" as const), crash: fc.option(fc.nat(4), { freq: 2 }) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("weather" as const),
      what: fc.constantFrom<Weather>("down", "up", "up", "full", "torn", "lost", "slow"),
      key,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("flip" as const), key, pick: fc.nat(1_000_000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("clock" as const), stepMs: fc.integer({ min: -7_200_000, max: 7_200_000 }) }) },
  { weight: 2, arbitrary: fc.constant<Step>({ kind: "restore" }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("fetch" as const), pick: fc.nat(1_000_000) }) },
);
const policy: fc.Arbitrary<AcknowledgePolicy> = fc.oneof(
  fc.constant<AcknowledgePolicy>({ mode: "all", repoKeys: [] }),
  fc.constant<AcknowledgePolicy>({ mode: "any", repoKeys: [] }),
  fc.uniqueArray(key, { minLength: 1 }).map((repoKeys): AcknowledgePolicy => ({ mode: "named", repoKeys })),
);
const steps = fc.array(step, { minLength: 10, maxLength: 40, size: "max" });
/** What happened over all runs: a model in which nothing goes through, or nothing fails, proves nothing. */
const TALLY = new Map<string, number>();
const FULL = fail("fileWrite", "no space left");

async function play(acknowledge: AcknowledgePolicy, todo: readonly Step[]): Promise<void> {
  const world = new FaultWorld(acknowledge);
  try {
    await world.start();
    for (const one of todo) {
      await world.clock.held.advance(1500);
      await take(world, one);
      await world.checkWal();
    }
    await world.end();
    for (const [name, count] of world.tally) TALLY.set(name, (TALLY.get(name) ?? 0) + count);
  } finally {
    world.remove();
  }
}

async function take(world: FaultWorld, one: Step): Promise<void> {
  switch (one.kind) {
    case "wal":
      for (let no = 0; no < one.count; no++) world.finishSegment();
      await world.archive(one.crash);
      return;
    case "write":
      return world.write(one.seed);
    case "promote":
      return world.promote();
    case "checkpoint":
      return world.checkpoint();
    case "backup":
      await world.backup(one.type, one.crash);
      return world.checkRepositories();
    case "expire":
      await world.expire(one.full, one.crash);
      return world.checkRepositories();
    case "heal":
      return world.heal(one.crash);
    case "weather":
      return turn(world, one.what, one.key);
    case "flip":
      return flip(world, one.key, one.pick);
    case "clock":
      world.clock.skewMs += one.stepMs;
      return;
    case "restore":
      await world.restoreFromTroubled();
      return;
    case "fetch":
      return fetch(world, one.pick);
  }
}

function turn(world: FaultWorld, what: Weather, repoKey: Key): void {
  if (what === "up") return world.calm(repoKey);
  world.troubled.add(repoKey);
  const storage = world.weather(repoKey);
  switch (what) {
    case "down":
      return void storage.breakDown(fail("hostConnect", "unreachable", { retryable: true }));
    case "full":
      for (const method of ["put", "putStream"] as const) storage.plan(method, { kind: "error", error: FULL }, { times: 5 });
      return;
    case "torn":
      return void storage.plan("putStream", { kind: "break", sizeBytes: 10, error: FULL });
    case "lost":
      for (const method of ["put", "putStream", "remove"] as const)
        storage.plan(method, { kind: "errorAfter", error: fail("hostConnect", "the answer was lost") });
      return;
    case "slow":
      for (const method of ["put", "putStream", "read"] as const) storage.plan(method, { kind: "delay", durationMs: 20_000 }, { times: 3 });
  }
}

/** A damaged file is told, or it was of no consequence: every backup of the repository restores and every WAL file is right all the same. */
async function flip(world: FaultWorld, repoKey: Key, pick: number): Promise<void> {
  await world.withFlippedBit(repoKey, pick, async (path) => {
    const [repo] = world.bare().filter((candidate) => candidate.key === repoKey);
    if (repo === undefined) return;
    const told = await world.verify(repo).then(
      (verdict) => verdict.problems.length > 0,
      () => true,
    );
    world.count(told ? "flips told by verify" : `flips of no consequence in ${kindOf(path)}`);
    // Nothing holds the checksum of these: what a backup's history file says is for people only, and a timeline history is a few lines of text.
    if (told || /\.(backup|history)$/.test(path)) return;
    const label = /^backup\/demo\/([^/]+)\/backup\.manifest/.exec(path)?.[1];
    const isNeeded = label === undefined ? /\.info(\.copy)?$/.test(path) : (await world.labels(repo)).includes(label);
    expect(isNeeded, `verify overlooked the damage of ${path}`).toBe(false);
    await world.checkWal(true).catch((error: unknown) => {
      throw new Error(`verify overlooked the damage of ${path}`, { cause: error });
    });
    for (const each of await world.labels(repo)) expect(await world.restore([repo], each), `damage of ${path} that verify overlooked`).toBe(each);
  });
}

/** What kind of file of a repository it is. */
function kindOf(path: string): string {
  if (path.startsWith("archive/"))
    return /\.(backup|history)$/.test(path) ? "a history file" : path.includes("archive.info") ? "archive.info or its copy" : "a segment";
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (path.includes("/backup.history/")) return "an old manifest";
  return name.startsWith("backup.") ? name : "a file of a backup";
}

async function fetch(world: FaultWorld, pick: number): Promise<void> {
  const names = [...world.acknowledged].sort();
  const name = names[pick % Math.max(1, names.length)];
  if (name === undefined) return;
  const answer = await world.fetch(name);
  // Retention may have let go of it everywhere.
  if (answer === "absent") expect(await world.isGivenUp(name), `archive-get does not find ${name}`).toBe(true);
}

function tell(text: string): void {
  const counts = [...TALLY].sort(([left], [right]) => (left < right ? -1 : 1)).map(([name, count]) => `${name} ${count}`);
  process.stdout.write(`fault model: ${text}\n  ${counts.join(", ")}\n`);
}

describe("everything that can go wrong", () => {
  it.runIf(!IS_LONG)(
    `keeps the promises in ${RUNS} runs`,
    async () => {
      await fc.assert(fc.asyncProperty(policy, steps, play), { numRuns: RUNS, seed: SEED, endOnFailure: true });
      tell(`${RUNS} runs`);
    },
    600_000,
  );

  it.runIf(IS_LONG)(
    `keeps the promises for ${MINUTES} minutes`,
    async () => {
      const endMs = performance.now() + MINUTES * 60_000;
      const failures: string[] = [];
      let seed = SEED;
      for (; performance.now() < endMs; seed++) {
        const details = await fc.check(fc.asyncProperty(policy, steps, play), { numRuns: 1, seed, endOnFailure: true });
        if (details.failed) failures.push(`seed ${seed}: ${String(details.errorInstance)}\n${fc.stringify(details.counterexample)}`);
        if (details.failed || seed % 20 === 0)
          tell(`${seed - SEED + 1} seeds, ${failures.length} failures${details.failed ? `\n${failures.at(-1)}` : ""}`);
      }
      tell(`ran ${seed - SEED} seeds from ${SEED}: ${failures.length} failures`);
      expect(failures).toEqual([]);
    },
    (MINUTES + 10) * 60_000,
  );
});
