/**
 * Application keys of Backblaze B2. A key cannot be changed, only created and deleted, and only the creating call
 * returns its secret.
 *
 * A key for one bucket uses version 3 of the API. Keys of version 4 are "multi-bucket" keys even with one bucket: the
 * console does not show them, and programs that sign in natively at versions 1 to 3 (rclone, restic, duplicity and
 * others) cannot use them. If version 3 refuses, version 4 creates it. Listing and deleting ask version 4 first, then
 * 3, because each may know only its own keys.
 *
 * Creating a key is not safe to repeat. Each attempt has a unique name; after a failure with an unclear outcome, keys
 * of that name are deleted and another one is created.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  answerError,
  type B2Answer,
  type B2ApiVersion,
  type B2Client,
  B2Error,
  isB2Error,
  listOf,
  objectOf,
  textOf,
} from "./b2Api";
import type { Log } from "./b2Buckets";

const TRIES_MAX = 5;
const PAGE_SIZE = 1_000;
const PAGES_MAX = 1_000;
const KEY_NAME_LENGTH_MAX = 100;
/** Refusals of the request itself, in any version. */
const SAME_AT_EVERY_VERSION = ["bad_bucket_id", "bad_json", "too_many_keys"];

export interface WantedKey {
  /** Prefix of the name; letters, digits and hyphens. */
  readonly keyName: string;
  /** Project, stack and name of the resource: part of the name is derived from it. */
  readonly owner: string;
  readonly capabilities: readonly string[];
  /** At least one. */
  readonly bucketIds: readonly string[];
  /** Only files with this name prefix. */
  readonly namePrefix?: string | undefined;
  readonly validDurationSeconds?: number | undefined;
}

export interface ExistingKey {
  readonly applicationKeyId: string;
  /** The complete name, with its unique part. */
  readonly fullKeyName: string;
  /** Milliseconds since 1970; null for a key that never expires. */
  readonly expiresAtMs: number | null;
}

export interface MadeKey extends ExistingKey {
  readonly applicationKey: string;
  readonly apiVersion: B2ApiVersion;
}

/** Creates a key. @throws B2Error */
export async function createKey(client: B2Client, wanted: WantedKey, log: Log): Promise<MadeKey> {
  for (let failures = 1; ; failures++) {
    const fullKeyName = uniqueName(wanted);
    try {
      return await makeKey(client, wanted, fullKeyName, log);
    } catch (error) {
      if (!(error instanceof B2Error && error.unclear)) throw error;
      await deleteStrays(client, fullKeyName);
      if (failures >= TRIES_MAX) throw error;
      await client.pause(failures, error);
    }
  }
}

/** The key; null if it was deleted or has expired. `apiVersion`: its creating version. @throws B2Error */
export async function findKey(
  client: B2Client,
  applicationKeyId: string,
  apiVersion: B2ApiVersion,
): Promise<ExistingKey | null> {
  const key =
    (await findKeyAt(client, applicationKeyId, 4)) ?? (await findOldKey(client, applicationKeyId, apiVersion));
  return key === null ? null : parseKey(key);
}

/** Deletes the key; a missing one is no error. @throws B2Error */
export async function deleteKey(client: B2Client, applicationKeyId: string): Promise<void> {
  try {
    await client.call("b2_delete_key", { applicationKeyId });
  } catch (error) {
    if (!(error instanceof B2Error) || error.status !== 400) throw error;
    // Already deleted, or known only to version 3.
    const isThere = (await findKeyAt(client, applicationKeyId, 4)) ?? (await findKeyAt(client, applicationKeyId, 3));
    if (isThere === null) return;
    await client.call("b2_delete_key", { applicationKeyId }, { version: 3 });
  }
}

/** `pgbackstop-prod-writer-1f3a9b2c-77c0d1e2`: its owner and attempt. */
function uniqueName({ keyName, owner }: WantedKey): string {
  const ending = `-${createHash("sha256").update(owner).digest("hex").slice(0, 8)}-${randomBytes(4).toString("hex")}`;
  return `${keyName.slice(0, KEY_NAME_LENGTH_MAX - ending.length)}${ending}`;
}

