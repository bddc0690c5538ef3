/**
 * fast-check draws the steps of a world here: single steps in random order, earlier backups in some worlds, and
 * scenarios.
 *
 * A scenario is a few steps to a state that random steps hardly ever reach: one repository lacks another one's backup,
 * an unfinished backup is damaged before it is resumed, or only a damaged or unreachable repository holds some WAL.
 */
import * as fc from "../harness/properties";
import type { BackupType } from "../../runtime/format/repository/label";
import type { AcknowledgePolicy } from "../../runtime/config/types";
import type { DamagedPart } from "./faultFiles";
import { KEYS, type Key } from "./faultWorld";
import type { Death } from "./mortal";
import type { Outage } from "./s3Bucket";
import type { Damage } from "./weather";

export type Step =
  | { readonly kind: "wal"; readonly count: number; readonly death: Death | null }
  | { readonly kind: "write"; readonly seed: number }
  | { readonly kind: "checkpoint" | "promote" }
  | BackupStep
  | { readonly kind: "expire"; readonly keys: readonly Key[]; readonly full: number; readonly death: Death | null }
  | { readonly kind: "heal"; readonly death: Death | null }
  | { readonly kind: "sync"; readonly from: Key; readonly to: Key; readonly all: boolean; readonly death: Death | null }
  | { readonly kind: "up"; readonly key: Key }
  /** `afterCalls`: this number of calls to the repository still succeeds. */
  | { readonly kind: "down" | "slow" | "torn" | "lost" | "locked"; readonly key: Key; readonly afterCalls: number }
  | { readonly kind: "full"; readonly key: Key; readonly afterCalls: number; readonly freeBytes: number }
  | { readonly kind: "corrupt"; readonly key: Key; readonly damage: Damage; readonly part: DamagedPart }
  | { readonly kind: "damage" | "spoil"; readonly key: Key; readonly damage: Damage }
  | { readonly kind: "outage"; readonly outage: Outage; readonly times: number }
  | { readonly kind: "clock"; readonly stepMs: number }
  | { readonly kind: "restore"; readonly pick: number; readonly readsLeft: number | null }
  /** With null as `pick`, fetches the newest. */
  | { readonly kind: "fetch"; readonly pick: number | null };

interface BackupStep {
  readonly kind: "backup";
  readonly type: BackupType;
  readonly keys: readonly Key[];
  readonly death: Death | null;
  /** A repository whose archive takes no more files from some call of this backup on. */
  readonly locked: { readonly key: Key; readonly afterCalls: number } | null;
}

/** Without fast-check's bias to the ends of the range, which would kill most processes at once or never. */
const even = (max: number): fc.Arbitrary<number> => fc.noBias(fc.nat(max));
const key = fc.constantFrom(...KEYS);
/** All repositories, or one. */
const keys: fc.Arbitrary<Key[]> = fc.oneof(fc.constant<Key[]>([...KEYS]), fc.tuple(key));
const locked: fc.Arbitrary<{ key: Key; afterCalls: number } | null> = fc.option(
  fc.record({ key, afterCalls: even(50) }),
  { freq: 2 },
);
const type = fc.constantFrom<BackupType>("full", "diff", "incr");
/** Mostly all repositories. */
const into: fc.Arbitrary<Key[]> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Key[]>([...KEYS]) },
  { weight: 1, arbitrary: fc.tuple(key) },
);
const afterCalls = fc.oneof(fc.constant(0), even(120));
const reads: fc.Arbitrary<number | null> = fc.option(even(30), { freq: 2 });
const damage: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom("flip" as const, "cut" as const),
  pick: even(1_000_000),
});

/** The death of an operation with about `writes` writes, of which {@link Death.isAtHeart} counts `atHeart`. */
function death(writes: number, atHeart: number): fc.Arbitrary<Death | null> {
  const how = { leaves: fc.constantFrom("nothing" as const, "half" as const, "all" as const), powerLost: fc.boolean() };
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant(null) },
    { weight: 2, arbitrary: fc.record({ after: even(writes), isAtHeart: fc.constant(false), ...how }) },
    { weight: 3, arbitrary: fc.record({ after: even(atHeart), isAtHeart: fc.constant(true), ...how }) },
  );
}

