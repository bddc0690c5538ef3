/**
 * Buckets of Backblaze B2: created, adopted, changed, read and deleted, so that a lost answer or a second run does no
 * harm.
 *
 * A bucket stores its owner in its own info (`pgbackstop-owner`), because a failed call leaves only its name to find it
 * by. A bucket of that name with our mark is ours, one with another mark belongs to another program, and one without a
 * mark is adopted only on request. An adopted bucket is marked as such and never deleted. Settings that this client may
 * not read do not count as changed.
 *
 * Desired and found buckets have the same shape, so that a comparison shows the differences; deciding (`bucketChanges`)
 * is separate from acting.
 */
import { answerError, type B2Answer, type B2Client, isB2Error, listOf, objectOf, textOf } from "./b2Api";

export const OWNER_MARK = "pgbackstop-owner";
const ADOPTED_MARK = "pgbackstop-adopted";
const REVISION_TRIES_MAX = 3;
/** Limit of pairs in a bucket's info. */
const INFO_PAIRS_MAX = 10;
const PAGE_SIZE = 1_000;
const PAGES_MAX = 100_000;
const DELETES_AT_ONCE = 8;

/** Reports progress, one line. */
export type Log = (line: string) => void;

/** Whole days; a missing action never happens. */
export interface LifecycleRule {
  /** Prefix of the file names; empty for all. */
  readonly prefix: string;
  /** Overwritten and deleted versions are removed for good after this time. */
  readonly deleteHiddenAfterDays?: number;
  /** Unfinished large files are cancelled this long after their start. */
  readonly cancelUnfinishedAfterDays?: number;
  /** Found only, never set: it hides files by age, and a backup needs files of any age. */
  readonly hideUploadedAfterDays?: number;
}

export interface Retention {
  readonly mode: string;
  readonly days: number;
}

export interface BucketSettings {
  readonly lifecycleRules: readonly LifecycleRule[];
  readonly fileLockEnabled: boolean;
  /** Null: new files are not locked by default. */
  readonly defaultRetention: Retention | null;
}

export interface WantedBucket extends BucketSettings {
  readonly bucketName: string;
  /** The bucket's owner: project, stack and name of the resource. */
  readonly owner: string;
  /** Adopts an existing bucket without our mark. */
  readonly adopt: boolean;
  /** In an adopted bucket: our lifecycle rules replace all others. */
  readonly replaceLifecycleRules: boolean;
  /** Deletes all files with the bucket. */
  readonly forceDestroy: boolean;
}

export interface ExistingBucket {
  readonly bucketId: string;
  readonly bucketName: string;
  readonly isPrivate: boolean;
  readonly info: Readonly<Record<string, string>>;
  readonly lifecycleRules: readonly LifecycleRule[];
  /** Null if this client may not read it. */
  readonly fileLock: { readonly enabled: boolean; readonly defaultRetention: Retention | null } | null;
  readonly revision: number;
}

/** The record between changes. */
export interface KeptBucket {
  readonly adopted: boolean;
  /** Our last mark; differs from the desired one after a renaming. */
  readonly owner: string;
  /** Prefixes of our rules. */
  readonly prefixes: readonly string[];
  /** Our default retention. */
  readonly retention: Retention | null;
}

export interface MadeBucket {
  readonly bucket: ExistingBucket;
  readonly adopted: boolean;
}

/** Creates the bucket, or adopts an existing one. @throws Error with the remedy if another account has its name */
export async function createBucket(client: B2Client, wanted: WantedBucket, log: Log): Promise<MadeBucket> {
  const existing = wanted.adopt ? await findBucketByName(client, wanted.bucketName) : null;
  if (existing !== null) return takeOver(client, wanted, existing, log);
  if (wanted.adopt) {
    throw new Error(
      `there is no bucket "${wanted.bucketName}" that this key can see, so it cannot be adopted; create it, or check its name and the account`,
    );
  }
  const made = await makeBucket(client, wanted);
  const bucket = made ?? (await ownBucketOfName(client, wanted));
  const adopted = bucket.info[ADOPTED_MARK] !== undefined;
  return {
    bucket: await updateBucket(client, bucket.bucketId, wanted, { adopted, ...newlyKept(wanted) }),
    adopted,
  };
}

/** The bucket's state; null if it was deleted. */
export async function findBucket(client: B2Client, bucketId: string): Promise<ExistingBucket | null> {
  return findOne(client, { bucketId });
}

