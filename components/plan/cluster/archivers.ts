/** What archives a Cluster's WAL, read from its `spec`. Pure. */
import { type Fields, isFields, valueAt } from "../model/anyValue";

/** The operator's own archiver, which is no plugin. */
export const BARMAN_OBJECT_STORE = "barmanObjectStore";

/** Names of what archives a Cluster's WAL; null while that is unknown. */
export function archiversOf(spec: unknown): readonly string[] | null {
  const plugins = valueAt(spec, "plugins") ?? [];
  if (!Array.isArray(plugins) || !plugins.every(isFields)) return null;
  const names = (plugins as readonly Fields[])
    .filter(({ enabled, isWALArchiver }) => isWALArchiver === true && enabled !== false)
    .map(({ name }) => String(name));
  return (valueAt(spec, "backup", BARMAN_OBJECT_STORE) ?? null) === null ? names : [...names, BARMAN_OBJECT_STORE];
}
