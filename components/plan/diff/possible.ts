/**
 * The entries of `acknowledgeWeaker` that can ever fit a topology: the keys of all changes to something weaker that could lead to it. Found by
 * comparing it with itself and with topologies that are not like it, so that the paths are those of the comparison and no second list. Pure.
 */
import { ENGINES, findEngine } from "../engines/engines";
import type { RepositoryNode, Topology } from "../topology/topology";
import { type Collector, isHidden, type Value, valueText } from "./change";
import { diffDatabase } from "./database";

/** Nobody's name, place or engine. */
const OTHER = "\u0001";
const MANY_DAYS = 10_000;
/** Once a year: no schedule is rarer. */
const RARE_CRON = "0 0 1 1 *";
/** Every minute: no schedule is more frequent. */
const OFTEN_CRON = "* * * * *";
const SHOWN_MAX = 6;
const MANY_SNAPSHOTS = { online: true, cron: OFTEN_CRON, keepDays: MANY_DAYS, keepCount: MANY_DAYS };
/** What is not there any more, and so stands in no topology. */
const REMOVAL = /^(repositories|schedules|drills)\.([^.=]+)=removed$/;
const UNASKED = /^drillChecks\.(.+)=removed$/;

export interface PossibleKeys {
  readonly keys: readonly string[];
  /** Paths whose value is not known yet or secret: every value fits. */
  readonly openPaths: readonly string[];
}

/** All of them but removals, which {@link fitsPossible} knows by their form. */
export function possibleKeys(topology: Topology): PossibleKeys {
  const keys = new Set<string>();
  const openPaths = new Set<string>();
  const see = (path: string, after: Value): void => {
    const text = valueText(after);
    if (isHidden(after) || /not known yet|secret/.test(text)) openPaths.add(path);
    else keys.add(`${path}=${text}`);
  };
  // What is neither better nor worse needs no acknowledgement.
  const to: Collector = {
    rank: (path, _before, after) => see(path, after),
    plain: () => undefined,
    add: (path, _before, after) => see(path, after),
    uncertain: () => undefined,
  };
  for (const before of [topology, ...unlike(topology)]) diffDatabase(to, before, topology);
  return { keys: [...keys], openPaths: [...openPaths] };
}

/** True when `key` can acknowledge a change that leads to the topology. */
export function fitsPossible(key: string, topology: Topology, { keys, openPaths }: PossibleKeys): boolean {
  if (keys.includes(key) || openPaths.some((path) => key.startsWith(`${path}=`))) return true;
  const [, assertion] = UNASKED.exec(key) ?? [];
  if (assertion !== undefined) return topology.drillChecks?.assertions.includes(assertion) !== true;
  const [, list, name] = REMOVAL.exec(key) ?? [];
  if (list === undefined) return false;
  return !(topology[list as "repositories" | "schedules" | "drills"] as readonly { readonly name: string }[]).some((each) => each.name === name);
}

/** Those that begin most like `key`: of its path, where there is one of it, else at most a handful. */
export function keysLike(key: string, { keys }: PossibleKeys): string[] {
  const path = `${key.split("=")[0]}=`;
  const same = keys.filter((each) => each.startsWith(path));
  if (same.length > 0) return same;
  const alike = keys.map((each) => ({ each, length: commonLength(each, key) })).sort((left, right) => right.length - left.length);
  return alike.slice(0, SHOWN_MAX).map(({ each }) => each);
}

function commonLength(left: string, right: string): number {
  let length = 0;
  while (length < left.length && left[length] === right[length]) length++;
  return length;
}

/** Topologies that differ from this one in all that a comparison looks at under a condition. */
function unlike(topology: Topology): Topology[] {
  const { databases, drills, flows, repositories, schedules } = topology;
  const all = repositories.map(({ key }) => key);
  const engine = ENGINES.find((row) => row.id !== databases[0]?.engine)?.id ?? OTHER;
  const { format: ownFormat = null } = findEngine(databases[0]?.engine ?? "") ?? {};
  const reader = ENGINES.find(({ format }) => format !== null && format !== ownFormat)?.id ?? OTHER;
  const reaching = (toRepoKeys: readonly number[], cron?: string): Pick<Topology, "flows" | "schedules"> => ({
    flows: flows.map((flow) => ({ ...flow, toRepoKeys })),
    schedules: schedules.map((schedule) => ({ ...schedule, repoKeys: toRepoKeys, cron: cron ?? schedule.cron })),
  });
  const elsewhere = (repository: RepositoryNode): RepositoryNode => ({ ...repository, location: `${OTHER}${repository.location}` });
  const copies = [1, 2].map((number): RepositoryNode => placeless(`${OTHER}${number}`));
  return [
    {
      ...topology,
      ...reaching([]),
      databases: databases.map((database) => ({ ...database, stanza: OTHER, engine, volumeSnapshots: MANY_SNAPSHOTS })),
      silenced: [],
      drills: drills.map(({ repositories: _some, ...drill }) => ({ ...drill, from: undefined })),
      repositories: repositories.map((repository) => ({ ...elsewhere(repository), ...keptLonger(repository) })),
    },
    { ...topology, ...reaching(all, RARE_CRON) },
    { ...topology, databases: databases.map((database) => ({ ...database, engine: reader })) },
    { ...topology, repositories: repositories.map((repository): RepositoryNode => ({ ...repository, ...keptOtherwise(repository) })) },
    {
      ...topology,
      schedules: [],
      repositories: [...repositories.map((repository) => ({ ...repository, offSite: true, failureDomain: `${OTHER}${repository.name}` })), ...copies],
    },
  ];
}

function placeless(name: string): RepositoryNode {
  const place = { location: name, provider: name, failureDomain: name, offSite: true };
  return { key: 0, name, kind: "posix", ...place, encrypted: false, compressType: "none", compressLevel: 0 };
}

type Kept = Pick<RepositoryNode, "keepDays" | "keepFullCount">;

function keptLonger({ keepDays, keepFullCount }: RepositoryNode): Kept {
  if (keepDays !== undefined) return { keepDays: MANY_DAYS };
  return keepFullCount === undefined ? {} : { keepFullCount: MANY_DAYS };
}

/** Everything where something limits it, else by days. */
function keptOtherwise({ keepDays, keepFullCount }: RepositoryNode): object {
  return { keepFullCount: undefined, keepDays: keepDays === undefined && keepFullCount === undefined ? MANY_DAYS : undefined };
}
