/**
 * Object stores: addresses that do not match their provider, and bucket settings that break or endanger backups. Pure.
 */
import { engineOf } from "../engines/engines";
import { findOtherRegion, findQuirks, S3_QUIRKS } from "../../../runtime/storage/s3/quirks";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan } from "../model/plan";
import { factsOf } from "../repositories/repositoryTypes";
import type { BucketFacts, S3Plan } from "../repositories/s3Type";
import { R2_LOCK_REASON } from "../storage/r2";
import { findClassFault } from "../storage/storageClasses";
import { abstaining, eachOf } from "../findings/abstain";
import { KEEP_HINT } from "./buckets";

/** Endpoints of services that lack S3, and the alternatives. */
const OTHER_SERVICES: readonly { readonly pattern: RegExp; readonly name: string; readonly hint: string }[] = [
  {
    pattern: /\.blob\.core\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)$/,
    name: "Azure Blob Storage",
    hint: "it does not speak S3: use AzureRepository (docs/azure.md)",
  },
  {
    pattern: /(^|\.)storage\.googleapis\.com$/,
    name: "Google Cloud Storage",
    hint: "its S3 interface is not tested: use GcsRepository (docs/gcs.md)",
  },
];

export function checkProviders({ engine, repositories }: DatabasePlan): Finding[] {
  return eachOf(repositories, (repository) => {
    const { s3 } = repository;
    const path = `repositories.${repository.name}.at`;
    const facts = factsOf(repository);
    if (s3 === undefined) return facts === undefined ? [] : checkFacts(facts, path, repository.site.provider);
    return abstaining(
      () => checkService(s3, path),
      () => checkRegion(s3, path),
      () => checkQuirks(s3, path),
      () => checkStyle(s3, path, engine),
      () => checkFacts(s3.facts, path, repository.site.provider),
      () => checkLock(s3, path),
    );
  });
}

function checkService({ endpoint }: S3Plan, path: string): Finding[] {
  const service = OTHER_SERVICES.find(({ pattern }) => pattern.test(endpoint.toLowerCase()));
  return service === undefined
    ? []
    : [finding("PB053", `${path}.s3.endpoint`, `${service.name} is not supported`, service.hint)];
}

function checkRegion(s3: S3Plan, path: string): Finding[] {
  const row = findQuirks(s3.quirks ?? "auto", s3.endpoint);
  const expected = row === null ? null : findOtherRegion(row, s3.endpoint, s3.region);
  if (row === null || expected === null) return [];
  const fact = `region "${s3.region}" does not match ${row.title} at ${s3.endpoint}, which signs for "${expected}": it refuses the requests`;
  return [finding("PB054", `${path}.s3.region`, fact, `set region: "${expected}"`)];
}

function checkQuirks(s3: S3Plan, path: string): Finding[] {
  const row = findQuirks(s3.quirks ?? "auto", s3.endpoint);
  const hostedBy = findQuirks("auto", s3.endpoint);
  if (row === null) {
    const known = ["auto", ...S3_QUIRKS.map(({ id }) => id)].join(", ");
    return [
      finding("PB055", `${path}.s3.quirks`, `"${s3.quirks}" is no provider`, `leave quirks out, or set ${known}`),
    ];
  }
  if (hostedBy === null || hostedBy.id === "generic" || hostedBy.id === row.id) return [];
  const fact = `${s3.endpoint} belongs to ${hostedBy.title}, but quirks say ${row.title}`;
  return [finding("PB055", `${path}.s3.quirks`, fact, "leave quirks out: the endpoint decides")];
}

function checkStyle(s3: S3Plan, path: string, engine: string): Finding[] {
  const row = findQuirks(s3.quirks ?? "auto", s3.endpoint);
  if (row === null || s3.uriStyle !== "host") return [];
  const { hostStyle, title } = engineOf(engine);
  if (!hostStyle) {
    // No finding where it is the provider's default.
    if (row.uriStyle === "host") return [];
    const fact = `${title} has no setting for uriStyle "host": it sends requests to ${s3.endpoint} with the bucket in the path`;
    const hint = 'leave uriStyle out, or use engine "runtime" if the server requires the bucket in the host name';
    return [finding("PB117", `${path}.s3.uriStyle`, fact, hint)];
  }
  const findings: Finding[] = [];
  if (row.uriStyle === "path" && row.id !== "generic") {
    const fact = `${row.title} is addressed with the bucket in the path: with uriStyle "host", ${s3.bucket}.${s3.endpoint} must resolve and match its certificate`;
    findings.push(finding("PB056", `${path}.s3.uriStyle`, fact, "leave uriStyle out"));
  }
  if (s3.bucket.includes(".")) {
    const fact = `the dots of bucket "${s3.bucket}" are levels of a host name that no wildcard certificate covers`;
    const hint = 'set uriStyle: "path", or choose a bucket without dots';
    findings.push(finding("PB057", `${path}.s3.uriStyle`, fact, hint));
  }
  return findings;
}

function checkLock({ endpoint, facts, quirks }: S3Plan, path: string): Finding[] {
  const row = findQuirks(quirks ?? "auto", endpoint);
  if (row === null || row.objectLock || (facts.immutableDays ?? 0) <= 0) return [];
  const reason = row.id === "r2" ? R2_LOCK_REASON : "it has no object lock";
  const fact = `immutableDays is not possible on ${row.title}: ${reason}`;
  const hint = "use B2 or S3 for the immutable copy and this one as second repository";
  return [finding("PB059", `${path}.immutableDays`, fact, hint)];
}

/** Rules and storage classes of buckets and containers. */
function checkFacts(facts: BucketFacts, path: string, provider: string): Finding[] {
  return abstaining(
    () => {
      if (facts.expireLiveDays === undefined) return [];
      const fact = `a rule of the bucket removes objects ${facts.expireLiveDays} days after they were written: increments and WAL need older ones, so restores fail although backups report success`;
      return [finding("PB058", path, fact, KEEP_HINT)];
    },
    () => {
      const { storageClass = "" } = facts;
      const fault = findClassFault(storageClass, provider);
      const hint = "use the standard class";
      if (fault === "frozen") {
        const fact = `reading from class ${storageClass} takes hours of thawing first: restores and every incremental backup would fail`;
        return [finding("PB060", `${path}.storageClass`, fact, hint)];
      }
      if (fault !== "infrequent") return [];
      const fact = `class ${storageClass} bills at least 30 days of each object and every read: WAL that expires earlier costs more than in the standard class`;
      return [finding("PB061", `${path}.storageClass`, fact, hint)];
    },
  );
}
