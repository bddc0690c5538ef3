/** Where a restored cluster begins: the plugin's entry and the objects that it needs, whatever engine made the backups. Pure. */
import type { ResolvedSource } from "../plan/clusterFile";
import { barmanSource, objectStore } from "./engines/barmanCloud";
import type { EngineContext } from "./engines/engine";
import { pgbackrestSource, stanzaObject } from "./engines/pgbackrestPlugin";
import { configMapName, configObject, runtimeSource } from "./engines/runtime";
import type { RecoverySource } from "./kubernetes";
import type { RenderedObject } from "./kubernetesObjects";

/**
 * @param context with the Secrets of the source's own repositories
 * @returns null where it begins with a snapshot alone
 */
export function recoverySource(context: EngineContext, source: ResolvedSource): RecoverySource | null {
  // What is named goes first, in the order in which it is named.
  const named = source.from.flatMap((name) => source.plan.repositories.filter((repository) => repository.name === name));
  const others = source.plan.repositories.filter(({ name }) => !source.from.includes(name));
  const plan = { ...source.plan, repositories: source.plan.engine === "runtime" ? source.plan.repositories : [...named, ...others] };
  const own = { ...context, plan };
  const { cluster } = plan;
  if (plan.repositories.length === 0) return null;
  if (plan.engine === "barman-cloud") {
    const [first] = plan.repositories;
    return { plugin: barmanSource(own, cluster), objects: first === undefined ? [] : [asSource(objectStore(own, first, cluster))] };
  }
  if (plan.engine === "pgbackrest") return { plugin: pgbackrestSource(own, cluster), objects: [asSource(stanzaObject(own, cluster))] };
  const configMap = configMapName(cluster);
  const order = source.from.length === 0 ? {} : { repositories: [...named, ...others].map(({ name }) => name).join(",") };
  const plugin = runtimeSource(own, configMap);
  return { plugin: { ...plugin, parameters: { ...plugin.parameters, ...order } }, objects: [asSource(configObject(own, configMap))] };
}

function asSource({ manifest, role }: RenderedObject): RenderedObject {
  return { role: `source-${role}`, manifest };
}
