/**
 * What a change does to the backups: two sets of topologies to a list of changes, each strengthened, weakened or neutral. Pure.
 *
 * A weakened change is acknowledged when the new topology says so (`acknowledgeWeaker`), by its path and new value and with a reason. An
 * entry that the old topology has already is spent: it acknowledged the change that brought it. A database that goes as a whole cannot say
 * so any more: it counts what the old topology announced (`database=removed`).
 */
import { type Change, collector, isHidden } from "./diff/change";
import { copyCountsText, countCopies } from "./diff/copyCounts";
import { diffDatabase } from "./diff/database";
import type { Topology } from "./topology/topology";

/** By the name of the component; null where nothing of it is known yet. */
export type TopologySet = ReadonlyMap<string, Topology | null>;

/** One database before and after; null where there is none. */
export interface DatabaseSummary {
  readonly name: string;
  /** `3-2-1`; `?` where nothing is known yet. */
  readonly copiesBefore: string | null;
  readonly copiesAfter: string | null;
  /** US dollars; null where no repository has an estimate. */
  readonly costBefore: number | null;
  readonly costAfter: number | null;
}

export interface TopologyDiff {
  /** Ascending by name. */
  readonly databases: readonly DatabaseSummary[];
  readonly changes: readonly Change[];
  /** Entries of `acknowledgeWeaker` that are new and fit no change: a slip of the pen, or a change that is not there. */
  readonly unused: readonly { readonly database: string; readonly change: string }[];
}

export const REMOVED_DATABASE = "database=removed";

/** Every difference; nothing for equal sets. */
export function diffTopologies(before: TopologySet, after: TopologySet): TopologyDiff {
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  const results = names.map((name) => diffOne(name, before.get(name), after.get(name)));
  return {
    databases: names.map((name) => summaryOf(name, before.get(name), after.get(name))),
    changes: results.flatMap(({ changes }) => changes),
    unused: results.flatMap(({ unused }) => unused),
  };
}

/** Weakened changes that nobody said to be meant. */
export function weakenedOf({ changes }: TopologyDiff): Change[] {
  return changes.filter((change) => change.effect === "weakened" && change.acknowledged === undefined);
}

/** Dollars a month of all repositories that have an estimate. */
export function monthlyCost(topology: Topology): number | null {
  const costs = topology.repositories.flatMap(({ cost }) => (cost === undefined || isHidden(cost.perMonth) ? [] : [cost.perMonth]));
  return costs.length === 0 ? null : Number(costs.reduce((sum, cost) => sum + cost, 0).toFixed(2));
}

type Maybe = Topology | null | undefined;
type One = Pick<TopologyDiff, "changes" | "unused">;

function diffOne(name: string, before: Maybe, after: Maybe): One {
  const found: Change[] = [];
  const to = collector(name, found);
  if (before === undefined) {
    const shown = after === undefined || after === null ? "not known yet" : copyCountsText(countCopies(after));
    to.add("database", null, shown, "strengthened", `${name} is new, with ${shown}`);
  } else if (after === undefined) {
    const shown = before === null ? "not known" : copyCountsText(countCopies(before));
    to.add("database", shown, "removed", "weakened", `${name} is no longer backed up`);
    return acknowledge(
      name,
      found,
      new Map(),
      reasonsOf(before).filter(([change]) => change === REMOVED_DATABASE),
    );
  } else if (before === null || after === null) {
    if (before !== after)
      to.uncertain("database", before === null ? "not known" : "known", "not known yet", `the topology of ${name} is not known yet`);
  } else diffDatabase(to, before, after);
  return acknowledge(name, found, new Map(reasonsOf(before)), reasonsOf(after));
}

/** Gives weakened changes the reasons of entries that are not spent. */
function acknowledge(database: string, changes: readonly Change[], spent: ReadonlyMap<string, string>, entries: readonly Entry[]): One {
  const fresh = new Map(entries.filter(([change, reason]) => !spent.has(change) && reason.trim() !== ""));
  const used = new Set<string>();
  const told = changes.map((change): Change => {
    const reason = fresh.get(change.acknowledgeAs);
    if (change.effect !== "weakened" || reason === undefined) return change;
    used.add(change.acknowledgeAs);
    return { ...change, acknowledged: reason };
  });
  const unused = [...fresh.keys()].filter((change) => !used.has(change) && change !== REMOVED_DATABASE);
  return { changes: told, unused: unused.map((change) => ({ database, change })) };
}

type Entry = readonly [change: string, reason: string];

function reasonsOf(topology: Maybe): Entry[] {
  return (topology?.acknowledged ?? []).map(({ change, reason }): Entry => [change, reason]);
}

function summaryOf(name: string, before: Maybe, after: Maybe): DatabaseSummary {
  const copies = (topology: Maybe): string | null =>
    topology === undefined ? null : topology === null ? "?" : copyCountsText(countCopies(topology));
  const cost = (topology: Maybe): number | null => (topology === undefined || topology === null ? null : monthlyCost(topology));
  return { name, copiesBefore: copies(before), copiesAfter: copies(after), costBefore: cost(before), costAfter: cost(after) };
}