async function makeKey(client: B2Client, wanted: WantedKey, fullKeyName: string, log: Log): Promise<MadeKey> {
  const { accountId } = await client.account();
  const { bucketIds, namePrefix, validDurationSeconds } = wanted;
  const body = {
    accountId,
    keyName: fullKeyName,
    capabilities: wanted.capabilities,
    ...(namePrefix === undefined ? {} : { namePrefix }),
    ...(validDurationSeconds === undefined ? {} : { validDurationInSeconds: validDurationSeconds }),
  };
  const [bucketId] = bucketIds;
  if (bucketIds.length === 1) {
    try {
      return madeKey(await client.call("b2_create_key", { ...body, bucketId }, { version: 3, repeatable: false }), 3);
    } catch (error) {
      if (!(error instanceof B2Error) || error.status !== 400 || isB2Error(error, ...SAME_AT_EVERY_VERSION))
        throw error;
      log(
        `key ${fullKeyName} was created with version 4 of the API, because version 3 refuses it (${error.code}): the console does not show it`,
      );
    }
  }
  return madeKey(await client.call("b2_create_key", { ...body, bucketIds }, { version: 4, repeatable: false }), 4);
}

async function deleteStrays(client: B2Client, fullKeyName: string): Promise<void> {
  try {
    for (const version of [4, 3] as const) {
      const keys = await listKeys(client, version).catch((error: unknown) => {
        // Without the right to list at version 3, no key could be created there either.
        if (version === 3 && error instanceof B2Error && error.status === 400) return [];
        throw error;
      });
      for (const key of keys) {
        if (textOf(key["keyName"]) === fullKeyName) await deleteKey(client, textOf(key["applicationKeyId"]));
      }
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `a key named ${fullKeyName} may exist, but the search for it failed: delete it in the console if it does (${reason})`,
      {
        cause: error,
      },
    );
  }
}

async function listKeys(client: B2Client, version: B2ApiVersion): Promise<B2Answer[]> {
  const { accountId } = await client.account();
  const keys: B2Answer[] = [];
  let start = "";
  for (let page = 0; page < PAGES_MAX; page++) {
    const from = start === "" ? {} : { startApplicationKeyId: start };
    const answer = await client.call("b2_list_keys", { accountId, maxKeyCount: PAGE_SIZE, ...from }, { version });
    keys.push(...listOf(answer["keys"]).map(objectOf));
    start = textOf(answer["nextApplicationKeyId"]);
    if (start === "") break;
  }
  return keys;
}

async function findKeyAt(client: B2Client, applicationKeyId: string, version: B2ApiVersion): Promise<B2Answer | null> {
  const { accountId } = await client.account();
  const answer = await client.call(
    "b2_list_keys",
    { accountId, maxKeyCount: 1, startApplicationKeyId: applicationKeyId },
    { version },
  );
  const [first] = listOf(answer["keys"]);
  return first !== undefined && objectOf(first)["applicationKeyId"] === applicationKeyId ? objectOf(first) : null;
}

/** If version 3 refuses to list, a missing version 4 key was certainly deleted; another key's state is unknown. */
async function findOldKey(
  client: B2Client,
  applicationKeyId: string,
  apiVersion: B2ApiVersion,
): Promise<B2Answer | null> {
  try {
    return await findKeyAt(client, applicationKeyId, 3);
  } catch (error) {
    if (apiVersion === 4 && error instanceof B2Error && error.status === 400) return null;
    throw error;
  }
}

function parseKey(answer: B2Answer): ExistingKey {
  const expires = answer["expirationTimestamp"];
  return {
    applicationKeyId: textOf(answer["applicationKeyId"]),
    fullKeyName: textOf(answer["keyName"]),
    expiresAtMs: typeof expires === "number" ? expires : null,
  };
}

function madeKey(answer: B2Answer, apiVersion: B2ApiVersion): MadeKey {
  const applicationKey = textOf(answer["applicationKey"]);
  const key = parseKey(answer);
  if (applicationKey === "" || key.applicationKeyId === "")
    throw answerError("b2_create_key", "applicationKey or applicationKeyId is missing");
  return { ...key, applicationKey, apiVersion };
}
