/** Repositories in buckets: Backblaze B2, Cloudflare R2, Amazon S3 and other S3 servers. Pure. */
import { findQuirks } from "../../../runtime/storage/s3/quirks";
import type { BucketFacts as LocationFacts, S3Location, SecretRef } from "../../repositories/target";
import { type Finding, finding } from "../findings/findings";
import { DEFAULTS } from "../model/defaults";
import type { Plain } from "../model/plainArguments";
import { fields, readers } from "../model/deferred";
import { abstaining } from "../findings/abstain";
import { isInRange } from "../arguments/ranges";
import { checkPath } from "../rules/values";
import type { SitePlan, RepositoryBase, RepositoryType, TargetBase } from "./repositoryType";

/** A bucket; its keys never come here. */
export interface S3Settings extends Omit<Plain<S3Location>, "credentials" | "existingSecret"> {
  /** True if keys were given; undefined if unknown. */
  readonly hasKeys?: boolean | undefined;
  readonly hasExistingSecret?: boolean | undefined;
}

export interface S3Plan {
  readonly bucket: string;
  readonly endpoint: string;
  readonly region: string;
  readonly port: number;
  readonly uriStyle: string;
  readonly caFile: string | undefined;
  readonly quirks: string | undefined;
  readonly keyType: string;
  /** Undefined: not declared. */
  readonly hasKeys: boolean | undefined;
  /** True for a Kubernetes Secret. */
  readonly hasExistingSecret: boolean;
  readonly facts: BucketFacts;
}

/** Known facts of a bucket beyond its address. Undefined means unknown, never "no". */
export type BucketFacts = { readonly [Field in keyof LocationFacts]-?: Plain<LocationFacts>[Field] | undefined };

type Target = TargetBase & { readonly s3: S3Settings };
type Repository = RepositoryBase & { readonly kind: "s3"; readonly s3: S3Plan };

/** The providers' table advises these for all of them. */
const UPLOAD_CHUNK = "16MiB";

/** Vendors whose bucket names are unique in all accounts and regions: their endpoints lead to the same bucket. */
const GLOBAL_NAMES = ["aws", "b2", "scaleway", "wasabi"];

const POD_KEY_TYPES = ["web-id", "pod-id"];

