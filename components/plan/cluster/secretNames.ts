/** Names of Secrets that a Cluster gets, as CloudNativePG decides them from its final `spec`. Pure. */
import { valueAt } from "../model/anyValue";
import { givenFields } from "../model/deferred";
import type { ClusterPlan } from "./clusterPlan";

type Plan = Pick<ClusterPlan, "database" | "definition">;

interface Application {
  readonly database?: string | undefined;
  readonly owner?: string | undefined;
}

/** The Secret whose `ca.crt` verifies the server. */
export function caSecretOf({ database, definition }: Plan): string {
  const given = valueAt(definition.spec, "certificates", "serverCASecret");
  return (given as string | undefined) ?? `${database.cluster}-ca`;
}

/**
 * The Secret with the application's keys. Empty if nobody makes one: CloudNativePG (1.28 to 1.30) creates the
 * application's database and Secret at every bootstrap, unless the cluster is a replica or the import monolithic.
 */
export function applicationSecretOf({ database, definition }: Plan): string {
  const at = bootstrapReader(definition);
  const given = at("secret", "name") ?? at("ownerSecret");
  if (given !== undefined) return given;
  const isCopiedWhole = at("import", "type") === "monolith" && at("database") === undefined;
  return isCopiedWhole || database.isReplica === true ? "" : `${database.cluster}-app`;
}

/** What a restore must say of the application: CloudNativePG would create database and role `app` in it otherwise. */
export function applicationOf({ definition }: Pick<Plan, "definition">): Application {
  const at = bootstrapReader(definition);
  return givenFields({ database: () => at("database"), owner: () => at("owner") });
}

/** Reads the texts of the bootstrap that counts. */
function bootstrapReader({ bootstrap, spec }: Plan["definition"]): (...path: string[]) => string | undefined {
  const over = valueAt(spec, "bootstrap");
  const isUsed = (method: string): boolean => (valueAt(bootstrap, method) ?? valueAt(over, method)) !== undefined;
  const method = ["recovery", "pg_basebackup"].find(isUsed) ?? "initdb";
  return (...path) => {
    const value = valueAt(over, method, ...path) ?? valueAt(bootstrap, method, ...path);
    return typeof value === "string" ? value : undefined;
  };
}
