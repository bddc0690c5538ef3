/**
 * The ConfigMap for which an update waits: the primary's sidecar reports in it whether every repository of the cluster
 * has a full backup, and what each one holds. Pure.
 */
import { createHash } from "node:crypto";
import { completeText, REPORT_KEYS } from "../../../runtime/cnpg/names";
import type { FullBackupReport } from "../../../runtime/config/types";
import type { EngineContext } from "../engines/engine";
import { fields, merged } from "../../plan/model/deferred";
import { patchRule, renderRole } from "./cronJob";
import { metadataOf, object, type RenderedObject } from "./objects";

/** Among the objects of its cluster. */
export const FULL_BACKUP_ROLE = "full";
const DIGEST_DIGITS = 16;

/** What the sidecar reports, and where; undefined if no update waits. */
export function fullBackupReport({ database, definition }: EngineContext): FullBackupReport | undefined {
  if (definition.firstBackupTimeoutMinutes === 0) return undefined;
  return fields({ configMap: () => `${database.cluster}-full`, locations: () => locationsOf(database) });
}

/** Right and ConfigMap, in this order; empty if updates do not wait. */
export function renderFullBackupGate(context: EngineContext): RenderedObject[] {
  const { database } = context;
  const report = fullBackupReport(context);
  if (report === undefined) return [];
  const metadata = metadataOf(database, () => report.configMap);
  const rules = (): object[] => [patchRule("", "configmaps", () => report.configMap)];
  const annotations = fields({
    "pulumi.com/waitFor": () => JSON.stringify(conditionsOf(completeText(report.locations))),
  });
  return [
    ...renderRole(database, "full", metadata, rules, () => accountOf(context)),
    object(FULL_BACKUP_ROLE, ["v1", "ConfigMap"], merged(metadata, { annotations })),
  ];
}

/**
 * Conditions of Pulumi's provider. The second is the awaited one. The first puts the report into the error: as long as
 * the report says something else, it selects the data, and the provider prints what is no plain value.
 */
function conditionsOf(complete: string): readonly string[] {
  const { state } = REPORT_KEYS;
  return [
    `jsonpath={$[?@.${state} && !(@.${state} == '${complete}'),'kind']}=ConfigMap`,
    `jsonpath={.data.${state}}=${complete}`,
  ];
}

/** CloudNativePG names the account like the cluster, unless the Cluster names one. */
function accountOf({ database, definition }: EngineContext): string {
  const { serviceAccountName: own }: { readonly serviceAccountName?: unknown } = definition.spec;
  return typeof own === "string" ? own : database.cluster;
}

/** Digest of the repositories' locations: if it changes, the update waits for full backups again. */
function locationsOf({ repositories, stanza }: EngineContext["database"]): string {
  // Digests of earlier versions must not change: only containers have a different row.
  const rows = repositories.map(({ azure, gcs, kind, name, path, s3 }) =>
    azure === undefined
      ? [name, kind, path, (s3 ?? gcs)?.endpoint, (s3 ?? gcs)?.bucket]
      : [name, kind, path, azure.endpoint, azure.account, azure.container],
  );
  return createHash("sha256")
    .update(JSON.stringify([stanza, rows]))
    .digest("hex")
    .slice(0, DIGEST_DIGITS);
}