export const s3: RepositoryType<Target, Repository> = {
  bundles: true,
  exposed: "bucket",
  secretFiles: { accessKeyId: "s3-key", secretAccessKey: "s3-key-secret", sessionToken: "s3-token" },

  open(target) {
    const { credentials, existingSecret, ...bucket } = target.s3 ?? {
      credentials: undefined,
      existingSecret: undefined,
    };
    return {
      s3: { ...bucket, hasKeys: credentials !== undefined, hasExistingSecret: existingSecret !== undefined },
      ...(existingSecret?.passphraseKey === undefined ? {} : { encrypted: true }),
    };
  },
  secrets(target) {
    const credentials = target.s3?.credentials;
    return {
      "s3-key": credentials?.accessKeyId,
      "s3-key-secret": credentials?.secretAccessKey,
      "s3-token": credentials?.sessionToken,
    };
  },
  secretText: () => null,

  resolve: ({ s3: bucket }): Pick<Repository, "s3"> => ({
    s3: fields({
      ...readers(bucket, "bucket", "endpoint", "region", "caFile", "quirks", "hasKeys"),
      port: () => bucket.port ?? DEFAULTS.s3Port,
      uriStyle: () => bucket.uriStyle ?? findQuirks(bucket.quirks ?? "auto", bucket.endpoint)?.uriStyle ?? "path",
      keyType: () => bucket.keyType ?? DEFAULTS.keyType,
      hasExistingSecret: () => bucket.hasExistingSecret ?? false,
      facts: () => resolveFacts(bucket.facts ?? {}),
    }),
  }),
  site: (target) => bucketSite(target),
  bringsKeys: (target) => target.s3.hasKeys === true,

  location: ({ path, s3: { bucket } }) => `s3://${bucket}${path}`,
  endpoint: ({ s3: { endpoint, port } }) => `${endpoint}:${port}`,
  server: ({ s3: { endpoint, port, quirks } }) =>
    GLOBAL_NAMES.includes(findQuirks(quirks ?? "auto", endpoint)?.id ?? "")
      ? null
      : `${endpoint}${port === DEFAULTS.s3Port ? "" : `:${port}`}`,
  address: ({ s3: { bucket, endpoint, port } }) => `${endpoint}:${port}/${bucket}`,
  confOptions: ({ s3: bucket }, _directory, { uploadChunk } = { uploadChunk: UPLOAD_CHUNK }) => [
    { name: "s3-bucket", value: bucket.bucket },
    { name: "s3-endpoint", value: bucket.endpoint },
    { name: "s3-region", value: bucket.region },
    { name: "s3-uri-style", value: bucket.uriStyle },
    ...(bucket.keyType === DEFAULTS.keyType ? [] : [{ name: "s3-key-type", value: bucket.keyType }]),
    { name: "storage-port", value: bucket.port },
    // Equal parts up to 5.5 GiB of stored size even where stock lets them grow: R2 requires it, others do not care.
    { name: "storage-upload-chunk-size", value: uploadChunk },
    ...(bucket.caFile === undefined ? [] : [{ name: "storage-ca-file", value: bucket.caFile }]),
  ],
  keyFile: () => null,

  checkAddress(repository, path) {
    const { s3: bucket } = repository;
    const wrong = (field: string, fact: string, hint = ""): Finding[] => [
      finding("PB020", `${path}.at.${field}`, fact, hint),
    ];
    return abstaining(
      () =>
        /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(bucket.endpoint)
          ? []
          : wrong(
              "s3.endpoint",
              `"${bucket.endpoint}" is not a host name`,
              'omit "https://", the port (an argument of its own) and any path',
            ),
      () =>
        /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket.bucket)
          ? []
          : wrong(
              "s3.bucket",
              `"${bucket.bucket}" is not a bucket name: use 3 to 63 lower-case letters, digits, dots and hyphens`,
            ),
      () =>
        /^[A-Za-z0-9][\w.-]{0,63}$/.test(bucket.region) ? [] : wrong("s3.region", `"${bucket.region}" is not a region`),
      () => checkPath(`${path}.at.s3.caFile`, bucket.caFile),
      () =>
        isInRange("S3Location.port", bucket.port) ? [] : wrong("s3.port", `${bucket.port} is not a port: 1 to 65535`),
      () =>
        ["host", "path"].includes(bucket.uriStyle)
          ? []
          : wrong("s3.uriStyle", `"${bucket.uriStyle}" is neither "host" nor "path"`, "leave it out"),
      () => {
        const fact = "the prefix covers the whole bucket, including objects of others";
        return repository.path === "/" ? wrong("path", fact, 'set a prefix such as "/pgbackrest"') : [];
      },
    );
  },
  checkKeys(repository, path, database) {
    const { s3: bucket } = repository;
    return abstaining(
      () => (repository.secretFiles === undefined ? checkGivenKeys(bucket, `${path}.at.s3`) : []),
      () => checkRole(bucket, `${path}.at.s3`, database),
      () => checkExistingSecret(bucket, `${path}.at.s3`, database),
    );
  },
  checkSecretFiles({ s3: { hasKeys } }, path) {
    if (hasKeys !== true) return [];
    const fact = "credentials are given too: it is unclear which of them sign";
    return [finding("PB103", path, fact, "remove one of them")];
  },
  checkPod: () => [],
};

/** A vendor's buckets are off-site and fail together: one account, one outage, one unpaid bill. */
function bucketSite(target: Target): SitePlan {
  const { s3: bucket } = target;
  const row = (): ReturnType<typeof findQuirks> => findQuirks(bucket.quirks ?? "auto", bucket.endpoint);
  const isHosted = (): boolean => row()?.hosted ?? false;
  return fields({
    provider: () => row()?.id ?? "generic",
    title: () => row()?.title ?? bucket.endpoint,
    failureDomain: () => (isHosted() ? (row()?.title ?? bucket.endpoint) : bucket.endpoint),
    offSite: () => target.offSite ?? (isHosted() ? true : undefined),
    thirdParty: isHosted,
  });
}

export function resolveFacts(facts: NonNullable<S3Settings["facts"]>): BucketFacts {
  return fields({
    ...readers(facts, "versioning", "immutableDays", "lockMode", "undeleteDays", "storageClass", "expireLiveDays"),
  });
}

