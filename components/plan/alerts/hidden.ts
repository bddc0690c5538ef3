/** Values that a file's topology hides: alerts cannot compare with a secret, or with what is not known yet. Pure. */
import { isHidden } from "../diff/change";
import type { Topology } from "../topology/topology";

/**
 * The topology as if what is hidden were not declared.
 * @returns `hidden`: paths of objectives, schedules, drills and dumps that get no alert
 */
export function withoutHidden(topology: Topology): { readonly topology: Topology; readonly hidden: readonly string[] } {
  const { databases, drills, dumps, objectives, schedules, ...others } = topology;
  const [database] = databases;
  const isUnstreamed = isHidden(database?.streamIntervalSeconds);
  const areDumpsHidden =
    dumps !== undefined && isPartHidden([dumps.cron, dumps.timeZone, dumps.jitterSeconds, dumps.repositories]);
  const hidden = [
    ...Object.entries(objectives).flatMap(([name, value]) => (isHidden(value) ? [`objectives.${name}`] : [])),
    ...schedules.filter(isPartHidden).map(({ name }) => `schedules.${name}`),
    ...drills.filter(isPartHidden).map(({ name }) => `drills.${name}`),
    ...(areDumpsHidden ? ["dumps"] : []),
    ...(isUnstreamed ? ["streaming.intervalSeconds"] : []),
  ];
  if (hidden.length === 0) return { topology, hidden };
  return {
    topology: {
      ...others,
      databases: databases.map(({ streamIntervalSeconds, ...rest }) =>
        isUnstreamed || streamIntervalSeconds === undefined ? rest : { ...rest, streamIntervalSeconds },
      ),
      objectives: Object.fromEntries(Object.entries(objectives).filter(([, value]) => !isHidden(value))),
      schedules: schedules.filter((schedule) => !isPartHidden(schedule)),
      drills: drills.filter((drill) => !isPartHidden(drill)),
      ...(dumps === undefined || areDumpsHidden ? {} : { dumps }),
    },
    hidden,
  };
}

function isPartHidden(part: object): boolean {
  return Object.values(part).flat().some(isHidden);
}
