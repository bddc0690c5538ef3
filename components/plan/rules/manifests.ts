/**
 * Checks Kubernetes objects that others wrote, with the codes of plans where the situation is the same. Objects are
 * plain JSON; unknown values (markers of unknown.ts) are skipped. Pure; the rules lie in manifests/, by kind.
 */
import type { Finding } from "../findings/findings";
import { checkClusterObject, checkClustersTogether } from "./manifests/clusters";
import { findObject, type KubeObject } from "./manifests/objects";
import { checkObjectStore, checkObjectStoresTogether } from "./manifests/objectStores";
import { checkScheduledBackup, checkScheduledBackupsTogether } from "./manifests/scheduledBackups";
import { checkStanza, checkStanzasTogether } from "./manifests/stanzas";
import { checkWorkload, checkWorkloadsTogether } from "./manifests/workloads";

/** First the findings of each object, then those of the set. */
export function checkManifests(objects: readonly unknown[]): Finding[] {
  return [...objects.flatMap(checkManifest), ...checkManifestsTogether(objects)];
}

/** Empty for kinds without rules. */
export function checkManifest(json: unknown): Finding[] {
  const object = findObject(json);
  if (object === null) return [];
  const [group = ""] = object.apiVersion.split("/");
  if (group === "postgresql.cnpg.io" && object.kind === "ScheduledBackup") return checkScheduledBackup(object);
  if (group === "postgresql.cnpg.io" && object.kind === "Cluster") return checkClusterObject(object);
  if (group === "barmancloud.cnpg.io" && object.kind === "ObjectStore") return checkObjectStore(object);
  if (group === "pgbackrest.dalibo.com" && ["Stanza", "Repository"].includes(object.kind)) return checkStanza(object);
  return checkWorkload(object);
}

export function checkManifestsTogether(objects: readonly unknown[]): Finding[] {
  const known = objects.map(findObject).filter((object): object is KubeObject => object !== null);
  return [
    ...checkScheduledBackupsTogether(known),
    ...checkClustersTogether(known),
    ...checkObjectStoresTogether(known),
    ...checkStanzasTogether(known),
    ...checkWorkloadsTogether(known),
  ];
}
