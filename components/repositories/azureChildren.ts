/** Children of {@link AzureRepository}: the account with its settings, the container, signatures or a role. */
import * as pulumi from "@pulumi/pulumi";
import { accountKeyOf, declareAzure, type InAccountKnown } from "../internal/azureResources";
import { childName } from "../internal/children";
import { withDefault } from "../internal/inputs";
import { AZURE_DEFAULTS, type AzureRepositoryPlan } from "../plan/storage/azure";
import { containerSas, SAS_PERMISSIONS, type SasRole } from "../plan/storage/azureSas";
import type { PlannedBucket } from "./common";
import type { AzureNewContainer, AzureRepositoryArgs } from "./azureRepositoryArgs";
import type { AzureCredentials } from "./target";

export type PlannedAzure = PlannedBucket<AzureRepositoryPlan, "rules" | "undeleteDays">;

/** Names that a program and its databases use. */
export interface AzureContainerRef {
  readonly accountName: pulumi.Input<string>;
  /** Known once the container and its settings exist. */
  readonly containerName: pulumi.Output<string>;
  /** Undefined for an existing container. */
  readonly containerId?: pulumi.Output<string>;
  /** What the account's keys are found by, once it exists; undefined without its resource group. */
  readonly account?: pulumi.Output<InAccountKnown>;
  /** The policy that locks new versions; it can be taken away, unlike the others. */
  readonly lock: readonly pulumi.Resource[];
}

/** How databases sign in. */
export interface AzureAccess {
  readonly writer?: AzureCredentials;
  readonly reader?: AzureCredentials;
  readonly recovery?: AzureCredentials;
  readonly made: readonly pulumi.Resource[];
}

/** An existing container is not touched. */
export function createContainer(
  name: string,
  { container: { create, existing }, credentials }: AzureRepositoryArgs,
  plan: PlannedAzure,
  opts: pulumi.CustomResourceOptions,
): AzureContainerRef {
  if (create !== undefined) return newContainer(name, create, plan, credentials?.managedIdentity === undefined, opts);
  const { accountName = "", name: containerName = "", resourceGroupName } = existing ?? {};
  return {
    accountName,
    containerName: pulumi.output(containerName),
    lock: [],
    ...(resourceGroupName === undefined ? {} : { account: pulumi.output({ accountName, resourceGroupName }) }),
  };
}

function newContainer(
  name: string,
  args: AzureNewContainer,
  { immutableDays, rules, undeleteDays }: PlannedAzure,
  allowSharedKeyAccess: boolean,
  opts: pulumi.CustomResourceOptions,
): AzureContainerRef {
  const { accountName } = args;
  const resourceGroupName = resourceGroupOf(name, args, opts);
  const account = newAccount(name, args, resourceGroupName, allowSharedKeyAccess, opts);
  const known = pulumi.all([accountName, resourceGroupName, account.id]).apply(([accountNamed, group]) => ({
    accountName: accountNamed,
    resourceGroupName: group,
  }));
  const within = { accountName, resourceGroupName };
  const after = (...dependsOn: pulumi.Resource[]): pulumi.CustomResourceOptions => ({ ...opts, dependsOn });
  const kept = { enabled: true, days: undeleteDays };
  const service = declareAzure(
    "azure-native:storage:BlobServiceProperties",
    childName(name, "blobService"),
    {
      ...within,
      blobServicesName: "default",
      isVersioningEnabled: true,
      deleteRetentionPolicy: kept,
      containerDeleteRetentionPolicy: kept,
    },
    after(account),
  );
  const containerName = withDefault(args.name, AZURE_DEFAULTS.container);
  const container = declareAzure(
    "azure-native:storage:BlobContainer",
    childName(name, "container"),
    // Version-level: a policy of the whole container would refuse to overwrite backup.info. Azure takes it only when a
    // container is made, and without a policy it locks nothing.
    { ...within, containerName, publicAccess: "None", immutableStorageWithVersioning: { enabled: true } },
    after(service),
  );
  const lock = lockOf(name, { ...within, containerName }, immutableDays, after(container));
  const lifecycle = declareAzure(
    "azure-native:storage:ManagementPolicy",
    childName(name, "lifecycle"),
    { ...within, managementPolicyName: "default", policy: { rules } },
    after(service),
  );
  const settings = [container, lifecycle, ...lock];
  const ready = pulumi.all([containerName, ...settings.map(({ id }) => id)]);
  return {
    accountName,
    account: known,
    containerName: ready.apply(([named = ""]) => named),
    containerId: container.id,
    lock,
  };
}

