/**
 * A repository in a container of Azure Blob Storage as plain values: defaults, what is created, and checks of the
 * arguments. Pure.
 */
import { type Finding, finding } from "../findings/findings";
import { DEFAULTS } from "../model/defaults";
import { isUnknown } from "../model/unknown";
import type { AzureRepositoryArgs } from "../../repositories/azureRepositoryArgs";
import {
  checkChoice,
  checkKeyPrefix,
  checkOneOf,
  checkProtection,
  checkStored,
  chosen,
  type OpenArguments,
  undeleteDaysOf,
} from "./bucketChecks";

export type AzureRepositorySettings = OpenArguments<AzureRepositoryArgs>;

export interface AzureRepositoryPlan {
  /** False if others own the container's settings. */
  readonly managed: boolean;
  /** Undefined: no immutability policy. */
  readonly immutableDays: number | undefined;
  readonly undeleteDays: number;
  readonly rules: readonly AzureRule[];
}

/**
 * As `azure-native:storage:ManagementPolicy` takes it. It touches no live blob: increments refer to them at any age.
 */
export interface AzureRule {
  readonly name: string;
  readonly enabled: boolean;
  readonly type: "Lifecycle";
  readonly definition: {
    readonly filters: { readonly blobTypes: readonly ["blockBlob"] };
    readonly actions: { readonly version: { readonly delete: { readonly daysAfterCreationGreaterThan: number } } };
  };
}

const AZURE_REDUNDANCIES = ["Standard_LRS", "Standard_ZRS", "Standard_GRS"] as const;
const AZURE_ACCOUNT_KEYS = ["key1", "key2"] as const;
export const AZURE_DEFAULTS = {
  container: "pgbackrest",
  redundancy: "Standard_LRS",
  signedBy: "key1",
  /** Keys of other providers have no end either, and backups that stop one day are the worse risk. */
  expires: "9999-12-31",
} as const;
/** "Soft delete for blobs": the longest retention. */
const UNDELETE_DAYS_MAX = 365;
/** "Naming and referencing containers, blobs, and metadata". */
export const AZURE_CONTAINER = /^[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62}$/;

/** The complete plan; {@link checkAzure} checks it. */
export function resolveAzure(settings: AzureRepositorySettings): AzureRepositoryPlan {
  const undeleteDays = Math.min(undeleteDaysOf(settings), UNDELETE_DAYS_MAX);
  return {
    managed: settings.container.create !== undefined,
    immutableDays: settings.immutableDays,
    undeleteDays,
    rules: [
      {
        name: "pgbackstop-replaced-versions",
        enabled: true,
        type: "Lifecycle",
        definition: {
          filters: { blobTypes: ["blockBlob"] },
          // Soft delete keeps what this removes for as long again: a version's age counts from its upload.
          actions: { version: { delete: { daysAfterCreationGreaterThan: undeleteDays } } },
        },
      },
    ],
  };
}

/** True if keys come from the account, which must then be found by its resource group. */
function needsAccountKeys(credentials: AzureRepositorySettings["credentials"]): boolean {
  return credentials === undefined || credentials.create !== undefined || credentials.accountKey !== undefined;
}

export function checkAzure(settings: AzureRepositorySettings): Finding[] {
  const { container, credentials } = settings;
  const { create, existing } = container;
  return [
    ...checkChoice(
      "container",
      { create, existing },
      "which container it is",
      'set container: { create: { accountName: "…", location: "…" } }',
    ),
    ...checkNames(settings),
    ...checkKeyPrefix(settings.path ?? DEFAULTS.repositoryPath),
    ...checkCredentials(credentials),
    ...checkKeySource(settings),
    ...checkForeign(settings),
    ...checkProtection(settings, "Microsoft"),
    ...checkLimits(settings),
    ...checkStored(settings.expectedStoredGiB),
  ];
}

