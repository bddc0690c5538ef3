/** `Cluster` of CloudNativePG: its WAL archiver, the destination of its backups, and their schedules. Pure. */
import { type Finding, finding } from "../../findings/findings";
import { isUnknown } from "../../model/unknown";
import { BARMAN, DALIBO, DESTINATION_PARAMETERS } from "./plugins";
import { hasField, type KubeObject, listAt, mayBeTrue, numberAt, objectsOf, pathOf, textAt } from "./objects";
import { valueAt } from "../../model/anyValue";

export function checkClusterObject(object: KubeObject): Finding[] {
  return [...checkInstances(object), ...checkArchivers(object), ...checkInTree(object), ...checkAnyBackup(object)];
}

/** Clusters that have a destination for backups but no schedule. */
export function checkClustersTogether(objects: readonly KubeObject[]): Finding[] {
  const schedules = objectsOf(objects, "postgresql.cnpg.io", "ScheduledBackup");
  return objectsOf(objects, "postgresql.cnpg.io", "Cluster").flatMap((cluster) => [
    ...checkScheduled(cluster, schedules),
    ...checkEachRepository(cluster, objects, schedules),
  ]);
}

function checkInstances(object: KubeObject): Finding[] {
  const instances = numberAt(object.json, "spec", "instances");
  if (instances === null || instances >= 1) return [];
  const fact = `${instances} instances: CloudNativePG requires at least 1`;
  const hint = 'to stop a cluster, set the annotation cnpg.io/hibernation: "on"';
  return [finding("PB096", pathOf(object, "spec.instances"), fact, hint)];
}

function checkArchivers(object: KubeObject): Finding[] {
  const plugins = pluginsOf(object);
  const archivers = plugins.filter((plugin) => valueAt(plugin, "isWALArchiver") === true);
  const findings: Finding[] = [];
  if (archivers.length > 1) {
    const names = archivers.map((plugin) => textAt(plugin, "name") ?? "").join(" and ");
    const fact = `${names} both claim isWALArchiver: CloudNativePG allows one archiver and refuses the cluster`;
    const hint = "keep isWALArchiver on one plugin that writes to all repositories";
    findings.push(finding("PB073", pathOf(object, "spec.plugins"), fact, hint));
  }
  if (archivers.length > 0 && hasField(object.json, "spec", "backup", "barmanObjectStore")) {
    const fact =
      "a plugin claims isWALArchiver and backup.barmanObjectStore archives too: CloudNativePG refuses the cluster";
    const path = pathOf(object, "spec.backup.barmanObjectStore");
    findings.push(finding("PB073", path, fact, "remove backup.barmanObjectStore in the same change"));
  }
  for (const [index, plugin] of plugins.entries())
    findings.push(...checkPlugin(object, plugin, `spec.plugins[${index}]`));
  return findings;
}

function checkPlugin(object: KubeObject, plugin: unknown, path: string): Finding[] {
  const name = textAt(plugin, "name") ?? "";
  const parameters = DESTINATION_PARAMETERS[name];
  if (parameters === undefined) return [];
  const findings: Finding[] = [];
  if (!mayBeTrue(plugin, "isWALArchiver")) {
    const fact = `${name} is not the WAL archiver: without the sidecar, WAL counts as archived although no repository holds it`;
    findings.push(finding("PB074", pathOf(object, path), fact, "set isWALArchiver: true"));
  }
  if (
    !parameters.some((parameter) => hasField(plugin, "parameters", parameter)) &&
    !isUnknown(valueAt(plugin, "parameters"))
  ) {
    const fact = `${name} has no destination: archiving fails, and WAL fills the disk`;
    findings.push(finding("PB075", pathOf(object, `${path}.parameters`), fact, `set ${parameters[0] ?? ""}`));
  }
  return findings;
}

