/** Arguments that nothing of this cluster reads: the engine, or another argument, decides that. Pure. */
import type { ClusterPlan } from "../../cluster/clusterPlan";
import { expiresSnapshots } from "../../cluster/snapshotPlan";
import { engineOf } from "../../engines/engines";
import { abstaining } from "../../findings/abstain";
import { type Finding, finding } from "../../findings/findings";
import { isGiven } from "../../model/deferred";
import { typeOf } from "../../repositories/repositoryTypes";

const hasSome = (values: object): boolean => Object.keys(values).length > 0;

export function checkUnused({ database, definition }: ClusterPlan): Finding[] {
  const { alertLabels, labels, podMonitor, prometheusRule } = definition.monitors;
  const engine = engineOf(database.engine);
  const unused = (path: string, isUnused: () => boolean, fact: string) => (): Finding[] =>
    isUnused() ? [finding("PB193", path, fact, "leave it out")] : [];
  const bundles = database.repositories.map((repository) =>
    unused(
      `repositories.${repository.name}.bundle`,
      () => engine.format !== "pgBackRest" && repository.bundle !== typeOf(repository).bundles,
      `${engine.title} writes no bundles`,
    ),
  );
  return abstaining(
    ...bundles,
    unused(
      "stanzaKind",
      () => definition.stanzaKind !== "Stanza" && !engine.stock,
      `engine "${database.engine}" makes no object of Dalibo's plugin`,
    ),
    unused(
      "podPlacement",
      () => definition.podPlacement !== undefined && !engine.own && !expiresSnapshots(database, definition.snapshots),
      `engine "${database.engine}" runs no pod of this package for this cluster`,
    ),
    unused(
      "monitoring.labels",
      () => !podMonitor && !prometheusRule && hasSome(labels),
      "there is neither a PodMonitor nor a PrometheusRule",
    ),
    unused("monitoring.alertLabels", () => !prometheusRule && hasSome(alertLabels), "there is no PrometheusRule"),
    unused(
      "monitoring.runbookUrl",
      () => !prometheusRule && isGiven(() => definition.monitors.runbookUrl),
      "there is no PrometheusRule",
    ),
    unused(
      "drillPolicy",
      () =>
        !definition.drillPolicy && database.dumps === undefined && database.drills.every(({ elsewhere }) => elsewhere),
      "there is neither a drill nor a dump whose account it would restrict",
    ),
  );
}
