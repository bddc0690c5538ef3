/** `Stanza` of Dalibo's pgBackRest plugin, called `Repository` until December 2025. Pure. */
import { findOtherRegion, findQuirks } from "../../../../runtime/storage/s3/quirks";
import { type Finding, finding } from "../../findings/findings";
import { isUnknown } from "../../model/unknown";
import { isBelow } from "../values";
import { hasField, type KubeObject, listAt, numberAt, pairsOf, pathOf, textAt } from "./objects";
import { valueAt } from "../../model/anyValue";

const GROUP = "pgbackrest.dalibo.com";
const FIELDS: Readonly<Record<string, string>> = { Stanza: "stanzaConfiguration", Repository: "repoConfiguration" };

export function checkStanza(object: KubeObject): Finding[] {
  const field = FIELDS[object.kind] ?? "";
  const repositories = listAt(object.json, "spec", field, "s3Repositories");
  return [
    ...checkKind(object),
    ...checkQueue(object, field, repositories.length),
    ...repositories.flatMap((repository, index) =>
      checkRepository(object, repository, `spec.${field}.s3Repositories[${index}]`),
    ),
    ...checkProviders(object, field, repositories),
  ];
}

/** No two repositories may share a location, in one object or in two. */
export function checkStanzasTogether(objects: readonly KubeObject[]): Finding[] {
  const locations = objects.filter(isStanza).flatMap((object) => {
    const field = FIELDS[object.kind] ?? "";
    return listAt(object.json, "spec", field, "s3Repositories").map((repository, index) => {
      const path = pathOf(object, `spec.${field}.s3Repositories[${index}]`);
      const [bucket, endpoint, folder] = [
        textAt(repository, "bucket"),
        textAt(repository, "endpoint"),
        textAt(repository, "repoPath"),
      ];
      const stanza = textAt(object.json, "spec", field, object.kind === "Stanza" ? "name" : "stanza") ?? object.name;
      return { path, storage: [bucket, endpoint], folder: folder ?? "", stanza, owner: object };
    });
  });
  return pairsOf(locations).flatMap(([second, first]) => {
    if ([...second.storage, second.folder, ...first.storage, first.folder].some(isUnknown)) return [];
    if (second.storage.join(" ") !== first.storage.join(" ")) return [];
    if (!isBelow(second.folder, first.folder) && !isBelow(first.folder, second.folder)) return [];
    // Stanzas of different names may share a pgBackRest repository.
    if (second.folder === first.folder && second.stanza !== first.stanza) return [];
    const fact = `bucket ${second.storage[0] ?? ""} at "${second.folder}" is also the location of ${first.path}: they destroy each other`;
    return [finding("PB008", second.path, fact, "choose another repoPath or bucket")];
  });
}

function isStanza({ apiVersion, kind }: KubeObject): boolean {
  return apiVersion.startsWith(`${GROUP}/`) && FIELDS[kind] !== undefined;
}

function checkKind(object: KubeObject): Finding[] {
  if (object.kind !== "Repository") return [];
  const fact =
    "the plugin has no kind Repository since version 0.0.1: an upgrade leaves the cluster without an archive";
  const hint = "write a Stanza with stanzaConfiguration, and stanzaRef in the Cluster";
  return [finding("PB089", pathOf(object, ""), fact, hint)];
}

function checkQueue(object: KubeObject, field: string, count: number): Finding[] {
  if (!hasField(object.json, "spec", field, "archive", "pushQueueMax")) return [];
  const limit = textAt(object.json, "spec", field, "archive", "pushQueueMax") ?? "";
  const fact = `beyond pushQueueMax (${isUnknown(limit) ? "not known yet" : limit}) WAL is dropped for ${count > 1 ? "all repositories, even if only one of them is down" : "good"}: no point in time between the last segment and the next full backup can be restored`;
  const hint = "leave it out and watch the disk, or use an engine that drops WAL for one repository only";
  return [finding("PB079", pathOf(object, `spec.${field}.archive.pushQueueMax`), fact, hint)];
}