/** Over TLS, and closed to the public. */
function newAccount(
  name: string,
  { accountName, location, redundancy }: AzureNewContainer,
  resourceGroupName: pulumi.Input<string>,
  allowSharedKeyAccess: boolean,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResource {
  return declareAzure(
    "azure-native:storage:StorageAccount",
    childName(name, "account"),
    {
      accountName,
      resourceGroupName,
      location,
      kind: "StorageV2",
      sku: { name: withDefault<string>(redundancy, AZURE_DEFAULTS.redundancy) },
      accessTier: "Hot",
      allowBlobPublicAccess: false,
      allowSharedKeyAccess,
      enableHttpsTrafficOnly: true,
      minimumTlsVersion: "TLS1_2",
    },
    opts,
  );
}

/** The given one, or a new one. */
function resourceGroupOf(
  name: string,
  { accountName, location, resourceGroupName }: AzureNewContainer,
  opts: pulumi.CustomResourceOptions,
): pulumi.Input<string> {
  if (resourceGroupName !== undefined) return resourceGroupName;
  const groupName = pulumi.interpolate`pgbackstop-${accountName}`;
  const group = declareAzure(
    "azure-native:resources:ResourceGroup",
    childName(name, "resourceGroup"),
    { resourceGroupName: groupName, location },
    opts,
  );
  return pulumi.all([groupName, group.urn]).apply(([named]) => named);
}

/**
 * The container's default for each new version. 0 takes it away, and what is locked stays locked: so it is neither
 * protected nor kept.
 */
function lockOf(
  name: string,
  within: { readonly accountName: pulumi.Input<string>; readonly resourceGroupName: pulumi.Input<string> } & {
    readonly containerName: pulumi.Input<string>;
  },
  days: number | undefined,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResource[] {
  if (days === undefined || days === 0) return [];
  const policy = {
    ...within,
    immutabilityPolicyName: "default" as const,
    immutabilityPeriodSinceCreationInDays: days,
  };
  const token = "azure-native:storage:BlobContainerImmutabilityPolicy";
  return [declareAzure(token, childName(name, "lock"), policy, { ...opts, protect: false, retainOnDelete: false })];
}

/** "Azure built-in roles": Storage Blob Data Contributor. */
const CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";

export function createAccess(
  name: string,
  { credentials = {} }: AzureRepositoryArgs,
  container: AzureContainerRef,
  parent: pulumi.Resource,
): AzureAccess {
  const { accountKey, create, existingSecret, keys, managedIdentity } = credentials;
  if (keys !== undefined) return { writer: { key: pulumi.secret(keys.key) }, made: [] };
  if (existingSecret !== undefined) return { made: [] };
  if (managedIdentity !== undefined)
    return { made: assignRole(name, managedIdentity.principalId, container.containerId, parent) };
  const { account } = container;
  // A finding says so.
  if (account === undefined) return { made: [] };
  const signer = withDefault<string>((accountKey ?? create)?.signedBy, AZURE_DEFAULTS.signedBy);
  const key = accountKeyOf(account, signer, parent);
  // A key without its container would fail the first backup.
  const ready = pulumi.all([key, container.containerName, container.accountName]);
  if (accountKey !== undefined) return { writer: { key: pulumi.secret(ready.apply(([value]) => value)) }, made: [] };
  const expires = withDefault<string>(create?.expires, AZURE_DEFAULTS.expires);
  const sign = (role: SasRole): AzureCredentials => {
    const sas = pulumi.all([ready, expires]).apply(([[value, named, accountName], until]) =>
      containerSas({
        account: accountName,
        accountKey: value,
        container: named,
        permissions: SAS_PERMISSIONS[role],
        expires: until,
      }),
    );
    return { key: pulumi.secret(sas) };
  };
  return {
    writer: sign("writer"),
    ...(create?.reader === true ? { reader: sign("reader") } : {}),
    ...(create?.recovery === true ? { recovery: sign("recovery") } : {}),
    made: [],
  };
}

/** For the container alone: the role removes blobs by their names, and no version. */
function assignRole(
  name: string,
  principalId: pulumi.Input<string> | undefined,
  containerId: pulumi.Output<string> | undefined,
  parent: pulumi.Resource,
): pulumi.Resource[] {
  if (principalId === undefined || containerId === undefined) return [];
  const subscription = containerId.apply((id) => id.split("/").slice(0, 3).join("/"));
  const roles = "providers/Microsoft.Authorization/roleDefinitions";
  const assignment = {
    scope: containerId,
    principalId,
    principalType: "ServicePrincipal" as const,
    roleDefinitionId: pulumi.interpolate`${subscription}/${roles}/${CONTRIBUTOR}`,
  };
  const opts = { parent, protect: false, retainOnDelete: false };
  return [declareAzure("azure-native:authorization:RoleAssignment", childName(name, "writerRole"), assignment, opts)];
}
