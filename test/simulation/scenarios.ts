/** Concurrent writers. The scenarios are small, so that every point of disturbance can be tried. */
import type { Scenario } from "./host";
import type { Harm } from "./thief";

const base = { repoCount: 1, past: [], standbysOnly: false } as const;

export const SCENARIOS: readonly Scenario[] = [
  { ...base, name: "two fulls", writers: { a: ["full"], b: ["full"] } },
  { ...base, name: "two fulls without exclusive creation", writers: { a: ["full"], b: ["full"] }, conditions: "none" },
  {
    ...base,
    name: "expire beside a full without exclusive creation",
    past: ["full"],
    writers: { a: ["incr"], b: ["full+expire 1"] },
    conditions: "none",
  },
  { ...base, name: "two fulls in a directory", writers: { a: ["full"], b: ["full"] }, conditions: "creation" },
  {
    ...base,
    name: "incr beside expire in a directory",
    past: ["full"],
    writers: { a: ["incr"], b: ["full+expire 1"] },
    conditions: "creation",
  },
  { ...base, name: "incr beside full", past: ["full"], writers: { a: ["full"], b: ["incr"] } },
  { ...base, name: "incr beside expire", past: ["full"], writers: { a: ["incr"], b: ["full+expire 1"] } },
  {
    ...base,
    name: "two expires",
    past: ["full", "full", "incr"],
    writers: { a: ["expire 1"], b: ["expire 1", "incr"] },
  },
  { ...base, name: "resume elsewhere", writers: { a: ["full"], b: ["wait 300", "full"] }, standbysOnly: true },
  {
    ...base,
    name: "resume at home",
    past: ["full"],
    writers: { a: ["full", "change", "full"], b: ["wait 1", "incr"] },
  },
  { ...base, name: "expire alone", past: ["full", "incr"], writers: { a: ["expire 2"] } },
  {
    ...base,
    name: "bundles beside expire",
    past: ["full"],
    writers: { a: ["incr"], b: ["full+expire 1"] },
    bundle: true,
  },
  { ...base, name: "incr alone", past: ["full", "incr"], writers: { a: ["incr", "incr"] } },
  { ...base, name: "notes beside a full", past: ["full"], writers: { a: ["full"], b: ["annotate", "annotate"] } },
  {
    ...base,
    name: "a hold beside a full without exclusive creation",
    past: ["full", "change", "full"],
    writers: { a: ["incr"], b: ["hold", "wait 4000", "expire 1"] },
    conditions: "none",
  },
  {
    ...base,
    name: "a hold beside expires",
    past: ["full", "change", "full"],
    writers: { a: ["expire 1"], b: ["hold", "expire 1"] },
  },
  { ...base, name: "upgrade beside a full", past: ["full"], writers: { a: ["full"], b: ["upgrade"] } },
  {
    ...base,
    name: "sync beside expire",
    repoCount: 2,
    past: ["full@1", "change", "incr@1", "full@2"],
    writers: { a: ["sync 1 2"], b: ["expire@2 1"] },
  },
  {
    ...base,
    name: "pushes beside heal",
    repoCount: 2,
    past: ["full", "push"],
    writers: { a: ["push", "push"], b: ["heal", "heal"], c: ["full+expire 1"] },
  },
  { ...base, name: "two dumps", past: ["dump"], writers: { a: ["dump"], b: ["dump"] }, keepDumps: 1 },
  {
    ...base,
    name: "a dump beside copies of dumps",
    repoCount: 2,
    past: ["dump@1", "wait 1", "dump@1"],
    writers: { a: ["copy-dumps 1 2"], b: ["dump@2"], c: ["copy-dumps 1 2", "dump@1"] },
    keepDumps: 2,
  },
  // Both send the same waiting segments, and what one records as missing the other may store.
  {
    ...base,
    name: "heals beside the pushes of their host",
    repoCount: 2,
    past: ["full", "push"],
    writers: {
      a: ["push", "recycle", "push!2 5", "recycle", "archive"],
      a2: ["heal", "heal"],
      a3: ["wait 1", "heal"],
      c: ["full+expire 1"],
    },
  },
];