function checkGivenKeys({ keyType, hasKeys, hasExistingSecret }: S3Plan, path: string): Finding[] {
  if (keyType === "shared") {
    if (hasKeys !== false || hasExistingSecret) return [];
    const hint = "set credentials, existingSecret in Kubernetes, or keyType of a role";
    return [
      finding("PB063", `${path}.credentials`, 'key type "shared" signs with an access key, and none is given', hint),
    ];
  }
  if (hasKeys !== true && !hasExistingSecret) return [];
  const field = hasKeys === true ? "credentials" : "existingSecret";
  const fact = `key type "${keyType}" signs with a role, and keys are given too: it is unclear which of them signs`;
  return [finding("PB064", `${path}.${field}`, fact, `remove ${field}, or leave keyType out`)];
}

function checkRole(bucket: S3Plan, path: string, database: "host" | "cnpg"): Finding[] {
  const { keyType } = bucket;
  if (database === "host" && POD_KEY_TYPES.includes(keyType)) {
    const fact = `key type "${keyType}" is for pods in EKS only, not for hosts`;
    const hint = 'set keyType: "auto" for the role of an EC2 instance, or credentials';
    return [finding("PB065", `${path}.keyType`, fact, hint)];
  }
  if (keyType === "shared") return [];
  const { endpoint, quirks } = bucket;
  const row = findQuirks(quirks ?? "auto", endpoint);
  if (row === null || row.id === "aws") return [];
  const fact = `key type "${keyType}" gets its keys from Amazon, and ${row.title} at ${endpoint} does not accept them`;
  return [finding("PB066", `${path}.keyType`, fact, "leave keyType out and set credentials")];
}

interface OneKey {
  readonly hasExistingSecret: boolean;
  readonly hasKey: boolean | undefined;
  readonly keyType: string;
}

/**
 * The key of a store that has one, for all key types but "auto".
 * @param path `repositories.repo1.at.azure`
 * @param identity what "auto" uses
 */
export function checkOneKey(
  store: OneKey,
  repository: Pick<RepositoryBase, "secretFiles">,
  path: string,
  identity: string,
  database: "host" | "cnpg",
): Finding[] {
  return abstaining(
    () => (repository.secretFiles === undefined ? checkGivenKey(store, path, identity) : []),
    () => {
      const { hasExistingSecret, hasKey } = store;
      return checkExistingSecret({ hasExistingSecret, hasKeys: hasKey }, path, database);
    },
  );
}

/** The part of a target with one key: what there is, without it. */
export function openOneKey(location: { readonly credentials?: object; readonly existingSecret?: SecretRef } = {}): {
  readonly store: object;
  readonly encrypted?: true;
} {
  const { credentials, existingSecret, ...store } = location;
  return {
    store: { ...store, hasKey: credentials !== undefined, hasExistingSecret: existingSecret !== undefined },
    ...(existingSecret?.passphraseKey === undefined ? {} : { encrypted: true }),
  };
}

function checkGivenKey({ hasExistingSecret, hasKey, keyType }: OneKey, path: string, identity: string): Finding[] {
  if (keyType !== "auto") {
    if (hasKey !== false || hasExistingSecret) return [];
    const fact = `key type "${keyType}" needs a key, and none is given`;
    const hint = `set credentials, existingSecret in Kubernetes, or keyType: "auto" for ${identity}`;
    return [finding("PB063", `${path}.credentials`, fact, hint)];
  }
  if (hasKey !== true && !hasExistingSecret) return [];
  const field = hasKey === true ? "credentials" : "existingSecret";
  const fact = `key type "auto" uses ${identity}, and a key is given too: it is unclear which of them counts`;
  return [finding("PB064", `${path}.${field}`, fact, `remove ${field}, or leave keyType out`)];
}

export function checkExistingSecret(
  { hasKeys, hasExistingSecret }: Pick<S3Plan, "hasKeys" | "hasExistingSecret">,
  path: string,
  database: "host" | "cnpg",
): Finding[] {
  if (!hasExistingSecret) return [];
  const findings: Finding[] = [];
  if (database === "host") {
    const fact = "a host cannot read a Kubernetes Secret";
    const hint = "set credentials: an update writes them to a file that only PostgreSQL's account can read";
    findings.push(finding("PB067", `${path}.existingSecret`, fact, hint));
  }
  if (hasKeys === true) {
    const fact = "credentials and existingSecret are both given";
    findings.push(finding("PB068", `${path}.existingSecret`, fact, "remove one of them"));
  }
  return findings;
}