/**
 * Deletes the bucket, with its files only on request. An adopted one only loses our marks.
 * @throws Error if it is not empty, if files are locked, if it belongs to another program now
 */
export async function deleteBucket(
  client: B2Client,
  bucketId: string,
  { owner, adopted, forceDestroy }: { owner: string; adopted: boolean; forceDestroy: boolean },
  log: Log,
): Promise<void> {
  const bucket = await findBucket(client, bucketId);
  if (bucket === null) return;
  const marked = bucket.info[OWNER_MARK];
  if (marked !== undefined && marked !== owner) throw foreignBucket(bucket, marked, owner);
  if (adopted) {
    await releaseBucket(client, bucket, owner);
    log(`bucket ${bucket.bucketName} was taken over, not created here: it is kept unchanged`);
    return;
  }
  const { accountId } = await client.account();
  const remove = (): Promise<unknown> => client.call("b2_delete_bucket", { accountId, bucketId });
  try {
    await remove();
  } catch (error) {
    if (isB2Error(error, "bad_bucket_id")) return;
    if (!isB2Error(error, "cannot_delete_non_empty_bucket")) throw error;
    if (!forceDestroy) {
      throw new Error(
        `bucket "${bucket.bucketName}" is not empty (hidden versions and unfinished uploads count), so it is not deleted; empty it yourself, or set forceDestroy and run an update first`,
        { cause: error },
      );
    }
    if (marked === undefined) {
      throw new Error(
        `bucket "${bucket.bucketName}" has lost the mark ${OWNER_MARK}, so pgbackstop does not empty it; delete its files yourself`,
        {
          cause: error,
        },
      );
    }
    await emptyBucket(client, bucket, log);
    await remove();
  }
}

/**
 * The fields of b2_update_bucket that turn `found` into the desired state; empty without changes. Pure.
 * @throws Error if another program's rule for the same files is in the way
 */
export function bucketChanges(
  bucket: ExistingBucket,
  wanted: WantedBucket,
  kept: KeptBucket,
): Readonly<Record<string, unknown>> {
  const info = { ...bucket.info, [OWNER_MARK]: wanted.owner, ...(kept.adopted ? { [ADOPTED_MARK]: "yes" } : {}) };
  const rules = mergedRules(bucket, wanted, kept);
  return {
    ...(sameInfo(info, bucket.info) ? {} : { bucketInfo: info }),
    ...(bucket.isPrivate ? {} : { bucketType: "allPrivate" }),
    ...(sameRules(rules, bucket.lifecycleRules) ? {} : { lifecycleRules: rules.map(ruleBody) }),
    ...lockChanges(bucket.fileLock, wanted, kept),
  };
}

/** If the lock is unreadable, sends the desired one again. */
function lockChanges(
  lock: ExistingBucket["fileLock"],
  { fileLockEnabled, defaultRetention }: BucketSettings,
  { adopted, retention }: KeptBucket,
): Readonly<Record<string, unknown>> {
  const mayHave = (some: Retention | null): boolean => lock === null || sameRetention(lock.defaultRetention, some);
  // A retention in an adopted bucket that was never declared belongs to its creator.
  const wasOurs = adopted ? retention !== null && mayHave(retention) : fileLockEnabled;
  const isOurs = defaultRetention !== null || wasOurs;
  return {
    ...(fileLockEnabled && lock?.enabled !== true ? { fileLockEnabled: true } : {}),
    ...(isOurs && (lock === null || !sameRetention(lock.defaultRetention, defaultRetention))
      ? { defaultRetention: retentionBody(defaultRetention) }
      : {}),
  };
}

/**
 * The part of `found` that concerns us, in the shape of the desired state: omits others' rules in an adopted
 * bucket, and unreadable or undeclared settings. Equals the desired settings if nobody changed anything by hand. Pure.
 */
export function ownSettings(
  bucket: ExistingBucket,
  wanted: BucketSettings & { readonly replaceLifecycleRules: boolean },
  adopted: boolean,
): BucketSettings {
  const prefixes = wanted.lifecycleRules.map((rule) => rule.prefix);
  const isOurs = (rule: LifecycleRule): boolean =>
    !adopted || wanted.replaceLifecycleRules || prefixes.includes(rule.prefix);
  const lock = bucket.fileLock;
  return {
    lifecycleRules: bucket.lifecycleRules.filter(isOurs),
    // Object lock cannot be turned off, so one that was set by hand is no change to undo.
    fileLockEnabled: lock === null || !wanted.fileLockEnabled ? wanted.fileLockEnabled : lock.enabled,
    defaultRetention:
      lock === null || (wanted.defaultRetention === null && (adopted || !wanted.fileLockEnabled))
        ? wanted.defaultRetention
        : lock.defaultRetention,
  };
}