/** Scenarios that once broke, or would without their guard, at one pause. */
export const PAUSED: readonly Scenario[] = [
  // Two hosts use one label: files that the loser removes may be the winner's.
  {
    ...base,
    name: "two syncs",
    repoCount: 2,
    past: ["full@1", "incr@1"],
    writers: { a: ["sync 1 2"], b: ["sync 1 2"] },
  },
  // Each host backs up into a repository of its own, both in the same second: the backups get the same label.
  {
    ...base,
    name: "sync beside another backup of that label",
    repoCount: 2,
    past: [],
    writers: { a: ["full@1", "sync 1 2"], b: ["full@2"] },
  },
  // The same, and a third host removes what the sleeper has written.
  {
    ...base,
    name: "sync after a third host",
    repoCount: 2,
    past: [],
    writers: { a: ["full@1", "change", "wait 900", "sync 1 2"], b: ["full@2"], c: ["wait 400", "full@2"] },
  },
  // The copy returns while its removal sleeps.
  {
    ...base,
    name: "sync of what expire removed",
    repoCount: 2,
    past: ["full@1", "change", "full@1", "sync 1 2"],
    writers: { a: ["wait 300", "sync 1 2"], b: ["expire@2 1"] },
  },
  // The same, and a third host continues the removal.
  {
    ...base,
    name: "sync of what two expires removed",
    repoCount: 2,
    past: ["full@1", "change", "full@1", "sync 1 2"],
    writers: { a: ["wait 900", "sync 1 2"], b: ["expire@2 1"], c: ["wait 400", "expire@2 1"] },
  },
  // A segment that heal is about to send is acknowledged without one repository, and leaves pg_wal.
  {
    ...base,
    name: "heal beside a push of its host",
    repoCount: 2,
    past: ["full"],
    writers: { a: ["push!2 60", "recycle"], a2: ["heal"] },
  },
  // What a sleeping process pushes and records hours later must not hide that a repository lacks acknowledged WAL.
  {
    ...base,
    name: "the process that stays beside its caller",
    repoCount: 2,
    past: ["full"],
    writers: {
      a: ["push 2", "archive", "recycle", "push!2 2", "recycle"],
      a2: ["wait 1", "unheard", "wait 5", "unheard"],
    },
  },
  // An expired backup that is not removed yet must not be listed again.
  {
    ...base,
    name: "incr beside a sleeping expire",
    past: ["full", "full"],
    writers: { a: ["expire 1"], b: ["wait 1", "incr"] },
  },
];

/** Two servers that stream WAL of one timeline: one is a clone of the other. */
export const STREAMS: readonly Scenario[] = [
  {
    ...base,
    name: "two servers that stream",
    writers: { a: ["stream 30", "stream 20"], b: ["wait 1", "stream-twin 30", "stream-twin 20"] },
  },
  {
    ...base,
    name: "a clone that streams later",
    writers: { a: ["stream 60"], b: ["wait 20", "stream-twin 20", "stream-twin 10"] },
  },
  // The first server reaches the clone's place while one of its looks lasts.
  {
    ...base,
    name: "a clone that overtakes",
    writers: { a: ["stream 80 2"], b: ["wait 20", "stream-twin 20"] },
  },
  {
    ...base,
    name: "two servers that stream into two repositories, beside expire",
    repoCount: 2,
    past: ["full"],
    writers: { a: ["stream 20"], b: ["stream-twin 10", "stream-twin 10"], c: ["wait 5", "full+expire 1"] },
  },
];

/** The most concurrent work that is possible. */
export const CROWDS: readonly Scenario[] = [
  {
    ...base,
    name: "a night",
    repoCount: 2,
    past: ["full", "push"],
    writers: {
      a: ["push", "full+expire 2", "change", "incr+expire 2"],
      b: ["incr", "heal", "full+expire 2"],
      c: ["sync 1 2", "expire 2", "annotate", "sync 2 1"],
    },
  },
  {
    ...base,
    name: "four hosts",
    past: ["full", "incr", "push"],
    writers: {
      a: ["full+expire 1", "change", "incr"],
      b: ["incr+expire 1", "full"],
      c: ["expire 1", "push", "incr", "heal"],
      d: ["hold", "full+expire 1", "push", "diff"],
    },
  },
];

