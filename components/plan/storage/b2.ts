/**
 * A repository on Backblaze B2 as plain values: defaults, the desired bucket and keys, and checks of the arguments.
 * Pure.
 *
 * A B2 bucket keeps every version: overwritten and deleted files are hidden until a lifecycle rule deletes them for
 * good. That delay is the undo after a mistake or an attack, so it is never shorter than a week or than the lock. No
 * rule may hide files because of their age: increments refer to files of any age. Capabilities are the minimum with
 * which pgBackRest works; deleting by name only hides.
 */
import {
  CANCEL_UNFINISHED_DAYS,
  checkChoice,
  checkCredentialsChoice,
  type CredentialsSettings,
  checkKeyPrefix,
  checkProtection,
  checkStored,
  type LockSettings,
  undeleteDaysOf,
} from "./bucketChecks";
import { DEFAULTS } from "../model/defaults";
import { type Finding, finding } from "../findings/findings";
import { isUnknown } from "../model/unknown";

export interface B2Settings extends LockSettings {
  readonly bucket: {
    readonly create?: { readonly name: string } | undefined;
    readonly existing?: { readonly name: string } | undefined;
  };
  readonly path?: string | undefined;
  readonly credentials?: CredentialsSettings | undefined;
  readonly expectedStoredGiB?: number | undefined;
}

export interface B2Plan {
  readonly path: string;
  /** Undefined: no object lock. 0: the bucket has it, but new files are not locked. */
  readonly immutableDays: number | undefined;
  readonly lockMode: string;
  /** Days until overwritten or deleted files are gone for good. */
  readonly deleteHiddenAfterDays: number;
  readonly cancelUnfinishedAfterDays: number;
}

/** Capabilities of the keys, by Backblaze's names. */
export const B2_CAPABILITIES = {
  /** Backs up and expires. It cannot delete versions, so everything that it removes can be restored. */
  writer: ["listBuckets", "listFiles", "readFiles", "writeFiles"],
  /** Restores, drills, `info`, `verify`, also as of a time before an attack. */
  reader: ["listBuckets", "listFiles", "readFiles"],
  /** Repairs a bucket after an attack: deletes what hides good versions. It cannot end a lock. */
  recovery: [
    "listBuckets",
    "listFiles",
    "readFiles",
    "writeFiles",
    "deleteFiles",
    "readBucketRetentions",
    "readFileRetentions",
  ],
} as const;

/** The complete plan; {@link checkB2} checks it. */
export function resolveB2(settings: B2Settings): B2Plan {
  return {
    path: settings.path ?? DEFAULTS.repositoryPath,
    immutableDays: settings.immutableDays,
    lockMode: settings.lockMode ?? "governance",
    deleteHiddenAfterDays: undeleteDaysOf(settings),
    cancelUnfinishedAfterDays: CANCEL_UNFINISHED_DAYS,
  };
}

/** Prefix of all file names: `pgbackrest/`. */
export function filePrefixOf(path: string): string {
  return `${path.replace(/^\/+/, "")}/`;
}

export function checkB2(settings: B2Settings): Finding[] {
  const { create, existing } = settings.bucket;
  return [
    ...checkChoice("bucket", { create, existing }, "which bucket it is", 'set bucket: { create: { name: "…" } }'),
    ...checkName(settings),
    ...checkKeyPrefix(settings.path ?? DEFAULTS.repositoryPath),
    ...checkCredentialsChoice(settings.credentials, "leave credentials out to have keys made"),
    ...checkProtection(settings, "Backblaze"),
    ...checkStored(settings.expectedStoredGiB),
  ];
}

function checkName({ bucket }: B2Settings): Finding[] {
  const [choice, chosen] =
    bucket.create === undefined ? (["existing", bucket.existing] as const) : (["create", bucket.create] as const);
  if (chosen === undefined || isUnknown(chosen.name)) return [];
  const isName =
    /^[a-z0-9][a-z0-9.-]{4,61}[a-z0-9]$/.test(chosen.name) &&
    !chosen.name.includes("..") &&
    !chosen.name.startsWith("b2-");
  if (isName && !/^[0-9.]+$/.test(chosen.name)) return [];
  const fact = `"${chosen.name}" is not a bucket name: Backblaze allows 6 to 63 lower-case letters, digits, dots and hyphens, not starting with b2-`;
  return [finding("PB020", `bucket.${choice}.name`, fact, "choose a name that no other customer has")];
}
