/**
 * Errors that several writers once caused. The simulation detects each of them when its guard is switched off.
 */
// claim: docs/agent.md: `heal` sends at once…
import type { FaultKind } from "./engine";
import type { Guard } from "./weak";
import type { Scenario } from "./host";

export interface Finding {
  readonly title: string;
  readonly scenario: Scenario;
  /** Disturbances to try, one at each step. */
  readonly kinds: readonly FaultKind[];
  /** Guards that are switched off. */
  readonly off: readonly Guard[];
  /** The expected violation. */
  readonly breaks: RegExp;
}

const base = { repoCount: 1, past: [], standbysOnly: false } as const;
const BROKEN = /is listed and cannot be restored|ended with exit 0 and was never listed/;

export const FINDINGS: readonly Finding[] = [
  {
    title: "two full backups write under one label",
    scenario: { ...base, name: "two fulls", writers: { a: ["full"], b: ["full"] } },
    kinds: [],
    off: ["lease", "publish"],
    breaks: /has other bytes than the manifest says/,
  },
  {
    title: "an incr removes the running full's directory",
    scenario: { ...base, name: "incr beside full", past: ["full"], writers: { a: ["full"], b: ["incr"] } },
    kinds: ["pause"],
    off: ["lease", "publish"],
    breaks: BROKEN,
  },
  {
    title: "an incr is listed after its base was expired",
    scenario: { ...base, name: "incr beside expire", past: ["full"], writers: { a: ["incr"], b: ["full+expire 1"] } },
    kinds: ["pause"],
    off: ["lease", "publish"],
    breaks: BROKEN,
  },
  {
    title: "sync lists a copy that expire removed while it was made",
    scenario: {
      ...base,
      name: "sync beside expire",
      repoCount: 2,
      past: ["full@1", "change", "incr@1", "full@2"],
      writers: { a: ["sync 1 2"], b: ["expire@2 1"] },
    },
    kinds: ["pause"],
    off: ["lease", "publish"],
    breaks: BROKEN,
  },
  {
    title: "a resumed backup keeps another server's bytes",
    scenario: {
      ...base,
      name: "resume elsewhere",
      writers: { a: ["full"], b: ["wait 300", "full"] },
      standbysOnly: true,
      relationCount: 24,
    },
    kinds: ["kill"],
    off: ["source"],
    breaks: /its files are those of no server at no moment/,
  },
  {
    title: "expire believes one listing and removes what is kept",
    scenario: { ...base, name: "expire alone", past: ["full", "incr"], writers: { a: ["expire 2"] } },
    kinds: ["hide"],
    off: ["listing"],
    breaks: /was removed|cannot be restored/,
  },
  {
    title: "the agent acknowledges from memory what a repository has lost",
    scenario: { ...base, name: "a repository made again", writers: { a: ["agent 100"], b: ["wait 50", "recreate"] } },
    kinds: [],
    off: ["memory"],
    breaks: /is nowhere/,
  },
  {
    title: "heal forgets a waiting segment that was acknowledged without one repository meanwhile",
    scenario: {
      ...base,
      name: "heal beside a push of its host",
      repoCount: 2,
      past: ["full"],
      writers: { a: ["push!2 60", "recycle"], a2: ["heal"] },
    },
    kinds: ["pause"],
    off: ["record"],
    breaks: /is neither here nor recorded as missing/,
  },
  {
    title: "a second backup of a host takes a stopped one for dead, and both write under one label",
    scenario: { ...base, name: "two fulls of one host", writers: { a: ["full"], a2: ["wait 1", "full"] } },
    kinds: ["pause"],
    off: ["process"],
    breaks: /was written into a listed backup/,
  },
  {
    title: "an emptied segment is acknowledged as present",
    scenario: {
      ...base,
      name: "again after a thief",
      writers: { a: ["push", "wait 60", "again"], x: ["wait 30", "spoil empty"] },
    },
    kinds: [],
    off: ["bytes"],
    breaks: /is nowhere/,
  },
  {
    title: "two primaries store two segments of one name, and both are acknowledged",
    scenario: { ...base, name: "two primaries", writers: { a: ["twin 40"], b: ["twin 40"] } },
    kinds: ["pause"],
    off: ["twins"],
    breaks: /two servers were told/,
  },
  {
    title: "another server's segment in one repository is forgotten",
    scenario: {
      ...base,
      name: "another server's segment under the next name",
      repoCount: 2,
      writers: { a: ["wait 60", "push", "recycle", "heal"], x: ["plant@2"] },
    },
    kinds: [],
    off: ["conflict", "origin"],
    breaks: /has other bytes/,
  },
  {
    title: "heal copies a replaced segment instead of the acknowledged one",
    scenario: {
      ...base,
      name: "heal after a thief",
      repoCount: 2,
      past: ["full"],
      writers: { a: ["push!1", "wait 60", "recycle", "heal"], x: ["wait 30", "spoil@2 replace"] },
    },
    kinds: [],
    off: ["origin"],
    breaks: /has other bytes than the server wrote/,
  },
  {
    title: "a storage answers that it stored a manifest and did not, and the backup is listed",
    scenario: { ...base, name: "a full alone", writers: { a: ["full"] } },
    kinds: ["forget"],
    off: ["looks"],
    breaks: BROKEN,
  },
  {
    title: "a process that slept writes a list without the hold of another, and expire removes the held backup",
    scenario: {
      ...base,
      name: "a hold beside a full",
      past: ["full", "change", "full"],
      writers: { a: ["incr"], b: ["wait 1", "hold", "wait 4000", "expire 1"] },
      conditions: "none",
    },
    kinds: ["pause"],
    off: ["holds"],
    breaks: /which is held, was removed/,
  },
  {
    title: "a second dump takes the files of a running one for remains",
    scenario: { ...base, name: "two dumps", writers: { a: ["dump"], b: ["dump"] } },
    kinds: ["pause"],
    off: ["lease", "dumps"],
    breaks: /dump .*, which is kept, is lost/,
  },
  {
    title: "a push waits for a slow repository although another one has the segment",
    scenario: { ...base, name: "a push", repoCount: 2, writers: { a: ["push"] } },
    kinds: ["slow"],
    off: ["grace"],
    breaks: /the push of \w+ took \d+\S* s because of a silent or slow repository/,
  },
  {
    title: "two servers stream other bytes, and both get commits confirmed",
    scenario: {
      ...base,
      name: "two servers that stream",
      writers: { a: ["stream 30"], b: ["wait 1", "stream-twin 30"] },
    },
    kinds: [],
    off: ["sessions"],
    breaks: /were both told that it has their WAL/,
  },
  {
    title: "a listing names a segment twice, and its own server's push takes it for a conflict",
    scenario: { ...base, name: "a push again", writers: { a: ["push", "again"] } },
    kinds: ["twice"],
    off: ["set"],
    breaks: /is healthy, and the push .*duplicates found/,
  },
];