function stepOf(hasS3: boolean): fc.Arbitrary<Step> {
  const kind = <K extends Step["kind"]>(name: K): fc.Arbitrary<K> => fc.constant(name);
  const choices: { weight: number; arbitrary: fc.Arbitrary<Step> }[] = [
    {
      weight: 6,
      arbitrary: fc.record({ kind: kind("wal"), count: fc.integer({ min: 0, max: 3 }), death: death(12, 3) }),
    },
    { weight: 5, arbitrary: fc.record({ kind: kind("write"), seed: even(100_000) }) },
    { weight: 2, arbitrary: fc.record({ kind: kind("checkpoint") }) },
    { weight: 1, arbitrary: fc.record({ kind: kind("promote") }) },
    {
      weight: 6,
      arbitrary: fc.record({ kind: kind("backup"), type, keys: into, death: death(150, 24), locked }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: kind("expire"), keys, full: fc.integer({ min: 1, max: 2 }), death: death(10, 8) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: kind("heal"), death: death(6, 2) }) },
    {
      weight: 3,
      arbitrary: fc
        .tuple(fc.shuffledSubarray([...KEYS], { minLength: 2, maxLength: 2 }), fc.boolean(), death(80, 8))
        .map(([[from = 1, to = 2], all, died]): Step => ({ kind: "sync", from, to, all, death: died })),
    },
    { weight: 3, arbitrary: fc.record({ kind: kind("up"), key }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom("down" as const, "slow" as const, "torn" as const, "lost" as const),
        key,
        afterCalls,
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: kind("locked"), key, afterCalls }) },
    { weight: 1, arbitrary: fc.record({ kind: kind("full"), key, afterCalls, freeBytes: even(300_000) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: kind("corrupt"),
        key,
        damage,
        part: fc.constantFrom<DamagedPart>("any", "segment", "backup"),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: kind("damage"), key, damage }) },
    { weight: 1, arbitrary: fc.record({ kind: kind("spoil"), key, damage }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: kind("clock"), stepMs: fc.noBias(fc.integer({ min: -7_200_000, max: 7_200_000 })) }),
    },
    { weight: 3, arbitrary: fc.record({ kind: kind("restore"), pick: even(1_000_000), readsLeft: reads }) },
    { weight: 2, arbitrary: fc.record({ kind: kind("fetch"), pick: even(1_000_000) }) },
  ];
  // An unreachable server counts once, however many requests it refuses: draw it twice as often.
  const which = fc.constantFrom<Outage>("refused", ...OUTAGES);
  const outage = fc.record({ kind: kind("outage"), outage: which, times: fc.noBias(fc.integer({ min: 1, max: 30 })) });
  return fc.oneof(...choices, ...(hasS3 ? [{ weight: 20, arbitrary: outage }] : []));
}

export const OUTAGES = ["refused", "500", "503", "torn", "lost", "late"] as const;
export const policy: fc.Arbitrary<AcknowledgePolicy> = fc.oneof(
  fc.constant<AcknowledgePolicy>({ mode: "all", repoIndexes: [] }),
  fc.constant<AcknowledgePolicy>({ mode: "any", repoIndexes: [] }),
  fc.uniqueArray(key, { minLength: 1 }).map((repoIndexes): AcknowledgePolicy => ({ mode: "named", repoIndexes })),
);
const backupOf = (one: BackupType, repoIndexes: readonly Key[], died: Death | null = null): BackupStep => ({
  kind: "backup",
  type: one,
  keys: repoIndexes,
  death: died,
  locked: null,
});
const allUp: readonly Step[] = KEYS.map((one) => ({ kind: "up", key: one }));
const down = (one: Key): Step => ({ kind: "down", key: one, afterCalls: 0 });
const up = (one: Key): Step => ({ kind: "up", key: one });
const order = fc.shuffledSubarray([...KEYS], { minLength: KEYS.length, maxLength: KEYS.length });
/** Half of the runs die. */
const halfDead = (writes: number): fc.Arbitrary<Death | null> =>
  fc.option(
    fc.record({
      after: even(writes),
      isAtHeart: fc.constant(false),
      leaves: fc.constantFrom("nothing", "half", "all"),
      powerLost: fc.boolean(),
    }),
    { freq: 2 },
  );

/**
 * Syncs a backup to a repository that lacks it, sometimes from damaged bytes, and sometimes with a first run that dies.
 * The source is often the repository without compression, where only checksums detect damage.
 */
