/** Concurrent writers. The scenarios are small, so that every point of disturbance can be tried. */
import type { Scenario } from "./host";

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
  { ...base, name: "incr alone", past: ["full", "incr"], writers: { a: ["incr", "incr"] } },
  { ...base, name: "notes beside a full", past: ["full"], writers: { a: ["full"], b: ["annotate", "annotate"] } },
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

/** Scenarios that once broke, or would without their guard, at one pause. Each run tries a pause at every point. */
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
  // An expired backup that is not removed yet must not be listed again.
  {
    ...base,
    name: "incr beside a sleeping expire",
    past: ["full", "full"],
    writers: { a: ["expire 1"], b: ["wait 1", "incr"] },
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
      d: ["annotate", "full+expire 1", "push", "diff"],
    },
  },
];
