/** `ObjectStore` of the Barman Cloud plugin. Pure. */
import { findQuirks } from "../../../../runtime/storage/s3/quirks";
import { type Finding, finding } from "../../findings/findings";
import { isUnknown } from "../../model/unknown";
import { isBelow } from "../values";
import { BARMAN } from "./plugins";
import { hasField, type KubeObject, listAt, objectsOf, pairsOf, pathOf, textAt } from "./objects";

const CHECKSUM_VARIABLES = ["AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"];
/** Providers that have rejected the checksums which newer Amazon libraries send by default. */
const WITHOUT_CHECKSUMS = ["b2", "r2"];

export function checkObjectStore(object: KubeObject): Finding[] {
  return [...checkEndpoint(object), ...checkRetention(object)];
}

/** Stores that share a path, and clusters that share a store and a server name. */
export function checkObjectStoresTogether(objects: readonly KubeObject[]): Finding[] {
  const stores = objectsOf(objects, "barmancloud.cnpg.io", "ObjectStore");
  return [
    ...pairsOf(stores).flatMap(([second, first]) => checkSharedPath(second, first, objects)),
    ...stores.flatMap((store) => checkUsers(store, objects)),
  ];
}

function checkEndpoint(object: KubeObject): Finding[] {
  const endpoint = textAt(object.json, "spec", "configuration", "endpointURL");
  if (endpoint === null || isUnknown(endpoint)) return [];
  const findings: Finding[] = [];
  const path = pathOf(object, "spec.configuration.endpointURL");
  if (/^http:/i.test(endpoint)) {
    const fact = "the endpoint is http: backups and signatures cross the network in clear text";
    findings.push(finding("PB076", path, fact, "use https, with endpointCA for your own CA"));
  }
  const row = findQuirks("auto", endpoint);
  if (row === null) return findings;
  const names = listAt(object.json, "spec", "instanceSidecarConfiguration", "env").map((item) => textAt(item, "name"));
  const missing = CHECKSUM_VARIABLES.filter((name) => !names.includes(name));
  if (WITHOUT_CHECKSUMS.includes(row.id) && missing.length > 0) {
    const fact = `${row.title} has rejected the checksums that Barman's library sends by default, and ${missing.join(" and ")} do not turn them off`;
    findings.push(
      finding("PB077", pathOf(object, "spec.instanceSidecarConfiguration.env"), fact, 'set both to "when_required"'),
    );
  }
  if (row.hosted) {
    const fact = `Barman does not encrypt: anyone who can read the bucket at ${row.title} can read the database`;
    const hint = "use an engine that encrypts, or silence this with the reason why it is acceptable";
    findings.push(finding("PB078", pathOf(object, "spec.configuration"), fact, hint));
  }
  return findings;
}

function checkRetention(object: KubeObject): Finding[] {
  if (hasField(object.json, "spec", "retentionPolicy")) return [];
  const fact = "no retentionPolicy: backups are kept until the bucket is full";
  return [finding("PB006", pathOf(object, "spec.retentionPolicy"), fact, 'set for instance "30d"')];
}

/** Two stores may share a path only if no two clusters write there under one name. */
function checkSharedPath(second: KubeObject, first: KubeObject, objects: readonly KubeObject[]): Finding[] {
  const [path, other] = [destinationOf(second), destinationOf(first)];
  if (path === null || other === null || endpointOf(second) !== endpointOf(first)) return [];
  if (!isBelow(path, other) && !isBelow(other, path)) return [];
  const names = serverNamesOf(second, objects);
  const same = serverNamesOf(first, objects).filter((name) => names.includes(name));
  if (path === other && same.length === 0 && names.length > 0) return [];
  const fact =
    path === other
      ? `"${path}" is also the destinationPath of ${first.name}: two clusters with the same server name overwrite each other`
      : `"${path}" and "${other}" of ${first.name} are one inside the other`;
  return [
    finding("PB008", pathOf(second, "spec.configuration.destinationPath"), fact, "give each cluster its own path"),
  ];
}

/** Clusters of one namespace may share a store under different server names; clusters of two namespaces cannot. */
function checkUsers(store: KubeObject, objects: readonly KubeObject[]): Finding[] {
  const names = serverNamesOf(store, objects);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return [];
  const fact = `two clusters write to this store as server "${twice}": their backups and WAL overwrite each other`;
  const hint = "give each cluster its own store or serverName";
  return [finding("PB008", pathOf(store, "spec.configuration.destinationPath"), fact, hint)];
}

/** Names under which clusters write into a store: `serverName`, else the cluster's name. */
function serverNamesOf(store: KubeObject, objects: readonly KubeObject[]): string[] {
  return objectsOf(objects, "postgresql.cnpg.io", "Cluster").flatMap((cluster) => {
    if (cluster.namespace !== store.namespace) return [];
    return listAt(cluster.json, "spec", "plugins").flatMap((plugin) => {
      if (textAt(plugin, "name") !== BARMAN || textAt(plugin, "parameters", "barmanObjectName") !== store.name)
        return [];
      return [textAt(plugin, "parameters", "serverName") ?? cluster.name];
    });
  });
}

function destinationOf(store: KubeObject): string | null {
  const path = textAt(store.json, "spec", "configuration", "destinationPath");
  return path === null || isUnknown(path) ? null : path.replace(/\/+$/, "");
}

function endpointOf(store: KubeObject): string {
  return textAt(store.json, "spec", "configuration", "endpointURL") ?? "";
}