const lackingBackup: fc.Arbitrary<Step[]> = fc
  .record({
    order: fc.oneof(order, fc.constantFrom<Key[]>([1, 2], [1, 3])),
    seeds: fc.array(even(100_000), { minLength: 1, maxLength: 4 }),
    type,
    damages: fc.array(damage, { maxLength: 4 }),
    all: fc.boolean(),
    died: halfDead(80),
  })
  .map(({ order: [from = 1, to = 2], seeds, type: one, damages, all, died }) => [
    ...allUp,
    ...seeds.map((seed): Step => ({ kind: "write", seed })),
    backupOf(one, [from]),
    ...damages.map((each): Step => ({ kind: "corrupt", key: from, damage: each, part: "backup" })),
    { kind: "sync", from, to, all, death: died },
    up(from),
    { kind: "sync", from, to, all: true, death: null },
  ]);

/** A full backup dies while it copies, its files are damaged, and the next backup resumes it. */
const spoiledAttempt: fc.Arbitrary<Step[]> = fc
  .record({
    key: fc.constantFrom<Key>(1, 3),
    seeds: fc.array(even(100_000), { minLength: 3, maxLength: 5 }),
    after: even(60),
    powerLost: fc.boolean(),
    damages: fc.array(damage, { maxLength: 4 }),
  })
  .map(({ key: one, seeds, after, powerLost, damages }) => [
    ...allUp,
    ...seeds.map((seed): Step => ({ kind: "write", seed })),
    backupOf("full", [one], { after: 25 + after, isAtHeart: false, leaves: "half", powerLost }),
    ...damages.map((each): Step => ({ kind: "spoil", key: one, damage: each })),
    backupOf("full", [one]),
  ]);

/** A repository misses WAL that is no longer in pg_wal and is damaged in the first source. */
const damagedRecords: fc.Arbitrary<Step[]> = fc
  .record({ behind: fc.constantFrom<Key>(2, 3), damages: fc.array(damage, { minLength: 1, maxLength: 2 }) })
  .map(({ behind, damages }) => [
    ...allUp,
    down(behind),
    { kind: "wal", count: 1, death: null },
    { kind: "checkpoint" },
    up(behind),
    ...damages.map(
      (each, index): Step => ({
        kind: "corrupt",
        key: index === 0 ? 1 : behind === 2 ? 3 : 2,
        damage: each,
        part: "segment",
      }),
    ),
    { kind: "heal", death: null },
  ]);

/** Recovery asks for WAL whose only repository is unreachable or damaged. */
const absentHolder: fc.Arbitrary<Step[]> = fc
  .record({ order, damage, isAway: fc.boolean() })
  .map(({ order: [holder = 1, second = 2, third = 3], damage: each, isAway }) => [
    ...allUp,
    down(second),
    down(third),
    { kind: "wal", count: 1, death: null },
    up(second),
    up(third),
    isAway ? down(holder) : { kind: "corrupt", key: holder, damage: each, part: "segment" },
    { kind: "fetch", pick: null },
    up(holder),
  ]);

const scenario: fc.Arbitrary<Step[]> = fc.oneof(
  { weight: 3, arbitrary: lackingBackup },
  { weight: 2, arbitrary: spoiledAttempt },
  { weight: 2, arbitrary: damagedRecords },
  { weight: 2, arbitrary: absentHolder },
);

/** Earlier backups, in some worlds. */
const past: fc.Arbitrary<Step[]> = fc
  .constantFrom<BackupType[]>([], ["full"], ["full", "incr"], ["full", "full"], ["full", "diff", "full", "incr"])
  .map((types) => types.flatMap((one, index): Step[] => [{ kind: "write", seed: 1 + index }, backupOf(one, KEYS)]));
/** One step in this many is a scenario. */
const SCENARIO_EVERY = 9;
export const stepsOf = (hasS3: boolean): fc.Arbitrary<Step[]> => {
  const single = stepOf(hasS3).map((step) => [step]);
  const next = fc.oneof({ weight: SCENARIO_EVERY - 1, arbitrary: single }, { weight: 1, arbitrary: scenario });
  return fc
    .tuple(past, fc.array(next, { minLength: 8, maxLength: 30, size: "max" }))
    .map(([before, then]) => [...before, ...then.flat()]);
};
