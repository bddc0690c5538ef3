/**
 * Reads a Cluster that the operator or the instance manager sent, as far as this plugin needs it and without trust:
 * absent fields stay absent, unknown ones are ignored.
 */
import { isFields } from "../../base/declaredTypes";
import { fail } from "../../base/errors";
import { PLUGIN_NAME } from "../names";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };
export { isFields as isObject };
export type Parameters = Readonly<Record<string, string>>;

/** @throws format (29) */
export function parseObject(bytes: Uint8Array, what: string): JsonObject {
  try {
    const value = JSON.parse(Buffer.from(bytes).toString("utf8")) as Json;
    if (isFields(value)) return value;
  } catch {
    // Reported below.
  }
  throw fail("format", `the received ${what} is not a JSON object`);
}

/** The value at a path of field names. */
export function at(value: Json | undefined, ...path: readonly string[]): Json | undefined {
  return path.reduce<Json | undefined>((inner, name) => (isFields(inner) ? inner[name] : undefined), value);
}

export function textAt(value: Json | undefined, ...path: readonly string[]): string | undefined {
  const field = at(value, ...path);
  return typeof field === "string" && field !== "" ? field : undefined;
}

export function listAt(value: Json | undefined, ...path: readonly string[]): readonly Json[] {
  const field = at(value, ...path);
  return Array.isArray(field) ? (field as readonly Json[]) : [];
}

/** This plugin's parameters in `spec.plugins`; null if it is absent or not enabled. */
export function findOwnParameters(cluster: JsonObject): Parameters | null {
  const entry = listAt(cluster, "spec", "plugins").find((plugin) => textAt(plugin, "name") === PLUGIN_NAME);
  return entry === undefined || at(entry, "enabled") === false ? null : parametersOf(entry);
}

/** Parameters of the external cluster that this one recovers from or follows; null if that does not use this plugin. */
export function findSourceParameters(cluster: JsonObject): Parameters | null {
  const source =
    textAt(cluster, "spec", "bootstrap", "recovery", "source") ?? textAt(cluster, "spec", "replica", "source");
  return externalParameters(cluster, source);
}

/**
 * Parameters of the external cluster that this one follows, or would follow again. They stay after a promotion, so that
 * no pod is recreated at that time. Null if it follows none, or one without this plugin.
 */
export function findReplicaParameters(cluster: JsonObject): Parameters | null {
  return externalParameters(cluster, textAt(cluster, "spec", "replica", "source"));
}

/**
 * True for a replica cluster: its primary is a standby of another cluster. As CloudNativePG 1.30 decides it
 * (`Cluster.IsReplica`).
 */
export function isReplica(cluster: JsonObject): boolean {
  const replica = at(cluster, "spec", "replica");
  if (!isFields(replica)) return false;
  const enabled = at(replica, "enabled");
  if (typeof enabled === "boolean") return enabled;
  return (textAt(replica, "self") ?? textAt(cluster, "metadata", "name")) !== textAt(replica, "primary");
}

function externalParameters(cluster: JsonObject, name: string | undefined): Parameters | null {
  const external = listAt(cluster, "spec", "externalClusters").find(
    (entry) => name !== undefined && textAt(entry, "name") === name,
  );
  const plugin = at(external, "plugin");
  return textAt(plugin, "name") === PLUGIN_NAME ? parametersOf(plugin) : null;
}

function parametersOf(entry: Json | undefined): Parameters {
  const field = at(entry, "parameters");
  if (!isFields(field)) return {};
  return Object.fromEntries(
    Object.entries(field).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])),
  );
}
