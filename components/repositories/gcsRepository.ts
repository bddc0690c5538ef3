/** A repository in Google Cloud Storage: bucket, keys, and the settings that keep it restorable. */
import * as pulumi from "@pulumi/pulumi";
import { given } from "../../runtime/base/given";
import { typeToken } from "../internal/children";
import { guardChildren } from "../internal/destroyGuard";
import { withDefault } from "../internal/inputs";
import { DEFAULTS } from "../plan/model/defaults";
import { checkGcs, resolveGcs } from "../plan/storage/gcs";
import {
  cipherOf,
  prepareBucket,
  readerTargetOf,
  repositoryArguments,
  resourcesOf,
  secretCipher,
  setChosen,
  shareableTarget,
  storageCost,
} from "./common";
import { createAccess, createBucket, type GcsAccess, type PlannedGcs } from "./gcsChildren";
import type { GcsRepositoryArgs } from "./gcsRepositoryArgs";
import type { BucketKind } from "./renamedBucket";
import type { GcsCredentials, RepositoryTarget } from "./target";

const GCS_BUCKETS: BucketKind = {
  type: "gcp:storage/bucket:Bucket",
  identityOf: (name) => ({ name }),
  keyTypes: ["gcp:serviceaccount/key:Key"],
  scheme: "gs",
  serviceOf: () => ({}),
};

/**
 * A repository in a bucket of Google Cloud Storage. The update signs in as Pulumi's provider gcp does, for instance
 * with `gcloud auth application-default login`; the engine installs that provider, and no package is needed.
 *
 * Creates a bucket (`<name>-bucket`) that the public cannot open, with versions and soft delete for `undeleteDays`, and
 * rules that remove replaced versions after that time and unfinished uploads after 2 days; and for databases a service
 * account (`-writer-account`) with a key (`-writer-key`) and two roles on this bucket alone: one for objects, one that
 * reads the bucket's settings.
 *
 * It is protected: a destroy is refused before anything of it is deleted, its keys included. When the protection is
 * taken off (`{ protect: false }`, then an update), destroying it deletes accounts and keys, and the bucket stays at
 * Google with every backup; with `{ protect: false, retainOnDelete: false }` it is deleted when it is empty, or with
 * everything in it after `forceDestroy`. An existing bucket always stays.
 *
 * Costs (list prices, standard class, one region of the United States) 0.02 USD a month per GB, 5 USD per million
 * writes, and 0.12 USD per GB that is restored outside of Google. What was deleted counts for up to twice
 * `undeleteDays`.
 *
 * ```ts
 * const google = new GcsRepository("orders-google", {
 *   bucket: { create: { name: "acme-orders-pg", location: "europe-west3" } },
 *   cipher: key.ref,
 * });
 * ```
 */
export class GcsRepository extends pulumi.ComponentResource {
  /** Pass this to a database: `repositories: { repo2: { at: google.target } }`. */
  public readonly target: RepositoryTarget;
  /** Secret. The passphrase that `encrypt` made, for a copy in a safe place: `export const key = google.passphrase`. */
  public readonly passphrase?: pulumi.Output<string>;
  /** `gs://bucket/prefix`. */
  public readonly location: pulumi.Output<string>;
  /** Host name of the service: `storage.googleapis.com`. */
  public readonly endpoint: pulumi.Output<string>;
  /** Secret. Read-only; set with `credentials.create.reader`. */
  public readonly readerCredentials?: GcsCredentials;
  /** The repository with the reader's key, for a host with `restoreOnly`; set with `credentials.create.reader`. */
  public readonly readerTarget?: RepositoryTarget;
  /** Price in US dollars a month of keeping `expectedStoredGiB`, without calls and restores. */
  public readonly monthlyCostUsd?: pulumi.Output<number>;
  /** Day of that price. */
  public readonly pricesAsOf?: pulumi.Output<string>;

  constructor(name: string, args: GcsRepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = repositoryArguments("GcsRepository", name, args, checkGcs);
    const prepared = prepareBucket(`GcsRepository ${name}`, own, opts, {
      kind: GCS_BUCKETS,
      fields: ["rules", "undeleteDays"],
      resolve: resolveGcs,
      check: checkGcs,
    });
    super(typeToken("GcsRepository"), name, prepared.inputs, prepared.opts);
    const { path, plan } = prepared;
    const kept = prepared.begin(this);
    const bucketName = createBucket(name, own, plan, kept);
    const { cipher, passphrase } = cipherOf(name, own, this, kept.protect, resourcesOf(bucketName));
    const access = createAccess(name, own, bucketName, this);
    guardChildren(name, access.made, this, kept.protect);

    this.endpoint = pulumi.output(withDefault(own.endpoint, DEFAULTS.gcsEndpoint));
    this.location = pulumi.interpolate`gs://${bucketName}${path}`;
    this.target = shareableTarget(targetOf(name, { ...own, ...given({ cipher }) }, plan, path, bucketName, access));
    prepared.record(this.target, this.location, this);
    if (access.reader !== undefined) this.readerTarget = readerTargetOf(this.target, access.reader);
    const cost = storageCost("gcs", own.expectedStoredGiB);
    this.registerOutputs({
      location: this.location,
      endpoint: this.endpoint,
      ...setChosen(this, { passphrase, readerCredentials: access.reader, ...cost }),
    });
  }
}

function targetOf(
  name: string,
  { bucket: { existing }, cipher, credentials, endpoint, offSite }: GcsRepositoryArgs,
  { managed, undeleteDays }: PlannedGcs,
  path: pulumi.Input<string>,
  bucket: pulumi.Output<string>,
  { writer }: GcsAccess,
): RepositoryTarget {
  const { caFile, facts = {}, userProject } = existing ?? {};
  return {
    name,
    path,
    ...given({ offSite }),
    gcs: {
      bucket,
      keyType: credentials?.identity === undefined ? "service" : "auto",
      ...given({ caFile, endpoint, userProject }),
      ...given({ credentials: writer, existingSecret: credentials?.existingSecret }),
      facts: managed ? { versioning: true, undeleteDays } : facts,
    },
    ...secretCipher(cipher),
  };
}