/**
 * Rules of the runtime, by what they are about. `bytes`: a stored name counts only with its content. `conflict`: other
 * content in one repository is recorded and stops no other one. `origin`: the server's own bytes decide what heal
 * copies. `twins`: a push looks again after its write. `process`: a holder that lives is busy, whatever lock files say.
 * `looks`: what is stored is looked at before anybody counts on it. `verdict`: verify compares the segments of all
 * repositories. `tail`: verify misses the newest segments that another repository has. `clock`: expire doubts a clock
 * that is far ahead.
 */
export type Rule = "bytes" | "conflict" | "origin" | "twins" | "process" | "looks" | "verdict" | "tail" | "clock";

/** Rules that the runtime follows. A scenario that needs another one is left out. */
const RULES: ReadonlySet<Rule> = new Set([
  "bytes",
  "conflict",
  "origin",
  "twins",
  "process",
  "looks",
  "verdict",
  "clock",
]);

export interface RuledScenario extends Scenario {
  readonly needs: readonly Rule[];
}

const two = { ...base, repoCount: 2, past: ["full", "push"] } as const;

/** Scenarios in which a thief harms a file of a repository. */
export function harmedBy(harm: Harm): readonly RuledScenario[] {
  const scenarios: readonly RuledScenario[] = [
    // PostgreSQL asks again for a segment that was stored, after a crash for example.
    {
      ...two,
      name: `again, after a thief: ${harm}`,
      writers: { a: ["push", "wait 60", "again", "get"], x: ["wait 30", `spoil@1 ${harm}`] },
      needs: ["bytes", "conflict"],
    },
    {
      ...two,
      name: `heal after a thief: ${harm}`,
      writers: { a: ["push!1", "wait 60", "heal", "get"], x: ["wait 30", `spoil@2 ${harm}`] },
      needs: ["origin"],
    },
    {
      ...two,
      name: `heal after a thief, without the server's bytes: ${harm}`,
      writers: { a: ["push!1", "wait 60", "recycle", "heal", "get"], x: ["wait 30", `spoil@2 ${harm}`] },
      needs: ["origin"],
    },
    {
      ...two,
      name: `verify after a thief: ${harm}`,
      writers: { a: ["push", "wait 60", "verify", "get"], x: ["wait 30", `spoil@2 ${harm}`] },
      needs: VERDICTS[harm],
    },
    {
      ...two,
      name: `verify after a thief of data: ${harm}`,
      writers: { a: ["verify", "wait 60", "verify"], x: ["wait 30", `spoil@2 ${harm} data`] },
      needs: [],
    },
    // Young WAL may still be on its way: status calls a gap one after five minutes.
    {
      ...two,
      name: `status after a thief: ${harm}`,
      writers: { a: ["push", "wait 60", "push", "wait 400", "status"], x: ["wait 30", `spoil@2 ${harm}`] },
      needs: [],
    },
  ];
  return followed(scenarios.filter(({ name }) => !name.endsWith("data: replace")));
}

/** What verify needs to see a harmed segment. The newest one leaves no gap. */
const VERDICTS: Readonly<Record<Harm, readonly Rule[]>> = {
  vanish: ["tail"],
  directory: ["tail"],
  replace: ["verdict"],
  empty: [],
  cut: [],
  garbage: [],
};