function checkNames({ container: { create, existing } }: AzureRepositorySettings): Finding[] {
  const wrong = (field: string, fact: string, hint: string): Finding[] => [
    finding("PB020", `container.${create === undefined ? "existing" : "create"}.${field}`, fact, hint),
  ];
  const { accountName = "", name = AZURE_DEFAULTS.container } = create ?? existing ?? {};
  const isAccount = isUnknown(accountName) || /^[a-z0-9]{3,24}$/.test(accountName);
  const isContainer = isUnknown(name) || AZURE_CONTAINER.test(name);
  const location = create?.location ?? "westeurope";
  return [
    ...((create ?? existing) === undefined || isAccount
      ? []
      : wrong(
          "accountName",
          `"${accountName}" is not the name of a storage account`,
          "use 3 to 24 lower-case letters and digits; no other customer may have it",
        )),
    ...(isContainer
      ? []
      : wrong(
          "name",
          `"${name}" is not the name of a container`,
          "use 3 to 63 lower-case letters, digits and single hyphens",
        )),
    ...(isUnknown(location) || /^[A-Za-z][A-Za-z0-9 ]{2,39}$/.test(location)
      ? []
      : wrong("location", `"${location}" is not a region`, 'set for instance "westeurope"')),
    ...checkOneOf("container.create.redundancy", create?.redundancy, AZURE_REDUNDANCIES),
  ];
}

function checkCredentials(credentials: AzureRepositorySettings["credentials"]): Finding[] {
  if (credentials === undefined) return [];
  const { accountKey, create, existingSecret, keys, managedIdentity } = credentials;
  const { expires } = create ?? {};
  const isDay = expires === undefined || isUnknown(expires) || isDate(expires);
  return [
    ...checkChoice(
      "credentials",
      { create, accountKey, managedIdentity, keys, existingSecret },
      "how databases sign in",
      "leave credentials out to have a signature made",
    ),
    ...checkOneOf("credentials.create.signedBy", create?.signedBy, AZURE_ACCOUNT_KEYS),
    ...checkOneOf("credentials.accountKey.signedBy", accountKey?.signedBy, AZURE_ACCOUNT_KEYS),
    ...(isDay
      ? []
      : [
          finding(
            "PB020",
            "credentials.create.expires",
            `"${expires}" is not a day`,
            'write it as "2027-12-31", or leave it out',
          ),
        ]),
  ];
}

function isDate(text: string): boolean {
  if (!/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(text)) return false;
  const day = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text);
}

/** Azure finds an account's keys by its resource group. */
function checkKeySource({ container: { existing }, credentials }: AzureRepositorySettings): Finding[] {
  if (existing === undefined) return [];
  if (credentials?.managedIdentity?.principalId !== undefined) {
    const fact = "a role is assigned only for a container that is created here";
    const hint = "leave principalId out, and assign Storage Blob Data Contributor for the container yourself";
    return [finding("PB082", "credentials.managedIdentity.principalId", fact, hint)];
  }
  if (existing.resourceGroupName !== undefined || !needsAccountKeys(credentials)) return [];
  const fact = "keys for an existing account are made with its resource group, and none is given";
  const hint = "set resourceGroupName, or credentials.keys with a key that you made";
  return [finding("PB020", "container.existing.resourceGroupName", fact, hint)];
}

/** Settings of a container that is not ours to change. */
function checkForeign({ container, immutableDays, lockMode, undeleteDays }: AzureRepositorySettings): Finding[] {
  if (container.existing === undefined) return [];
  return chosen({ immutableDays, undeleteDays, lockMode }).map((name) => {
    const fact = `${name} is a setting of the account, and pgbackstop does not change an existing one`;
    return finding("PB082", name, fact, "describe the container in container.existing.facts");
  });
}

function checkLimits({ immutableDays, lockMode, undeleteDays }: AzureRepositorySettings): Finding[] {
  const findings: Finding[] = [];
  if (undeleteDays !== undefined && !isUnknown(undeleteDays) && undeleteDays > UNDELETE_DAYS_MAX) {
    const fact = `Azure keeps deleted blobs for ${UNDELETE_DAYS_MAX} days at most, not ${undeleteDays}`;
    const hint = `set ${UNDELETE_DAYS_MAX} or less; immutableDays may be more`;
    findings.push(finding("PB014", "undeleteDays", fact, hint));
  }
  if (lockMode === "compliance" && immutableDays !== undefined) {
    const fact = 'a policy is created unlocked (mode "governance"), and Pulumi\'s provider cannot lock it';
    const hint =
      'leave lockMode out, and lock the policy yourself once it is right: "az storage container immutability-policy lock"';
    findings.push(finding("PB080", "lockMode", fact, hint));
  }
  return findings;
}
