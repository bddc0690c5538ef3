/** Source of a restored cluster: the plugin's entry and the objects that it needs, for any engine. Pure. */
import type { SourcePlan } from "../../plan/cluster/clusterPlan";
import type { RepositoryPlan } from "../../plan/repositories/repositoryTypes";
import { renderSource } from "../engines/engineTable";
import type { EngineContext, PluginEntry, RecoverySource } from "../engines/engine";
import type { RenderedObject } from "./objects";

/** @param context with the Secrets of the source's own repositories @returns null if it begins with a snapshot alone */
export function recoverySource(context: EngineContext, source: SourcePlan): RecoverySource | null {
  // The recovery knows only named repositories: it reads no other one.
  const named = source.from.flatMap((name) =>
    source.database.repositories.filter((repository) => repository.name === name),
  );
  const database = {
    ...source.database,
    repositories: named.length === 0 ? source.database.repositories : inKeyOrder(named),
  };
  if (database.repositories.length === 0) return null;
  const { objects, plugin } = renderSource({ ...context, database });
  return { plugin: inThePast(plugin, source, database.repositories), objects: objects.map(asSource) };
}

/** Parameters of the plugin's recovery (docs/kubernetes/plugin.md). Rules make sure that it reads one repository. */
function inThePast(
  plugin: PluginEntry,
  { repositoryTargetTime }: SourcePlan,
  [repository]: readonly RepositoryPlan[],
): PluginEntry {
  if (repositoryTargetTime === undefined || repository === undefined) return plugin;
  return { ...plugin, parameters: { ...plugin.parameters, repo: String(repository.key), repositoryTargetTime } };
}

function inKeyOrder(repositories: readonly RepositoryPlan[]): RepositoryPlan[] {
  return repositories.toSorted((left, right) => left.key - right.key);
}

function asSource({ manifest, role }: RenderedObject): RenderedObject {
  return { role: `source-${role}`, manifest };
}
