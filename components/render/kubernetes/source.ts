/** Where a restored cluster begins: the plugin's entry and the objects that it needs, whatever engine made the backups. Pure. */
import type { ResolvedSource } from "../../plan/cluster/clusterShape";
import type { RepositoryPlan } from "../../plan/repositories/repositoryTypes";
import { barmanSource, objectStore } from "../engines/barmanCloud";
import type { EngineContext } from "../engines/engine";
import { pgbackrestSource, stanzaObject } from "../engines/pgbackrestPlugin";
import { configMapName, configObject, runtimeSource } from "../engines/runtime";
import type { RecoverySource } from "./clusterObjects";
import type { RenderedObject } from "./objects";

/**
 * @param context with the Secrets of the source's own repositories
 * @returns null where it begins with a snapshot alone
 */
export function recoverySource(context: EngineContext, source: ResolvedSource): RecoverySource | null {
  // Named ones are all that the recovery knows: it takes from no other one, whatever lies there.
  const named = source.from.flatMap((name) => source.plan.repositories.filter((repository) => repository.name === name));
  const plan = { ...source.plan, repositories: named.length === 0 ? source.plan.repositories : inKeyOrder(named) };
  const own = { ...context, plan };
  const { cluster } = plan;
  if (plan.repositories.length === 0) return null;
  if (plan.engine === "barman-cloud") {
    const [first] = plan.repositories;
    return { plugin: barmanSource(own, cluster), objects: first === undefined ? [] : [asSource(objectStore(own, first, cluster))] };
  }
  if (plan.engine === "pgbackrest") return { plugin: pgbackrestSource(own, cluster), objects: [asSource(stanzaObject(own, cluster))] };
  const configMap = configMapName(cluster);
  return { plugin: runtimeSource(own, configMap), objects: [asSource(configObject(own, configMap))] };
}

function inKeyOrder(repositories: readonly RepositoryPlan[]): RepositoryPlan[] {
  return repositories.toSorted((left, right) => left.key - right.key);
}

function asSource({ manifest, role }: RenderedObject): RenderedObject {
  return { role: `source-${role}`, manifest };
}
