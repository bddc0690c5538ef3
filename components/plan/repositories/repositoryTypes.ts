/**
 * All repository types. A target with the field of a type's name has that type; without any it is a directory. Pure.
 */
import type { RepoConfig } from "../../../runtime/config/types";
import { findQuirks } from "../../../runtime/storage/s3/quirks";
import { azure, type AzurePlan, type AzureSettings } from "./azureType";
import { gcs, type GcsPlan, type GcsSettings } from "./gcsType";
import { posix } from "./posixType";
import type { RepositoryBase, RepositoryType, TargetBase } from "./repositoryType";
import { type BucketFacts, s3, type S3Plan, type S3Settings } from "./s3Type";
import { sftp, type SftpPlan, type SftpSettings } from "./sftpType";
import { isTargetUnknown, unknown } from "./unknownType";

/** `cifs` is a mounted directory; `unknown` is a target that a preview does not know. */
export type RepositoryKind = Exclude<RepoConfig["type"], "cifs"> | "unknown";

/** Location of backups: `target` of a repository component. */
export interface TargetSettings extends TargetBase {
  readonly azure?: AzureSettings | undefined;
  readonly gcs?: GcsSettings | undefined;
  readonly s3?: S3Settings | undefined;
  readonly sftp?: SftpSettings | undefined;
}

export interface RepositoryPlan extends RepositoryBase {
  readonly kind: RepositoryKind;
  readonly azure?: AzurePlan;
  readonly gcs?: GcsPlan;
  readonly s3?: S3Plan;
  readonly sftp?: SftpPlan;
}

const TYPES: Readonly<Record<RepositoryKind, RepositoryType<TargetSettings, RepositoryPlan>>> = {
  azure,
  gcs,
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

export function typeOf(repository: Pick<RepositoryPlan, "kind">): RepositoryType<TargetSettings, RepositoryPlan> {
  return TYPES[repository.kind];
}

/** Object stores, each a field of a target with its address and its keys. */
const STORE_KINDS = ["s3", "azure", "gcs"] as const;
export type StoreKind = (typeof STORE_KINDS)[number];

export function storeKindOf(target: { readonly [Kind in StoreKind]?: unknown }): StoreKind | null {
  return STORE_KINDS.find((kind) => target[kind] !== undefined) ?? null;
}

/** The bucket or container of a repository or target; undefined for other types. */
export function storeOf<Azure, Gcs, S3>(stores: {
  readonly azure?: Azure;
  readonly gcs?: Gcs;
  readonly s3?: S3;
}): Azure | Gcs | S3 | undefined {
  return stores.s3 ?? stores.azure ?? stores.gcs;
}

/** What is known of a bucket, container or SFTP server beyond its address; undefined for other types. */
export function factsOf(repository: RepositoryPlan): BucketFacts | undefined {
  return (storeOf(repository) ?? repository.sftp)?.facts;
}

/** Why a repository cannot be read as it was; null if it can, or if that is unknown. */
export function withoutVersions(repository: RepositoryPlan): string | null {
  const { kind, name, site } = repository;
  if (kind === "unknown") return null;
  const isOptional = kind === "azure" || kind === "gcs";
  const versioning = isOptional ? "optional" : (findQuirks(site.provider, "")?.versioning ?? "none");
  if (versioning === "none") return `${name} is on ${site.title}, which keeps no versions`;
  const isKept = versioning === "always" || factsOf(repository)?.versioning !== false;
  return isKept ? null : `the ${typeOf(repository).exposed} of ${name} keeps no versions`;
}

/** Works with and without the secrets, and with a marker. */
export function kindOf(
  target: Readonly<Partial<Record<Exclude<RepositoryKind, "posix">, object | undefined>>>,
): RepositoryKind {
  if (isTargetUnknown(target)) return "unknown";
  return REPOSITORY_KINDS.find((kind) => kind !== "posix" && target[kind] !== undefined) ?? "posix";
}
