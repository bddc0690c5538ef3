/**
 * Which repository of the new topology is which of the old one: the one that holds the same files. Its key is only part
 * of its options' names, and a program may give it to another repository. Pure.
 */
import { findRepoIndex } from "../model/defaults";
import { ownScheduleName } from "../schedule/schedule";
import type { RepositoryNode, Topology } from "../topology/topology";
import { isHidden } from "./change";

export interface Renamed {
  /** The old topology, with the new keys and names of its repositories wherever it has them. */
  readonly topology: Topology;
  /** New name to old one, of each repository that has another key now. */
  readonly oldNames: ReadonlyMap<string, string>;
}

/**
 * The old topology as if it had the new one's keys, so that everything after this compares by name. A repository that
 * is gone keeps its name; if another one has that name now, it is `former repo1`.
 */
export function underNewKeys(before: Topology, after: Topology): Renamed {
  const pairs = pairRepositories(before.repositories, after.repositories);
  const names = new Map(
    before.repositories.map((old) => {
      const now = pairs.get(old);
      if (now !== undefined) return [old, { key: now.key, name: now.name }] as const;
      const isTaken = after.repositories.some(({ name }) => name === old.name);
      return [old, isTaken ? { key: -old.key, name: `former ${old.name}` } : { key: old.key, name: old.name }] as const;
    }),
  );
  const moved = [...pairs].filter(([old, now]) => old.name !== now.name && isSameRepository(old, now));
  return {
    topology: [...names].every(([old, { name }]) => old.name === name) ? before : rename(before, names),
    oldNames: new Map(moved.map(([old, now]) => [now.name, old.name])),
  };
}

/** True if both hold the same files: bucket, server and path. An unknown server does not tell them apart. */
export function isSameRepository(old: RepositoryNode, now: RepositoryNode): boolean {
  if (isHidden(old.location) || isHidden(now.location) || old.location !== now.location) return false;
  if (!isHidden(old.endpoint) && !isHidden(now.endpoint) && old.endpoint !== now.endpoint) return false;
  // Other locations name their server, or are directories of the host.
  if (old.kind !== "s3" || isHidden(old.failureDomain) || isHidden(now.failureDomain)) return true;
  return old.failureDomain === now.failureDomain;
}

/**
 * Old to new: first the same repository, then the same key, then one whose new location is not known yet. An old
 * location that nobody may see proves nothing: under another key it counts as removed.
 */
function pairRepositories(
  olds: readonly RepositoryNode[],
  news: readonly RepositoryNode[],
): ReadonlyMap<RepositoryNode, RepositoryNode> {
  const pairs = new Map<RepositoryNode, RepositoryNode>();
  const free = new Set(news);
  const pair = (isPair: (old: RepositoryNode, now: RepositoryNode) => boolean): void => {
    for (const old of olds.filter((each) => !pairs.has(each))) {
      const now = [...free].find((each) => isPair(old, each));
      if (now === undefined) continue;
      pairs.set(old, now);
      free.delete(now);
    }
  };
  const hasSameName = (old: RepositoryNode, now: RepositoryNode): boolean => old.name === now.name;
  pair((old, now) => hasSameName(old, now) && isSameRepository(old, now));
  pair(isSameRepository);
  pair(hasSameName);
  pair((_old, now) => isHidden(now.location));
  return pairs;
}

type Named = Pick<RepositoryNode, "key" | "name">;

function rename(topology: Topology, names: ReadonlyMap<RepositoryNode, Named>): Topology {
  const byKey = new Map([...names].map(([old, { key }]) => [old.key, key]));
  const byName = new Map([...names].map(([old, { name }]) => [old.name, name]));
  // An undeclared repository must not become one that is declared now.
  const keys = (olds: readonly number[]): number[] => olds.flatMap((key) => byKey.get(key) ?? []);
  const nameOf = (name: string): string => byName.get(name) ?? (findRepoIndex(name) === null ? name : `former ${name}`);
  // A saved topology may have anything here.
  const renameList = (list: unknown): string => String(list).split(",").map(nameOf).join(",");
  // A repository's own schedule is named after it.
  const oldNames = new Map([...names.keys()].map(({ key, name }) => [key, name]));
  const schedules = new Map(
    topology.schedules.map(({ name, repoKeys: [key = 0], type }) => {
      const repository = oldNames.get(key) ?? "";
      return [name, name === ownScheduleName(type, repository) ? ownScheduleName(type, nameOf(repository)) : name];
    }),
  );
  return {
    ...topology,
    databases: topology.databases.map((database) => ({
      ...database,
      ...(database.synchronous?.repositories === undefined
        ? {}
        : {
            synchronous: { ...database.synchronous, repositories: database.synchronous.repositories.map(nameOf) },
          }),
    })),
    repositories: topology.repositories.map((repository) => ({ ...repository, ...names.get(repository) })),
    flows: topology.flows.map((flow) => ({
      ...flow,
      toRepoKeys: keys(flow.toRepoKeys),
      ...(flow.acknowledge === undefined ? {} : { acknowledge: renameList(flow.acknowledge) }),
      ...(flow.schedule === undefined ? {} : { schedule: schedules.get(flow.schedule) ?? flow.schedule }),
    })),
    schedules: topology.schedules.map((schedule) => ({
      ...schedule,
      name: schedules.get(schedule.name) ?? schedule.name,
      repoKeys: keys(schedule.repoKeys),
    })),
    drills: topology.drills.map((drill) => ({
      ...drill,
      from: drill.from === undefined ? undefined : nameOf(drill.from),
      ...(drill.repositories === undefined ? {} : { repositories: drill.repositories.map(nameOf) }),
    })),
    ...(topology.dumps === undefined
      ? {}
      : { dumps: { ...topology.dumps, repositories: topology.dumps.repositories.map(nameOf) } }),
  };
}
