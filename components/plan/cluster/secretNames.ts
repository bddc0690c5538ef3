/** Names of Secrets that a Cluster gets, as CloudNativePG decides them from its final `spec`. Pure. */
import { valueAt } from "../model/anyValue";
import type { ClusterPlan } from "./clusterPlan";

type Plan = Pick<ClusterPlan, "database" | "definition">;

/** The Secret whose `ca.crt` verifies the server. */
export function caSecretOf({ database, definition }: Plan): string {
  const given = valueAt(definition.overrides.cluster, "spec", "certificates", "serverCASecret") ?? undefined;
  return (given as string | undefined) ?? `${database.cluster}-ca`;
}

/** The Secret with the application's keys. Empty if the bootstrap makes no application database. */
export function applicationSecretOf({ database, definition }: Plan): string {
  const { import: imported, initdb, recovery } = definition.bootstrap;
  const over = valueAt(definition.overrides.cluster, "spec", "bootstrap");
  const overAt = (...path: readonly string[]): unknown => valueAt(over, ...path) ?? undefined;
  const nameAt = (method: string): string | undefined => {
    const name = overAt(method, "secret", "name");
    return typeof name === "string" ? name : undefined;
  };
  const has = (method: string, own: unknown): boolean =>
    over !== null && valueAt(over, method) !== null && (own !== undefined || overAt(method) !== undefined);
  const standard = `${database.cluster}-app`;
  const [copied] = [
    { method: "recovery", own: recovery },
    { method: "pg_basebackup", own: undefined },
  ].filter(({ method, own }) => has(method, own));
  if (copied !== undefined) {
    const { method, own } = copied;
    if ((overAt(method, "database") ?? own?.database) === undefined) return "";
    return nameAt(method) ?? own?.ownerSecret ?? standard;
  }
  const isNew = has("initdb", initdb ?? imported);
  if (!isNew) return standard;
  if ((overAt("initdb", "import", "type") ?? imported?.type) === "monolith") return "";
  return nameAt("initdb") ?? initdb?.ownerSecret ?? standard;
}