/** True if both are equal, in any order of rules. */
export function sameSettings(left: BucketSettings, right: BucketSettings): boolean {
  return (
    sameRules(left.lifecycleRules, right.lifecycleRules) &&
    left.fileLockEnabled === right.fileLockEnabled &&
    sameRetention(left.defaultRetention, right.defaultRetention)
  );
}

function newlyKept({ owner }: WantedBucket): Omit<KeptBucket, "adopted"> {
  return { owner, prefixes: [], retention: null };
}

async function takeOver(client: B2Client, wanted: WantedBucket, bucket: ExistingBucket, log: Log): Promise<MadeBucket> {
  const owner = bucket.info[OWNER_MARK];
  if (owner !== undefined && owner !== wanted.owner) throw foreignBucket(bucket, owner, wanted.owner);
  // We created it, even if the state lost it.
  const adopted = owner === undefined || bucket.info[ADOPTED_MARK] !== undefined;
  if (!bucket.isPrivate) {
    throw new Error(
      `bucket "${bucket.bucketName}" is public, so anyone could read the backups; make it private first, then adopt it`,
    );
  }
  const changed = await updateBucket(client, bucket.bucketId, wanted, { adopted, ...newlyKept(wanted) });
  log(`took over bucket ${bucket.bucketName}`);
  return { bucket: changed, adopted };
}

/** The new bucket; null if the name exists. */
async function makeBucket(client: B2Client, wanted: WantedBucket): Promise<ExistingBucket | null> {
  const { accountId } = await client.account();
  try {
    // Repeatable: the mark shows whether an earlier attempt succeeded.
    const answer = await client.call("b2_create_bucket", {
      accountId,
      bucketName: wanted.bucketName,
      bucketType: "allPrivate",
      bucketInfo: { [OWNER_MARK]: wanted.owner },
      lifecycleRules: wanted.lifecycleRules.map(ruleBody),
      ...(wanted.fileLockEnabled ? { fileLockEnabled: true } : {}),
    });
    return parseBucket(answer);
  } catch (error) {
    if (isB2Error(error, "duplicate_bucket_name")) return null;
    throw error;
  }
}

/** The bucket of that name, from an earlier attempt of ours. @throws Error with the remedy if it was not ours */
async function ownBucketOfName(client: B2Client, { bucketName, owner }: WantedBucket): Promise<ExistingBucket> {
  const bucket = await findBucketByName(client, bucketName);
  if (bucket === null) {
    throw new Error(
      `the bucket name "${bucketName}" is taken by another account: all Backblaze customers share one namespace; choose another name`,
    );
  }
  const marked = bucket.info[OWNER_MARK];
  if (marked === undefined) {
    throw new Error(
      `a bucket "${bucketName}" exists already in this account and was not created here; to use it set bucket: { existing: { name: "${bucketName}" } } (adopt: true of B2Bucket)`,
    );
  }
  if (marked !== owner) throw foreignBucket(bucket, marked, owner);
  return bucket;
}

/**
 * Updates our existing bucket: reads, decides, changes; repeats after a concurrent change.
 * @throws Error if it was deleted or now belongs to another program
 */
export async function updateBucket(
  client: B2Client,
  bucketId: string,
  wanted: WantedBucket,
  kept: KeptBucket,
): Promise<ExistingBucket> {
  const { accountId } = await client.account();
  for (let tries = 1; ; tries++) {
    const bucket = await findBucket(client, bucketId);
    if (bucket === null)
      throw new Error(`bucket "${wanted.bucketName}" is gone: run a refresh, then an update to create it again`);
    const marked = bucket.info[OWNER_MARK];
    if (marked !== undefined && marked !== wanted.owner && marked !== kept.owner)
      throw foreignBucket(bucket, marked, wanted.owner);
    const changes = bucketChanges(bucket, wanted, kept);
    if (Object.keys(changes).length === 0) return bucket;
    if (Object.keys(objectOf(changes["bucketInfo"])).length > INFO_PAIRS_MAX) {
      throw new Error(
        `bucket "${bucket.bucketName}" has ${Object.keys(bucket.info).length} pairs of info: remove one to make space for the mark`,
      );
    }
    try {
      return parseBucket(
        await client.call("b2_update_bucket", { accountId, bucketId, ...changes, ifRevisionIs: bucket.revision }),
      );
    } catch (error) {
      // After a lost answer to our own change too, the next reading shows the change.
      if (!isB2Error(error, "conflict") || tries >= REVISION_TRIES_MAX) throw error;
    }
  }
}

