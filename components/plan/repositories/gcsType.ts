/** Repositories in buckets of Google Cloud Storage. Pure. */
import type { GcsLocation } from "../../repositories/target";
import { abstaining } from "../findings/abstain";
import { type Finding, finding } from "../findings/findings";
import { DEFAULTS } from "../model/defaults";
import { fields, readers } from "../model/deferred";
import type { Plain } from "../model/plainArguments";
import { checkPath } from "../rules/values";
import { GCS_BUCKET } from "../storage/gcs";
import {
  type RepositoryBase,
  type RepositoryType,
  type SitePlan,
  type TargetBase,
  unusualOption,
} from "./repositoryType";
import { type BucketFacts, checkOneKey, openOneKey, resolveFacts } from "./s3Type";

/** A bucket; its key never comes here. */
export interface GcsSettings extends Omit<Plain<GcsLocation>, "credentials" | "existingSecret"> {
  /** True if a key was given; undefined if unknown. */
  readonly hasKey?: boolean | undefined;
  readonly hasExistingSecret?: boolean | undefined;
}

export interface GcsPlan {
  readonly bucket: string;
  /** A host name, optionally with scheme and port. */
  readonly endpoint: string;
  readonly caFile: string | undefined;
  /** Name of pgBackRest's `repo-gcs-key-type`. */
  readonly keyType: string;
  readonly userProject: string | undefined;
  /** Undefined: not declared. */
  readonly hasKey: boolean | undefined;
  /** True for a Kubernetes Secret. */
  readonly hasExistingSecret: boolean;
  readonly facts: BucketFacts;
}

type Target = TargetBase & { readonly gcs: GcsSettings };
type Repository = RepositoryBase & { readonly kind: "gcs"; readonly gcs: GcsPlan };

const GCS_TITLE = "Google Cloud Storage";
const KEY_OPTION = "gcs-key";
/** Stock reads the key from a file, and every `.conf` file beside it as options. */
const KEY_FILE = "gcs-key.json";
/** As the runtime takes it. */
const ENDPOINT = /^(https?:\/\/)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$/;
/** "Creating and managing projects". */
const PROJECT = /^[a-z]([a-z0-9.:-]{4,61}[a-z0-9])$/;

export const gcs: RepositoryType<Target, Repository> = {
  bundles: true,
  exposed: "bucket",
  secretFiles: { gcsKey: KEY_OPTION },

  open(target) {
    const { store, ...others } = openOneKey(target.gcs);
    return { gcs: store, ...others };
  },
  secrets: () => ({}),
  secretText: ({ gcs: location }) =>
    location?.credentials === undefined ? null : { fileName: KEY_FILE, text: location.credentials.key },

  resolve: ({ gcs: bucket }): Pick<Repository, "gcs"> => ({
    gcs: fields({
      ...readers(bucket, "bucket", "caFile", "hasKey", "userProject"),
      endpoint: () => bucket.endpoint ?? DEFAULTS.gcsEndpoint,
      keyType: () => bucket.keyType ?? DEFAULTS.gcsKeyType,
      hasExistingSecret: () => bucket.hasExistingSecret ?? false,
      facts: () => resolveFacts(bucket.facts ?? {}),
    }),
  }),
  site: (target) => siteOf(target),
  bringsKeys: () => false,

  location: ({ gcs: { bucket }, path }) => `gs://${bucket}${path}`,
  endpoint: ({ gcs: { endpoint } }) => endpoint,
  server: ({ gcs: { endpoint } }) => (endpoint === DEFAULTS.gcsEndpoint ? null : endpoint),
  address: ({ gcs: { bucket, endpoint } }) => `${endpoint}/${bucket}`,
  confOptions(repository, directory, pod) {
    const { bucket, caFile, endpoint, keyType, userProject } = repository.gcs;
    const key = pod === undefined ? keyFile(repository, directory) : null;
    return [
      { name: "gcs-bucket", value: bucket },
      ...unusualOption("gcs-endpoint", endpoint, DEFAULTS.gcsEndpoint),
      ...unusualOption("gcs-key-type", keyType, DEFAULTS.gcsKeyType),
      ...unusualOption(KEY_OPTION, key?.path),
      ...unusualOption("gcs-user-project", userProject),
      ...unusualOption("storage-ca-file", caFile),
    ];
  },
  keyFile,

  checkAddress(repository, path) {
    const { gcs: bucket } = repository;
    const wrong = (field: string, fact: string, hint = ""): Finding[] => [
      finding("PB020", `${path}.at.${field}`, fact, hint),
    ];
    return abstaining(
      () => {
        if (GCS_BUCKET.test(bucket.bucket)) return [];
        const hint = "use 3 to 63 lower-case letters, digits, hyphens, underscores and dots";
        return wrong("gcs.bucket", `"${bucket.bucket}" is not the name of a bucket`, hint);
      },
      () => {
        if (ENDPOINT.test(bucket.endpoint)) return [];
        return wrong("gcs.endpoint", `"${bucket.endpoint}" is not a host name`, "omit the bucket and any path");
      },
      () => {
        if (bucket.userProject === undefined || PROJECT.test(bucket.userProject)) return [];
        return wrong("gcs.userProject", `"${bucket.userProject}" is not the id of a project`);
      },
      () => checkPath(`${path}.at.gcs.caFile`, bucket.caFile),
      () => {
        const fact = "the prefix covers the whole bucket, including objects of others";
        return repository.path === "/" ? wrong("path", fact, 'set a prefix such as "/pgbackrest"') : [];
      },
    );
  },
  checkKeys: (repository, path, database) =>
    checkOneKey(repository.gcs, repository, `${path}.at.gcs`, IDENTITY, database),
  checkSecretFiles({ gcs: { hasKey } }, path, options) {
    if (hasKey !== true || !options.includes(KEY_OPTION)) return [];
    const fact = "credentials are given too: it is unclear which of them sign";
    return [finding("PB103", path, fact, "remove one of them")];
  },
  checkPod: () => [],
};

const IDENTITY = "the service account of the machine";

/** Next to the other credentials, unless it is on the host already. */
function keyFile(
  { gcs: { hasKey, keyType }, name, secretFiles = {} }: Repository,
  directory: string,
): ReturnType<typeof gcs.keyFile> {
  const written = keyType === "auto" || hasKey === false ? null : `${directory}/${name}-${KEY_FILE}`;
  const path = secretFiles[`${name}-${KEY_OPTION}`] ?? written;
  return path === null ? null : { option: KEY_OPTION, path };
}

function siteOf(target: Target): SitePlan {
  const endpoint = (): string => target.gcs.endpoint ?? DEFAULTS.gcsEndpoint;
  const isHosted = (): boolean => /(^|\.)googleapis\.com$/.test(endpoint());
  return fields({
    provider: () => "gcs",
    title: () => GCS_TITLE,
    failureDomain: () => (isHosted() ? GCS_TITLE : endpoint()),
    offSite: () => target.offSite ?? (isHosted() ? true : undefined),
    thirdParty: isHosted,
  });
}
