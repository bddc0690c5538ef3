/** Source of a restored cluster: the plugin's entry and the objects that it needs, for any engine. Pure. */
import type { SourcePlan } from "../../plan/cluster/clusterPlan";
import type { RepositoryPlan } from "../../plan/repositories/repositoryTypes";
import { fields, isGiven, merged } from "../../plan/model/deferred";
import { renderSource } from "../engines/engineTable";
import type { EngineContext, PluginEntry, RecoverySource } from "../engines/engine";
import type { RenderedObject } from "./objects";

/** @param context with the Secrets of the source's own repositories @returns null if it begins with a snapshot alone */
export function recoverySource(context: EngineContext, source: SourcePlan): RecoverySource | null {
  const all = source.database.repositories;
  if (all.length === 0) return null;
  // The recovery knows only named repositories: it reads no other one.
  const repositories = (): readonly RepositoryPlan[] => {
    const named = source.from.flatMap((name) => all.filter((repository) => repository.name === name));
    return named.length === 0 ? all : inKeyOrder(named);
  };
  const database = merged(source.database, fields({ repositories }));
  const { objects, plugin, ...own } = renderSource(merged(context, { database }));
  return { ...own, plugin: inThePast(plugin, source, repositories), objects: objects.map(asSource) };
}

/** Parameters of the plugin's recovery (docs/kubernetes/plugin.md). Rules make sure that it reads one repository. */
function inThePast(
  plugin: PluginEntry,
  source: SourcePlan,
  repositories: () => readonly RepositoryPlan[],
): PluginEntry {
  if (!isGiven(() => source.repositoryTargetTime)) return plugin;
  const past = fields({
    repo: () => String(repositories()[0]?.key),
    repositoryTargetTime: () => source.repositoryTargetTime ?? "",
  });
  return merged(plugin, fields({ parameters: () => merged(plugin.parameters, past) }));
}

function inKeyOrder(repositories: readonly RepositoryPlan[]): RepositoryPlan[] {
  return repositories.toSorted((left, right) => left.key - right.key);
}

function asSource({ manifest, role }: RenderedObject): RenderedObject {
  return { role: `source-${role}`, manifest };
}