async function releaseBucket(client: B2Client, bucket: ExistingBucket, owner: string): Promise<void> {
  const { accountId } = await client.account();
  const { bucketId } = bucket;
  for (let tries = 1; ; tries++) {
    const current = tries === 1 ? bucket : await findBucket(client, bucketId);
    if (current === null || current.info[OWNER_MARK] !== owner) return;
    const { [OWNER_MARK]: _owner, [ADOPTED_MARK]: _adopted, ...bucketInfo } = current.info;
    try {
      await client.call("b2_update_bucket", { accountId, bucketId, bucketInfo, ifRevisionIs: current.revision });
      return;
    } catch (error) {
      if (!isB2Error(error, "conflict") || tries >= REVISION_TRIES_MAX) throw error;
    }
  }
}

/** Deletes every version and every unfinished upload. @throws B2Error access_denied when object lock keeps one */
async function emptyBucket(client: B2Client, { bucketId, bucketName }: ExistingBucket, log: Log): Promise<void> {
  log(`emptying bucket ${bucketName} because forceDestroy is set`);
  let start: object = {};
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer = await client.call("b2_list_unfinished_large_files", { bucketId, maxFileCount: 100, ...start });
    for (const file of listOf(answer["files"])) {
      await ignoring(
        client.call("b2_cancel_large_file", { fileId: textOf(objectOf(file)["fileId"]) }),
        "bad_request",
        "file_not_present",
      );
    }
    if (textOf(answer["nextFileId"]) === "") break;
    start = { startFileId: answer["nextFileId"] };
  }
  let deleted = 0;
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer = await client.call("b2_list_file_versions", { bucketId, maxFileCount: PAGE_SIZE });
    const files = listOf(answer["files"]).map(objectOf);
    if (files.length === 0) break;
    for (let index = 0; index < files.length; index += DELETES_AT_ONCE) {
      const removals = files.slice(index, index + DELETES_AT_ONCE).map((file) => {
        const names = { fileName: textOf(file["fileName"]), fileId: textOf(file["fileId"]) };
        return ignoring(client.call("b2_delete_file_version", names), "file_not_present");
      });
      await Promise.all(removals);
    }
    deleted += files.length;
  }
  log(`deleted ${deleted} ${deleted === 1 ? "version" : "versions"} from bucket ${bucketName}`);
}

async function ignoring(work: Promise<unknown>, ...codes: readonly string[]): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isB2Error(error, ...codes)) throw error;
  }
}

/** Keeps others' rules in an adopted bucket, unless ours replace them. */
function mergedRules(bucket: ExistingBucket, wanted: WantedBucket, kept: KeptBucket): readonly LifecycleRule[] {
  if (!kept.adopted || wanted.replaceLifecycleRules) return wanted.lifecycleRules;
  const ours = new Set([...kept.prefixes, ...wanted.lifecycleRules.map((rule) => rule.prefix)]);
  const others = bucket.lifecycleRules.filter((rule) => !ours.has(rule.prefix));
  for (const other of others) {
    const rule = wanted.lifecycleRules.find(
      ({ prefix }) => prefix.startsWith(other.prefix) || other.prefix.startsWith(prefix),
    );
    if (rule === undefined) continue;
    const harm =
      other.hideUploadedAfterDays === undefined
        ? ""
        : ` and hides files ${other.hideUploadedAfterDays} days after their upload`;
    throw new Error(
      `bucket "${bucket.bucketName}" has a lifecycle rule for "${other.prefix}" that covers "${rule.prefix}"${harm}, and Backblaze allows one rule per file: remove it, or let ours replace it (replaceLifecycleRules)`,
    );
  }
  return [...others, ...wanted.lifecycleRules];
}

function foreignBucket(bucket: ExistingBucket, marked: string, owner: string): Error {
  const fact = `bucket "${bucket.bucketName}" belongs to "${marked}" according to its info`;
  const former = formerName(marked, owner);
  return new Error(
    former === null
      ? `${fact}: two programs would undo each other's settings; if that one is gone, remove ${OWNER_MARK} from the bucket's info`
      : `${fact}, a resource of this stack: if it was renamed, add the option { aliases: [{ name: "${former}" }] }, and it keeps its bucket, keys and passphrase`,
  );
}