function checkRepository(object: KubeObject, repository: unknown, field: string): Finding[] {
  const endpoint = textAt(repository, "endpoint") ?? "";
  const row = isUnknown(endpoint) ? null : findQuirks("auto", endpoint);
  const findings: Finding[] = [];
  if (!hasField(repository, "cipherConfig", "encryptionPass")) {
    const fact = "backups leave the cluster unencrypted: anyone who can read the bucket can read the database";
    const hint = "set encryptionPass before the first backup: it cannot be added later";
    findings.push(finding("PB007", pathOf(object, `${field}.cipherConfig`), fact, hint));
  }
  if (/^http:/i.test(endpoint)) {
    const fact = "the endpoint is http: backups cross the network in clear text";
    findings.push(finding("PB076", pathOf(object, `${field}.endpoint`), fact, "leave the scheme out"));
  }
  if (
    object.kind === "Stanza" &&
    valueAt(repository, "verifyTLS") !== true &&
    !isUnknown(valueAt(repository, "verifyTLS"))
  ) {
    const fact =
      "certificates are checked only with verifyTLS (version 0.0.3): anyone between can read and change the backups";
    findings.push(finding("PB088", pathOf(object, `${field}.verifyTLS`), fact, "set verifyTLS: true"));
  }
  const region = textAt(repository, "region");
  const expected = row === null || region === null || isUnknown(region) ? null : findOtherRegion(row, endpoint, region);
  if (expected !== null) {
    const fact = `region "${region}" does not match ${row?.title ?? ""}, which signs for "${expected}"`;
    findings.push(finding("PB054", pathOf(object, `${field}.region`), fact, `set region: "${expected}"`));
  }
  return [...findings, ...checkRetention(object, repository, field)];
}

function checkRetention(object: KubeObject, repository: unknown, field: string): Finding[] {
  const path = pathOf(object, `${field}.retentionPolicy`);
  if (isUnknown(valueAt(repository, "retentionPolicy"))) return [];
  if (!hasField(repository, "retentionPolicy", "full")) {
    const fact = "no retentionPolicy.full: backups are kept until the bucket is full";
    return [finding("PB006", path, fact, "set full: 14 with fullType: time")];
  }
  const full = numberAt(repository, "retentionPolicy", "full");
  if (full !== null && full < 1) return [finding("PB005", `${path}.full`, `${full} keeps nothing`, "set at least 2")];
  if (full === 1 && textAt(repository, "retentionPolicy", "fullType") !== "time") {
    const fact = "only one full backup is kept: each new one removes every older restore point at once";
    return [finding("PB033", `${path}.full`, fact, "keep at least 2, or set fullType: time")];
  }
  return [];
}

function checkProviders(object: KubeObject, field: string, repositories: readonly unknown[]): Finding[] {
  const others = listAt(object.json, "spec", field, "azureRepositories").length;
  const path = pathOf(object, `spec.${field}`);
  if (repositories.length + others === 1) {
    const fact = "there is one repository only: losing it loses every backup (this is 2-1-1; aim for 3-2-1)";
    return [finding("PB003", path, fact, "add a second one at another provider")];
  }
  const endpoints = repositories.map((repository) => textAt(repository, "endpoint") ?? "");
  if (others > 0 || repositories.length === 0 || endpoints.some(isUnknown)) return [];
  const domains = new Set(endpoints.map((endpoint) => domainOf(endpoint)));
  const [domain = ""] = domains;
  if (domains.size > 1) return [];
  const fact = `all ${repositories.length} repositories depend on ${domain}: they can be lost together`;
  return [finding("PB009", path, fact, "move one of them elsewhere")];
}

function domainOf(endpoint: string): string {
  const row = findQuirks("auto", endpoint);
  return row === null || !row.hosted ? endpoint : row.title;
}
