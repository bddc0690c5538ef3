/** Resources of `@pulumi/azure-native`: packagedResources.ts. */
import * as pulumi from "@pulumi/pulumi";
import { packagedResources } from "./packagedResources";

type Text = pulumi.Input<string>;

interface InAccount {
  readonly accountName: Text;
  readonly resourceGroupName: Text;
}

interface Days {
  readonly enabled: boolean;
  readonly days: pulumi.Input<number>;
}

/** Inputs by type token: "Azure Native", API docs. */
export interface AzureInputs {
  readonly "azure-native:resources:ResourceGroup": { readonly resourceGroupName: Text; readonly location: Text };
  readonly "azure-native:storage:StorageAccount": InAccount & {
    readonly location: Text;
    readonly kind: "StorageV2";
    readonly sku: { readonly name: Text };
    readonly accessTier: "Hot";
    readonly allowBlobPublicAccess: boolean;
    readonly allowSharedKeyAccess: boolean;
    readonly enableHttpsTrafficOnly: boolean;
    readonly minimumTlsVersion: "TLS1_2";
  };
  readonly "azure-native:storage:BlobServiceProperties": InAccount & {
    readonly blobServicesName: "default";
    readonly isVersioningEnabled: boolean;
    readonly deleteRetentionPolicy: Days;
    readonly containerDeleteRetentionPolicy: Days;
  };
  readonly "azure-native:storage:BlobContainer": InAccount & {
    readonly containerName: Text;
    readonly publicAccess: "None";
    readonly immutableStorageWithVersioning: { readonly enabled: boolean };
  };
  readonly "azure-native:storage:BlobContainerImmutabilityPolicy": InAccount & {
    readonly containerName: Text;
    readonly immutabilityPolicyName: "default";
    readonly immutabilityPeriodSinceCreationInDays: number;
  };
  readonly "azure-native:storage:ManagementPolicy": InAccount & {
    readonly managementPolicyName: "default";
    readonly policy: { readonly rules: pulumi.Input<readonly object[]> };
  };
  readonly "azure-native:authorization:RoleAssignment": {
    readonly scope: Text;
    readonly principalId: Text;
    readonly principalType: "ServicePrincipal";
    readonly roleDefinitionId: Text;
  };
}

/** Tokens and inputs are those of version 3. */
const AZURE = packagedResources<AzureInputs>("@pulumi/azure-native", "3.28.0");

export const declareAzure = AZURE.declare;

interface AccountKeys {
  readonly keys?: readonly { readonly keyName?: string; readonly value?: string }[];
}

/** One of an account's two keys, secret. @param account names that are known once the account exists */
export function accountKeyOf(
  account: pulumi.Output<InAccountKnown>,
  keyName: Text,
  parent: pulumi.Resource,
): pulumi.Output<string> {
  const key = pulumi.all([account, keyName]).apply(async ([names, wanted]) => {
    const { accountName, resourceGroupName } = names;
    const request = { accountName, resourceGroupName };
    const token = "azure-native:storage:listStorageAccountKeys";
    const { keys = [] }: AccountKeys = await pulumi.runtime.invoke(token, request, {
      parent,
      version: AZURE.version(),
    });
    const value = keys.find((each) => each.keyName === wanted)?.value;
    if (value === undefined || value === "")
      throw new pulumi.RunError(`Azure gives no key "${wanted}" of the storage account ${accountName}`);
    return value;
  });
  return pulumi.secret(key);
}

export interface InAccountKnown {
  readonly accountName: string;
  readonly resourceGroupName: string;
}