const BESIDE_OTHERS: readonly RuledScenario[] = [
  {
    ...two,
    name: "another server's segment under the next name",
    writers: { a: ["wait 60", "push", "push", "heal", "full@1", "get"], x: ["plant@2"] },
    needs: ["conflict", "origin"],
  },
  {
    ...two,
    name: "another server's segment, and the agent",
    writers: { a: ["wait 60", "agent 1", "agent 1", "heal", "get"], x: ["plant@2"] },
    needs: ["conflict", "origin"],
  },
  {
    ...two,
    name: "verify with another server's segment",
    writers: { a: ["wait 60", "agent 1", "heal", "verify"], x: ["plant@2"] },
    needs: ["conflict", "origin", "verdict"],
  },
  {
    ...two,
    name: "a segment of the future",
    writers: { a: ["wait 60", "push", "heal", "push", "get"], x: ["plant@2 far"] },
    needs: ["origin"],
  },
  { ...base, name: "two primaries", past: ["full"], writers: { a: ["twin 40"], b: ["twin 40"] }, needs: ["twins"] },
  {
    ...two,
    name: "two primaries and two repositories",
    writers: { a: ["twin 40", "get"], b: ["twin 40", "heal"] },
    needs: ["twins", "conflict", "origin"],
  },
  {
    ...two,
    name: "a snapshot is restored",
    writers: {
      a: ["push", "push", "incr", "wait 60", "push", "heal", "get", "verify"],
      x: ["snapshot@2", "wait 30", "rewind@2"],
    },
    needs: ["bytes"],
  },
  {
    ...two,
    name: "status after a snapshot is restored",
    writers: {
      a: ["push", "push", "incr", "wait 60", "push", "wait 400", "status", "heal", "wait 400", "status"],
      x: ["snapshot@2", "wait 30", "rewind@2"],
    },
    needs: [],
  },
  {
    ...base,
    name: "a snapshot is restored beside a full",
    past: ["full"],
    writers: { a: ["full", "incr"], b: ["wait 1", "incr"], x: ["snapshot", "wait 2", "rewind"] },
    needs: [],
  },
  {
    ...base,
    name: "a clock ahead",
    past: ["full", "push", "full", "push"],
    writers: { a: ["clock 400", "expire-days 7"] },
    needs: ["clock"],
  },
  {
    ...two,
    name: "keys exchanged",
    writers: { a: ["push!1", "exchange", "copy", "copy", "heal", "get"] },
    needs: ["origin"],
  },
  {
    ...two,
    name: "keys exchanged, without the server's bytes",
    writers: { a: ["push!1", "recycle", "exchange", "copy", "copy", "get"] },
    needs: ["origin"],
  },
  // Somebody has removed the lock files of the first one.
  { ...base, name: "two fulls of one host", writers: { a: ["full"], a2: ["wait 1", "full"] }, needs: ["process"] },
];

export const HARMS = ["vanish", "empty", "cut", "garbage", "replace", "directory"] as const satisfies readonly Harm[];
export const BESIDE = followed(BESIDE_OTHERS);
export const HARMED = [...HARMS.flatMap((harm) => harmedBy(harm)), ...BESIDE];

export interface LyingScenario extends RuledScenario {
  /** The nightly form tries each lie in each call of every scenario. */
  readonly isShort: boolean;
}

/** One program, and two repositories that lie or hang. */
const LIARS: readonly LyingScenario[] = [
  { ...two, name: "push", writers: { a: ["push"] }, needs: ["twins"], isShort: true },
  { ...two, name: "agent", writers: { a: ["agent 1"] }, needs: ["twins"], isShort: true },
  { ...two, name: "get", writers: { a: ["get"] }, needs: [], isShort: true },
  { ...two, name: "heal", writers: { a: ["push!2", "push!1", "heal"] }, needs: ["looks"], isShort: true },
  { ...two, name: "stream", writers: { a: ["stream 20", "stream 15"] }, needs: [], isShort: false },
  { ...two, name: "verify", writers: { a: ["verify"] }, needs: [], isShort: false },
  { ...two, name: "backup", past: ["full"], writers: { a: ["incr"] }, needs: ["looks"], isShort: false },
  { ...two, name: "backup in bundles", writers: { a: ["full"] }, bundle: true, needs: ["looks"], isShort: false },
  { ...two, name: "expire", past: ["full", "full"], writers: { a: ["expire 1"] }, needs: ["looks"], isShort: false },
  { ...two, name: "dump", past: ["dump"], writers: { a: ["dump"] }, keepDumps: 1, needs: ["looks"], isShort: false },
  {
    ...two,
    name: "hold",
    past: ["full", "change", "full"],
    writers: { a: ["hold", "expire 1"] },
    needs: ["looks"],
    isShort: false,
  },
  { ...two, name: "sync", past: ["full", "full@1"], writers: { a: ["sync 1 2"] }, needs: ["looks"], isShort: false },
];
export const LYING = followed(LIARS);

function followed<T extends RuledScenario>(scenarios: readonly T[]): readonly T[] {
  return scenarios.filter(({ needs }) => needs.every((rule) => RULES.has(rule)));
}
