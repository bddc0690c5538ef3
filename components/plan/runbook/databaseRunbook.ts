/**
 * Builds a recovery runbook from a topology: roles, scenarios, and the commands of each for that host or cluster. It is
 * as accurate as the topology and, like it, holds no secret. Pure data; render/runbook writes it.
 *
 * Only the incident can fill in the words in angle brackets: `<TIME>`, `<LABEL>`.
 */
import { createHash } from "node:crypto";
import { drillName, drillSourceText, isDrillName } from "../schedule/declaredDrills";
import { OPERATOR_COMMAND, shellArgument } from "../host/hostCommand";
import { clusterPage } from "./clusterPage";
import { targetOf, verb } from "./clusterTarget";
import { commandOf, hostPage } from "./hostPage";
import { type Page, readPage } from "./page";
import type { DatabaseRunbook } from "./runbookDocument";
import { type Measured, measuredRows } from "./measured";
import { byReach } from "./order";
import { placeholdersOf } from "./placeholders";
import { type DatabaseNode, renderTopology, type RepositoryNode, type Topology } from "../topology/topology";
import { isUnknown } from "../model/unknown";

/**
 * @param measured results of drills of this database; null if none were given
 * @returns null for a topology without a database, or with too much unknown
 */
export function runbookOf(topology: Topology, measured: Measured | null = null): DatabaseRunbook | null {
  const [database] = topology.databases;
  if (database === undefined || [database.name, database.stanza, database.namespace, database.cluster].some(isUnknown))
    return null;
  const repositories = byReach(topology);
  const own =
    database.kind === "host" ? hostPart(database, repositories) : clusterPart(database, repositories, topology);
  return {
    name: database.name,
    kind: database.kind,
    state: createHash("sha256")
      .update(JSON.stringify([renderTopology(topology), own]))
      .digest("hex")
      .slice(0, 12),
    objectives: objectivesOf(topology),
    measured: measured === null ? null : measuredRows(measured, repositories, topology.objectives),
    placeholders: placeholdersOf(database.kind, own.scenarios),
    repositories,
    // A topology may come from a file, so only a valid drill name may go into a command.
    drilledBy: topology.drills.filter(({ name }) => isDrillName(name)).map((drill) => drillCommand(drill, database)),
    ...own,
  };
}

type OwnPart = Page & Pick<DatabaseRunbook, "measuredBy">;

function hostPart(database: DatabaseNode, repositories: readonly RepositoryNode[]): OwnPart {
  return { ...readPage(hostPage(database, repositories)), measuredBy: `${commandOf(database.command)} status` };
}

function clusterPart(database: DatabaseNode, repositories: readonly RepositoryNode[], topology: Topology): OwnPart {
  const target = targetOf(database, topology);
  const measuredBy = target.isOurs ? verb(target, "status") : null;
  return { ...readPage(clusterPage(target, database, repositories)), measuredBy };
}

function drillCommand(
  { elsewhere, name }: Topology["drills"][number],
  { cluster, command, kind, namespace }: DatabaseNode,
): string {
  if (elsewhere === true) return `${OPERATOR_COMMAND} drill --name=${name}   # on the host that its FireDrill declares`;
  if (kind === "host") return `${commandOf(command)} drill --name=${name}`;
  const job = shellArgument(drillName(String(cluster), name));
  return `kubectl create job -n ${shellArgument(String(namespace))} --from=cronjob/${job} ${job}-now`;
}

function objectivesOf({ databases, drills, objectives }: Topology): string[] {
  const { pitrDays, pitrRtoMinutes, rpoSeconds, rtoMinutes, worstCaseRpoSeconds } = objectives;
  const waits = databases.some(({ streamIntervalSeconds }) => streamIntervalSeconds !== undefined)
    ? "streamed WAL, one push and one retry"
    : "archive_timeout, one push and one retry";
  return [
    rpoSeconds === undefined ? "RPO: not declared" : `RPO declared: commits of at most ${rpoSeconds} s may be lost`,
    worstCaseRpoSeconds === undefined
      ? "RPO by configuration: not limited (no archive_timeout)"
      : `RPO by configuration, worst case: ${worstCaseRpoSeconds} s (${worstCaseRpoSeconds === 0 ? "commits wait for a repository" : waits})`,
    rtoMinutes === undefined
      ? `RTO${pitrRtoMinutes === undefined ? "" : " of the newest state"}: not declared`
      : `RTO declared: ${rtoMinutes} minutes${pitrRtoMinutes === undefined ? "" : " for the newest state"}`,
    ...(pitrRtoMinutes === undefined ? [] : [`RTO declared: ${pitrRtoMinutes} minutes for a point in time`]),
    ...(pitrDays === undefined
      ? []
      : [`any point in time of the last ${pitrDays} days must be restorable from every repository`]),
    drills.length === 0
      ? "no drills: nobody knows how long a restore takes"
      : `drilled: ${drills.map((drill) => `${drill.name} (${drill.cron}, from ${drillSourceText(drill)})`).join("; ")}`,
  ];
}
