/**
 * Compares two sets of topologies: a list of changes, each strengthened, weakened or neutral. Pure.
 *
 * The new topology acknowledges a weakened change in `acknowledgeWeaker`, by path and new value and with a reason. An
 * entry that the old topology already has is spent: it acknowledged an earlier change. A removed database cannot
 * acknowledge its removal, so the old topology must have announced it (`database=removed`).
 */
import { type Change, collector, type Effect, isHidden } from "./diff/change";
import { copyCountsText, countCopies } from "./diff/copyCounts";
import { diffDatabase } from "./diff/database";
import { isUnknown } from "./model/unknown";
import type { Topology } from "./topology/topology";

/** Topologies by the name of the component; null if nothing of it is known yet. */
export type TopologySet = ReadonlyMap<string, Topology | null>;

/** One database before and after; null where it does not exist. */
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
  /** New entries of `acknowledgeWeaker` that match no change, for instance after a typo. */
  readonly unused: readonly { readonly database: string; readonly change: string }[];
}

export const REMOVED_DATABASE = "database=removed";

export function diffTopologies(before: TopologySet, after: TopologySet): TopologyDiff {
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  const results = names.map((name) => diffOne(name, before.get(name), after.get(name)));
  return {
    databases: names.map((name) => summaryOf(name, before.get(name), after.get(name))),
    changes: results.flatMap(({ changes }) => changes),
    unused: results.flatMap(({ unused }) => unused),
  };
}

/** Weakened changes without an acknowledgement. */
export function weakenedOf({ changes }: TopologyDiff): Change[] {
  return changes.filter((change) => change.effect === "weakened" && change.acknowledged === undefined);
}

/** Weakened ones are those without an acknowledgement. */
export function countChanges(diff: TopologyDiff): Record<Effect | "acknowledged" | "uncertain", number> {
  const certain = diff.changes.filter((change) => !change.uncertain);
  return {
    weakened: weakenedOf(diff).length,
    acknowledged: certain.filter((change) => change.acknowledged !== undefined).length,
    strengthened: certain.filter((change) => change.effect === "strengthened").length,
    neutral: certain.filter((change) => change.effect === "neutral").length,
    uncertain: diff.changes.length - certain.length,
  };
}

/** A part of a topology that is known only after the update. */
export interface UnknownPart {
  readonly database: string;
  /** `repositories.repo2.location`; empty for the whole topology. */
  readonly path: string;
}

/** Ascending by database. Secrets are known to the program: they are no unknown parts. */
export function unknownPartsOf(set: TopologySet): UnknownPart[] {
  return [...set]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .flatMap(([database, topology]) =>
      topology === null ? [{ database, path: "" }] : unknownPaths(topology, "").map((path) => ({ database, path })),
    );
}

/** Dollars a month, of the repositories that have an estimate. */
export function monthlyCost(topology: Topology): number | null {
  const costs = topology.repositories.flatMap(({ cost }) =>
    cost === undefined || isHidden(cost.perMonth) ? [] : [cost.perMonth],
  );
  return costs.length === 0 ? null : Number(costs.reduce((sum, cost) => sum + cost, 0).toFixed(2));
}

/** Items of lists by their names, if they have one. */
function unknownPaths(value: unknown, path: string): string[] {
  if (isUnknown(value)) return [path];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]: [string, unknown]) => {
    const name = Array.isArray(value) && typeof item === "object" && item !== null && "name" in item ? item.name : key;
    const shown = typeof name === "string" && !isUnknown(name) ? name : key;
    return unknownPaths(item, path === "" ? shown : `${path}.${shown}`);
  });
}

type Maybe = Topology | null | undefined;
type One = Pick<TopologyDiff, "changes" | "unused">;

function diffOne(name: string, before: Maybe, after: Maybe): One {
  const changes: Change[] = [];
  const to = collector(name, changes);
  if (before === undefined) {
    const shown = after === undefined || after === null ? "not known yet" : copyCountsText(countCopies(after));
    to.add("database", null, shown, "strengthened", `${name} is new, with ${shown}`);
  } else if (after === undefined) {
    const shown = before === null ? "not known" : copyCountsText(countCopies(before));
    to.add("database", shown, "removed", "weakened", `${name} is no longer backed up`);
    return acknowledge(
      name,
      changes,
      new Map(),
      reasonsOf(before).filter(([change]) => change === REMOVED_DATABASE),
    );
  } else if (before === null || after === null) {
    if (before !== after)
      to.uncertain(
        "database",
        before === null ? "not known" : "known",
        "not known yet",
        `the topology of ${name} is not known yet`,
      );
  } else diffDatabase(to, before, after);
  return acknowledge(name, changes, new Map(reasonsOf(before)), reasonsOf(after));
}

/** Attaches the reasons of unspent entries to weakened changes. */
function acknowledge(
  database: string,
  changes: readonly Change[],
  spent: ReadonlyMap<string, string>,
  entries: readonly Entry[],
): One {
  const fresh = new Map(entries.filter(([change, reason]) => !spent.has(change) && reason.trim() !== ""));
  const used = new Set<string>();
  const marked = changes.map((change): Change => {
    const reason = fresh.get(change.acknowledgeAs);
    if (change.effect !== "weakened" || reason === undefined) return change;
    used.add(change.acknowledgeAs);
    return { ...change, acknowledged: reason };
  });
  const unused = [...fresh.keys()].filter((change) => !used.has(change) && change !== REMOVED_DATABASE);
  return { changes: marked, unused: unused.map((change) => ({ database, change })) };
}

type Entry = readonly [change: string, reason: string];

function reasonsOf(topology: Maybe): Entry[] {
  return (topology?.acknowledged ?? []).map(({ change, reason }): Entry => [change, reason]);
}

function summaryOf(name: string, before: Maybe, after: Maybe): DatabaseSummary {
  const copies = (topology: Maybe): string | null =>
    topology === undefined ? null : topology === null ? "?" : copyCountsText(countCopies(topology));
  const cost = (topology: Maybe): number | null =>
    topology === undefined || topology === null ? null : monthlyCost(topology);
  return {
    name,
    copiesBefore: copies(before),
    copiesAfter: copies(after),
    costBefore: cost(before),
    costAfter: cost(after),
  };
}