/** The name that `marked` had in the stack of `owner`: a repository's, for the bucket of one. Null in another stack. */
function formerName(marked: string, owner: string): string | null {
  const [stack, former] = [owner, marked].map((text) => text.split("/").slice(0, 2).join("/"));
  if (stack !== former) return null;
  const [name, before] = [owner, marked].map((text) => text.split("/").slice(2).join("/"));
  const ofRepository = /-bucket$/;
  const isBoth = ofRepository.test(name ?? "") && ofRepository.test(before ?? "");
  return isBoth ? (before ?? "").replace(ofRepository, "") : (before ?? "");
}

async function findBucketByName(client: B2Client, bucketName: string): Promise<ExistingBucket | null> {
  return findOne(client, { bucketName });
}

async function findOne(
  client: B2Client,
  which: { bucketId: string } | { bucketName: string },
): Promise<ExistingBucket | null> {
  const { accountId } = await client.account();
  try {
    const answer = await client.call("b2_list_buckets", { accountId, ...which, bucketTypes: ["all"] });
    const [bucket] = listOf(answer["buckets"]);
    return bucket === undefined ? null : parseBucket(objectOf(bucket));
  } catch (error) {
    if (isB2Error(error, "bad_bucket_id")) return null;
    throw error;
  }
}

function parseBucket(answer: B2Answer): ExistingBucket {
  const bucketId = textOf(answer["bucketId"]);
  const { revision } = answer;
  if (bucketId === "" || typeof revision !== "number")
    throw answerError("b2_list_buckets", "a bucket without bucketId or revision");
  const lock = objectOf(answer["fileLockConfiguration"]);
  const value = objectOf(lock["value"]);
  return {
    bucketId,
    bucketName: textOf(answer["bucketName"]),
    isPrivate: answer["bucketType"] === "allPrivate",
    info: Object.fromEntries(Object.entries(objectOf(answer["bucketInfo"])).map(([key, text]) => [key, textOf(text)])),
    lifecycleRules: listOf(answer["lifecycleRules"]).map((rule) => parseRule(objectOf(rule))),
    fileLock:
      lock["isClientAuthorizedToRead"] === true
        ? {
            enabled: value["isFileLockEnabled"] === true,
            defaultRetention: parseRetention(objectOf(value["defaultRetention"])),
          }
        : null,
    revision,
  };
}

/** "No retention" comes as `{ mode: null, period: null }`; years are days. */
function parseRetention(answer: B2Answer): Retention | null {
  const mode = textOf(answer["mode"]);
  const period = objectOf(answer["period"]);
  const { duration } = period;
  if (mode === "" || mode === "none" || typeof duration !== "number") return null;
  return { mode, days: period["unit"] === "years" ? duration * 365 : duration };
}

function retentionBody(retention: Retention | null): object {
  return retention === null
    ? { mode: null }
    : { mode: retention.mode, period: { duration: retention.days, unit: "days" } };
}

const RULE_FIELDS = [
  ["deleteHiddenAfterDays", "daysFromHidingToDeleting"],
  ["hideUploadedAfterDays", "daysFromUploadingToHiding"],
  ["cancelUnfinishedAfterDays", "daysFromStartingToCancelingUnfinishedLargeFiles"],
] as const;

function parseRule(answer: B2Answer): LifecycleRule {
  const days = RULE_FIELDS.flatMap(([name, field]) => {
    const value = answer[field];
    return typeof value === "number" ? [[name, value] as const] : [];
  });
  return { prefix: textOf(answer["fileNamePrefix"]), ...Object.fromEntries(days) };
}

function ruleBody(rule: LifecycleRule): object {
  return {
    fileNamePrefix: rule.prefix,
    ...Object.fromEntries(RULE_FIELDS.map(([name, field]) => [field, rule[name] ?? null])),
  };
}

function ruleText(rule: LifecycleRule): string {
  return JSON.stringify(ruleBody(rule));
}

function sameRules(left: readonly LifecycleRule[], right: readonly LifecycleRule[]): boolean {
  return left.map(ruleText).sort().join("\n") === right.map(ruleText).sort().join("\n");
}

function sameRetention(left: Retention | null, right: Retention | null): boolean {
  return left?.mode === right?.mode && left?.days === right?.days;
}

function sameInfo(left: Readonly<Record<string, string>>, right: Readonly<Record<string, string>>): boolean {
  const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...keys].every((key) => left[key] === right[key]);
}
