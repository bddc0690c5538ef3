/** Topologies as Markdown, without a comparison. Pure. */
import { monthlyCost, type TopologySet } from "../../plan/diff";
import { valueText } from "../../plan/diff/change";
import { copyCountsText, countCopies } from "../../plan/diff/copyCounts";
import { drillText, dumpsText, scheduleText } from "../../plan/diff/database";
import { count, retentionText } from "../../plan/diff/repositories";
import type { SnapshotPlan } from "../../plan/cluster/snapshotPlan";
import type { Topology } from "../../plan/topology/topology";
import { cell, costText } from "./topologyMarkdown";

/** Ends with a newline. */
export function renderShown(set: TopologySet): string {
  if (set.size === 0) return "It has no database of this package.\n";
  return [...set]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, topology]) => `### ${cell(name)}\n\n${topology === null ? "Not known yet.\n" : database(topology)}`)
    .join("\n");
}

function database(topology: Topology): string {
  const { databases, drills, dumps, objectives, repositories, schedules } = topology;
  const rpo =
    objectives.worstCaseRpoSeconds === undefined ? "not limited" : `${valueText(objectives.worstCaseRpoSeconds)} s`;
  const facts = [
    `copies-places-off-site: **${copyCountsText(countCopies(topology))}**`,
    `worst case RPO: ${rpo}`,
    `estimated cost a month: ${costText(monthlyCost(topology))}`,
    ...schedules.map(
      (schedule) =>
        `${cell(schedule.name)}: ${cell(scheduleText(schedule))} to ${schedule.repoKeys.map((key) => `repo${key}`).join(", ")}`,
    ),
    ...databases.flatMap(({ volumeSnapshots }) =>
      volumeSnapshots === undefined ? [] : [`volume snapshots: ${cell(snapshotsText(volumeSnapshots))}`],
    ),
    ...(dumps === undefined ? [] : [`logical dumps: ${cell(dumpsText(dumps))}`]),
    ...drills.map((drill) => `drill ${cell(drill.name)}: ${cell(drillText(drill))}`),
  ];
  const rows = repositories.map((repository) => {
    const { encrypted, failureDomain, location, name, offSite } = repository;
    const cost = repository.cost === undefined ? null : repository.cost.perMonth;
    const cells = [
      name,
      valueText(location),
      valueText(failureDomain),
      offSite === undefined ? "unknown" : offSite ? "yes" : "no",
    ];
    return `| ${[...cells, encrypted ? "yes" : "no", retentionText(repository), costText(cost)].map(cell).join(" | ")} |`;
  });
  const table = [
    "| | where | lost together with | off-site | encrypted | retention | a month |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
  ];
  return `${facts.map((fact) => `- ${fact}`).join("\n")}\n\n${table.join("\n")}\n`;
}

function snapshotsText({ cron, keepCount, keepDays, online }: Partial<SnapshotPlan>): string {
  const kept = [
    ...(keepDays === undefined ? [] : [count(keepDays, "day")]),
    ...(keepCount === undefined ? [] : [`the newest ${keepCount}`]),
  ];
  return [
    ...(cron === undefined ? [] : [cron]),
    online === false ? "cold" : "hot",
    kept.length === 0 ? "nothing removes them" : `kept: ${kept.join(" and ")}`,
  ].join(", ");
}
