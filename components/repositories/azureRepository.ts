/** A repository in Azure Blob Storage: account, container, keys, and the settings that keep it restorable. */
import * as pulumi from "@pulumi/pulumi";
import { given } from "../../runtime/base/given";
import { typeToken } from "../internal/children";
import { guardChildren } from "../internal/destroyGuard";
import { withDefault } from "../internal/inputs";
import { DEFAULTS } from "../plan/model/defaults";
import { checkAzure, resolveAzure } from "../plan/storage/azure";
import {
  type AzureAccess,
  type AzureContainerRef,
  createAccess,
  createContainer,
  type PlannedAzure,
} from "./azureChildren";
import type { AzureRepositoryArgs } from "./azureRepositoryArgs";
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
import type { BucketKind } from "./renamedBucket";
import type { AzureCredentials, AzureKeyType, RepositoryTarget } from "./target";

const AZURE_ACCOUNTS: BucketKind = {
  type: "azure-native:storage:StorageAccount",
  section: { name: "container", field: "accountName", child: "account" },
  identityOf: (name) => ({ name }),
  // Signatures are no resources: under another name they stay the same.
  keyTypes: [],
  serviceOf: () => ({}),
};

/**
 * A repository in a container of Azure Blob Storage. The update signs in as Pulumi's provider azure-native does, for
 * instance with `az login`; the engine installs that provider, and no package is needed.
 *
 * Creates a storage account (`<name>-account`, in `<name>-resource-group` unless you name one) with TLS 1.2 or newer
 * and no access from the public; soft delete and versions (`-blob-service`), kept for `undeleteDays`; a container
 * (`-container`), on request with a policy that nobody can delete or overwrite a version for `immutableDays` (`-lock`);
 * and a signature (SAS) for databases that can do nothing but list, read, write and delete by name in this container.
 *
 * It is protected: a destroy is refused before anything of it is deleted. When the protection is taken off
 * (`{ protect: false }`, then an update), destroying it leaves account and container at Azure with every backup, and
 * what is locked stays locked; with `{ protect: false, retainOnDelete: false }` they are deleted, and Azure refuses
 * that while the container has blobs. An existing container always stays.
 *
 * Costs (list prices, hot tier, LRS, a region of the United States) 0.018 USD a month per GB, 5 USD per million writes,
 * and 0.087 USD per GB that is restored outside of Azure. Versions that were deleted count for up to twice
 * `undeleteDays`.
 *
 * ```ts
 * const azure = new AzureRepository("orders-azure", {
 *   container: { create: { accountName: "acmeorderspg", location: "westeurope" } },
 *   cipher: key.ref,
 * });
 * ```
 */
export class AzureRepository extends pulumi.ComponentResource {
  /** Pass this to a database: `repositories: { repo2: { at: azure.target } }`. */
  public readonly target: RepositoryTarget;
  /** Secret. The passphrase that `encrypt` made, for a copy in a safe place: `export const key = azure.passphrase`. */
  public readonly passphrase?: pulumi.Output<string>;
  /** `azure://account/container/prefix`. */
  public readonly location: pulumi.Output<string>;
  /** Host name of the service, without the account: `blob.core.windows.net`. */
  public readonly endpoint: pulumi.Output<string>;
  /** Secret. Read-only; set with `credentials.create.reader`. */
  public readonly readerCredentials?: AzureCredentials;
  /** The repository with the reader's key, for a host with `restoreOnly`; set with `credentials.create.reader`. */
  public readonly readerTarget?: RepositoryTarget;
  /** Secret. Can delete versions that are not locked; no target has it. Set with `credentials.create.recovery`. */
  public readonly recoveryCredentials?: AzureCredentials;
  /** Price in US dollars a month of keeping `expectedStoredGiB`, without calls and restores. */
  public readonly monthlyCostUsd?: pulumi.Output<number>;
  /** Day of that price. */
  public readonly pricesAsOf?: pulumi.Output<string>;

  constructor(name: string, args: AzureRepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = repositoryArguments("AzureRepository", name, args, checkAzure);
    const prepared = prepareBucket(`AzureRepository ${name}`, own, opts, {
      kind: AZURE_ACCOUNTS,
      fields: ["rules", "undeleteDays"],
      resolve: resolveAzure,
      check: checkAzure,
    });
    super(typeToken("AzureRepository"), name, prepared.inputs, prepared.opts);
    const { path, plan } = prepared;
    const kept = prepared.begin(this);
    const container = createContainer(name, own, plan, kept);
    const { cipher, passphrase } = cipherOf(name, own, this, kept.protect, resourcesOf(container.containerName));
    const access = createAccess(name, own, container, this);
    guardChildren(name, [...access.made, ...container.lock], this, kept.protect);

    this.endpoint = pulumi.output(withDefault(own.endpoint, DEFAULTS.azureEndpoint));
    this.location = pulumi.interpolate`azure://${container.accountName}/${container.containerName}${path}`;
    this.target = shareableTarget(targetOf(name, { ...own, ...given({ cipher }) }, plan, path, container, access));
    prepared.record(this.target, this.location, this);
    if (access.reader !== undefined) this.readerTarget = readerTargetOf(this.target, access.reader);
    this.registerOutputs({
      location: this.location,
      endpoint: this.endpoint,
      ...setChosen(this, {
        passphrase,
        readerCredentials: access.reader,
        recoveryCredentials: access.recovery,
        ...storageCost("azure", own.expectedStoredGiB, own.container.create?.redundancy),
      }),
    });
  }
}

function targetOf(
  name: string,
  { container: { create, existing }, credentials, endpoint, offSite, ...args }: AzureRepositoryArgs,
  { immutableDays, managed, undeleteDays }: PlannedAzure,
  path: pulumi.Input<string>,
  { accountName, containerName }: AzureContainerRef,
  { writer }: AzureAccess,
): RepositoryTarget {
  const locked = immutableDays === undefined || immutableDays === 0 ? {} : { immutableDays, lockMode: "governance" };
  const { caFile, facts = {}, port, uriStyle } = existing ?? {};
  return {
    name,
    path,
    ...given({ offSite }),
    azure: {
      account: accountName,
      container: containerName,
      keyType: keyTypeOf(credentials),
      ...given({ caFile, endpoint, port, uriStyle }),
      ...given({ credentials: writer, existingSecret: credentials?.existingSecret }),
      facts: managed
        ? { versioning: true, undeleteDays, ...locked, ...given({ storageClass: create?.redundancy }) }
        : facts,
    },
    ...secretCipher(args.cipher),
  };
}

function keyTypeOf({
  accountKey,
  keys,
  managedIdentity,
}: NonNullable<AzureRepositoryArgs["credentials"]> = {}): AzureKeyType {
  if (managedIdentity !== undefined) return "auto";
  return accountKey !== undefined || keys?.isAccountKey === true ? "shared" : "sas";
}
