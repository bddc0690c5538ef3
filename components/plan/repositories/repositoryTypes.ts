/**
 * All repository types. A target with the field of a type's name has that type; without any it is a directory. Pure.
 */
import type { RepoConfig } from "../../../runtime/config/types";
import { findQuirks } from "../../../runtime/storage/s3/quirks";
import { azure, type AzurePlan, type AzureSettings } from "./azureType";
import { posix } from "./posixType";
import type { RepositoryBase, RepositoryType, TargetBase } from "./repositoryType";
import { type BucketFacts, s3, type S3Plan, type S3Settings } from "./s3Type";
import { sftp, type SftpPlan, type SftpSettings } from "./sftpType";
import { isTargetUnknown, unknown } from "./unknownType";

/** `cifs` is a mounted directory; no component has `gcs` yet; `unknown` is a target that a preview does not know. */
export type RepositoryKind = Exclude<RepoConfig["type"], "cifs" | "gcs"> | "unknown";

/** Location of backups: `target` of a repository component. */
export interface TargetSettings extends TargetBase {
  readonly azure?: AzureSettings | undefined;
  readonly s3?: S3Settings | undefined;
  readonly sftp?: SftpSettings | undefined;
}

export interface RepositoryPlan extends RepositoryBase {
  readonly kind: RepositoryKind;
  readonly azure?: AzurePlan;
  readonly s3?: S3Plan;
  readonly sftp?: SftpPlan;
}

const TYPES: Readonly<Record<RepositoryKind, RepositoryType<TargetSettings, RepositoryPlan>>> = {
  azure,
  posix,
  s3,
  sftp,
  unknown,
};

export const REPOSITORY_KINDS = Object.keys(TYPES) as readonly RepositoryKind[];

/** Field of `secretFiles` to option, without `repoN-`. */
export const SECRET_FILE_OPTIONS: (typeof posix)["secretFiles"] = Object.fromEntries(
  Object.values(TYPES).flatMap(({ secretFiles }) => Object.entries(secretFiles)),
);

/** The row of a repository or target. */
export function typeOf(repository: Pick<RepositoryPlan, "kind">): RepositoryType<TargetSettings, RepositoryPlan> {
  return TYPES[repository.kind];
}

/** What is known of a bucket or container beyond its address; undefined for other types. */
export function factsOf({ azure: container, s3: bucket }: RepositoryPlan): BucketFacts | undefined {
  return (bucket ?? container)?.facts;
}

/** Why a repository cannot be read as it was; null if it can, or if that is unknown. */
export function withoutVersions({ kind, name, s3: bucket, site }: RepositoryPlan): string | null {
  if (kind === "unknown") return null;
  if (kind === "azure") return `${name} is on ${site.title}, whose old versions this program does not read yet`;
  const versioning = findQuirks(site.provider, "")?.versioning ?? "none";
  if (versioning === "none") return `${name} is on ${site.title}, which keeps no versions`;
  return versioning === "optional" && bucket?.facts.versioning === false
    ? `the bucket of ${name} keeps no versions`
    : null;
}

/** Works with and without the secrets, and with a marker. */
export function kindOf(
  target: Readonly<Partial<Record<Exclude<RepositoryKind, "posix">, object | undefined>>>,
): RepositoryKind {
  if (isTargetUnknown(target)) return "unknown";
  return REPOSITORY_KINDS.find((kind) => kind !== "posix" && target[kind] !== undefined) ?? "posix";
}
