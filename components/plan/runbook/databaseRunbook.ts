/**
 * What to do when data are lost, out of a topology: who does what, which scenario it is, and the commands of each, for that host or cluster. As
 * true as the topology that it is made of, which holds no secret: neither does this. Pure data; render/runbook writes it down.
 *
 * Words in angle brackets are what only the incident can tell: `<TIME>`, `<LABEL>`.
 */
import { createHash } from "node:crypto";
import { drillName, drillSourceText, isDrillName } from "../schedule/declaredDrills";
import { OPERATOR_COMMAND, shellWord } from "../host/hostCommand";
import { clusterScenarios } from "./clusterRunbook";
import { hostScenarios } from "./hostRunbook";
import type { DatabaseRunbook } from "./runbookDocument";
import { type Measured, measuredRows } from "./measured";
import { byReach } from "./order";
import { placeholdersOf } from "./placeholders";
import { type DatabaseNode, renderTopology, type Topology } from "../topology/topology";
import { isUnknown } from "../model/unknown";

/**
 * @param measured what drills have shown of this database; null when nobody told
 * @returns null for a topology without a database, or one of which not enough is known yet
 */
export function runbookOf(topology: Topology, measured: Measured | null = null): DatabaseRunbook | null {
  const [database] = topology.databases;
  if (database === undefined || [database.name, database.stanza, database.namespace, database.cluster].some(isUnknown)) return null;
  const repositories = byReach(topology);
  const own = database.kind === "host" ? hostScenarios(database, repositories) : clusterScenarios(database, repositories, topology);
  return {
    name: database.name,
    state: createHash("sha256")
      .update(JSON.stringify([renderTopology(topology), own]))
      .digest("hex")
      .slice(0, 12),
    objectives: objectivesOf(topology),
    measured: measured === null ? null : measuredRows(measured, repositories, topology.objectives),
    placeholders: placeholdersOf(database.kind, own.scenarios),
    repositories,
    // A topology may come from a file: what is no name of a drill is no part of a command.
    drilledBy: topology.drills.filter(({ name }) => isDrillName(name)).map((drill) => drillCommand(drill, database)),
    ...own,
  };
}

function drillCommand({ elsewhere, name }: Topology["drills"][number], { cluster, command, kind, namespace }: DatabaseNode): string {
  if (elsewhere === true) return `${OPERATOR_COMMAND} drill --name=${name}   # on the host that its FireDrill declares`;
  if (kind === "host") return `${command === undefined || isUnknown(command) ? OPERATOR_COMMAND : command} drill --name=${name}`;
  const job = shellWord(drillName(String(cluster), name));
  return `kubectl create job -n ${shellWord(String(namespace))} --from=cronjob/${job} ${job}-now`;
}

function objectivesOf({ databases, drills, objectives }: Topology): string[] {
  const { pitrDays, rpoSeconds, rtoMinutes, worstCaseRpoSeconds } = objectives;
  const waits = databases.some(({ streamIntervalSeconds }) => streamIntervalSeconds !== undefined) ? "streamed WAL" : "archive_timeout";
  return [
    rpoSeconds === undefined ? "RPO: none is declared" : `RPO declared: commits of at most ${rpoSeconds} s may be lost`,
    worstCaseRpoSeconds === undefined
      ? "RPO by configuration: not limited (no archive_timeout)"
      : `RPO by configuration, worst case: ${worstCaseRpoSeconds} s (${waits}, one push and one retry)`,
    rtoMinutes === undefined ? "RTO: none is declared" : `RTO declared: ${rtoMinutes} minutes`,
    ...(pitrDays === undefined ? [] : [`any moment of the last ${pitrDays} days is to be restorable from every repository`]),
    drills.length === 0
      ? "nothing is drilled: what a restore takes is not known"
      : `drilled: ${drills.map((drill) => `${drill.name} (${drill.cron}, from ${drillSourceText(drill)})`).join("; ")}`,
  ];
}