function checkInTree(object: KubeObject): Finding[] {
  const findings: Finding[] = [];
  if (hasField(object.json, "spec", "backup", "barmanObjectStore")) {
    const fact =
      "backup.barmanObjectStore is deprecated since CloudNativePG 1.26, and 1.31 removes it: that operator would archive nothing";
    const hint =
      "move it to a plugin before that update, in one change of the Cluster (docs/kubernetes/engines.md, From barmanObjectStore)";
    findings.push(finding("PB071", pathOf(object, "spec.backup.barmanObjectStore"), fact, hint));
  }
  if (hasField(object.json, "spec", "backup", "retentionPolicy")) {
    const fact = "backup.retentionPolicy is deprecated, and plugins ignore it: backups are kept forever";
    const hint = "set the retention where the plugin reads it";
    findings.push(finding("PB071", pathOf(object, "spec.backup.retentionPolicy"), fact, hint));
  }
  return findings;
}

function checkAnyBackup(object: KubeObject): Finding[] {
  if (pluginsOf(object).length > 0 || hasField(object.json, "spec", "backup", "barmanObjectStore")) return [];
  if (isUnknown(valueAt(object.json, "spec", "plugins"))) return [];
  if (hasField(object.json, "spec", "backup", "volumeSnapshot")) {
    const fact =
      "volume snapshots without a WAL archive: only the times of the snapshots can be restored, later changes are lost";
    return [finding("PB095", pathOf(object, "spec.backup.volumeSnapshot"), fact, "add a plugin that archives WAL")];
  }
  const fact = "the cluster has no backup and no WAL archive: lost or deleted data is gone for good";
  return [finding("PB090", pathOf(object, "spec"), fact, "add a plugin with isWALArchiver, and a ScheduledBackup")];
}

function checkScheduled(cluster: KubeObject, schedules: readonly KubeObject[]): Finding[] {
  const placed = destinationPlugin(cluster) !== null || hasField(cluster.json, "spec", "backup", "barmanObjectStore");
  if (!placed || schedulesOf(cluster, schedules).length > 0) return [];
  const fact = "no ScheduledBackup names this cluster: WAL restores nothing without a base backup";
  return [finding("PB012", pathOf(cluster, "spec.plugins"), fact, "add a ScheduledBackup for it")];
}

/** Dalibo's plugin sends WAL to all repositories and each backup to one. */
function checkEachRepository(
  cluster: KubeObject,
  objects: readonly KubeObject[],
  schedules: readonly KubeObject[],
): Finding[] {
  const plugin = destinationPlugin(cluster);
  if (plugin === null || textAt(plugin, "name") !== DALIBO) return [];
  const reference = textAt(plugin, "parameters", "stanzaRef") ?? textAt(plugin, "parameters", "repositoryRef");
  const stanza = objects.find(
    (each) =>
      ["Stanza", "Repository"].includes(each.kind) && each.namespace === cluster.namespace && each.name === reference,
  );
  const own = schedulesOf(cluster, schedules);
  if (stanza === undefined || own.length === 0) return [];
  const count = Math.max(
    ...["stanzaConfiguration", "repoConfiguration"].map(
      (field) => listAt(stanza.json, "spec", field, "s3Repositories").length,
    ),
  );
  const selected = own.map(
    (object) => textAt(object.json, "spec", "pluginConfiguration", "parameters", "selectedRepository") ?? "1",
  );
  if (selected.some(isUnknown)) return [];
  return Array.from({ length: count }, (_item, index) => String(index + 1)).flatMap((key) => {
    if (selected.includes(key)) return [];
    const fact = `no ScheduledBackup of ${cluster.name} selects repository ${key}: it gets WAL only, because this plugin sends a backup to one repository (by default the first), and WAL alone restores nothing`;
    const hint = `add a ScheduledBackup with parameters: { selectedRepository: "${key}" }, an hour after the others`;
    return [finding("PB028", pathOf(stanza, `s3Repositories[${Number(key) - 1}]`), fact, hint)];
  });
}

function schedulesOf(cluster: KubeObject, schedules: readonly KubeObject[]): KubeObject[] {
  return schedules.filter((object) => {
    const name = textAt(object.json, "spec", "cluster", "name");
    return object.namespace === cluster.namespace && (name === cluster.name || isUnknown(name));
  });
}

function destinationPlugin(cluster: KubeObject): unknown {
  return pluginsOf(cluster).find((plugin) => [BARMAN, DALIBO].includes(textAt(plugin, "name") ?? "")) ?? null;
}

function pluginsOf(object: KubeObject): unknown[] {
  return listAt(object.json, "spec", "plugins").filter((plugin) => valueAt(plugin, "enabled") !== false);
}
