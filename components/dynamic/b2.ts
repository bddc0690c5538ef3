/**
 * The engine's methods for B2Bucket and B2ApplicationKey, in the dynamic provider's process. Translates between the
 * resources' properties and cloud/, and keeps the session.
 *
 * Credentials are configuration (`b2:applicationKeyId`, `b2:applicationKey`, else B2_APPLICATION_KEY_ID,
 * B2_APPLICATION_KEY), never an input: they are not in the state, and changing them changes no resource. Outputs share
 * the names of their inputs: they hold the values that were found, and a difference is an update. In a preview, unknown
 * inputs are a marker, which neither check nor diff judges.
 *
 * A method's state may come from an older or a newer version of this package (docs/upgrading.md): missing parts count
 * as empty.
 */
import { type B2ApiVersion, B2Client } from "../cloud/b2Api";
import {
  createBucket,
  deleteBucket,
  findBucket,
  type ExistingBucket,
  type LifecycleRule,
  OWNER_MARK,
  ownSettings,
  type Retention,
  sameSettings,
  type Log,
  updateBucket,
  type WantedBucket,
} from "../cloud/b2Buckets";
import { createKey, deleteKey, findKey, type WantedKey } from "../cloud/b2Keys";
import { given } from "../../runtime/base/given";
import { hasUnknown, isUnknown } from "./previewValues";

export interface BucketInputs {
  readonly bucketName: string;
  readonly owner: string;
  readonly lifecycleRules?: readonly LifecycleRule[];
  readonly fileLockEnabled?: boolean;
  readonly defaultRetention?: Retention;
  readonly adopt?: boolean;
  readonly replaceLifecycleRules?: boolean;
  readonly forceDestroy?: boolean;
}

/** The inputs with the values found, and B2's own facts. */
export interface BucketOutputs extends BucketInputs {
  bucketId: string;
  accountId: string;
  /** Host name for S3. */
  s3Endpoint: string;
  s3Region: string;
  /** True for an adopted bucket, which is never deleted. */
  adopted: boolean;
  /** False if somebody made it public. */
  isPrivate: boolean;
  /** The mark that was found; empty if absent. */
  foundOwner: string;
}

/** The engine's state of a bucket; an older state may have only a part. */
export type BucketState = BucketInputs & Partial<BucketOutputs>;

export interface KeyInputs extends WantedKey {
  readonly rotationTrigger?: string;
}

export interface KeyOutputs extends KeyInputs {
  applicationKeyId: string;
  applicationKey: string;
  fullKeyName: string;
  apiVersion: B2ApiVersion;
  expiresAtMs: number | null;
  /** Absent in an older state. */
  accountId?: string;
}

export interface CheckFailure {
  readonly property: string;
  readonly reason: string;
}
export interface Checked<T> {
  readonly inputs: T;
  readonly failures: CheckFailure[];
}
export interface Difference {
  readonly changes: boolean;
  readonly replaces: string[];
  readonly deleteBeforeReplace: boolean;
}

export interface SignInSettings {
  readonly get: (key: string) => string | undefined;
}

/** Longest default lock that Backblaze allows. */
const RETENTION_DAYS_MAX = 3_000;
const LIFECYCLE_RULES_MAX = 100;
/** Just below 1000 days. */
const KEY_SECONDS_MAX = 86_399_999;
const RETENTION_MODES = ["governance", "compliance"];

/** Capabilities that a key of single buckets can have; the others concern the whole account. */
export const BUCKET_CAPABILITIES: readonly string[] = (
  "listBuckets listAllBucketNames readBuckets listFiles readFiles shareFiles writeFiles deleteFiles " +
  "readBucketEncryption writeBucketEncryption readBucketRetentions writeBucketRetentions readFileRetentions " +
  "writeFileRetentions readFileLegalHolds writeFileLegalHolds bypassGovernance readBucketReplications " +
  "writeBucketReplications readBucketNotifications writeBucketNotifications readBucketLogging writeBucketLogging " +
  "readBucketLifecycleRules writeBucketLifecycleRules"
).split(" ");

/** The session. The engine configures each process once, before anything else; the processes are short. */
let signIn: { readonly text: string; readonly client: B2Client | Error } | null = null;

/**
 * Takes the credentials from the stack's configuration or the environment. Errors appear when they are first needed.
 */
export async function configure(
  settings: SignInSettings,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<void> {
  const id = settings.get("b2:applicationKeyId");
  const key = settings.get("b2:applicationKey");
  const isConfigured = id !== undefined || key !== undefined;
  const applicationKeyId = isConfigured ? id : environment["B2_APPLICATION_KEY_ID"];
  const applicationKey = isConfigured ? key : environment["B2_APPLICATION_KEY"];
  const endpoint = settings.get("b2:endpoint") ?? environment["B2_ENDPOINT"];
  const text = JSON.stringify([applicationKeyId, applicationKey, endpoint]);
  if (signIn?.text === text) return;
  signIn = { text, client: openClient(applicationKeyId, applicationKey, endpoint) };
}

/** {@link configure}, as the plugin calls it. */
export function configureProvider({ config }: { readonly config: SignInSettings }): Promise<void> {
  return configure(config);
}

function openClient(
  applicationKeyId: string | undefined,
  applicationKey: string | undefined,
  endpoint: string | undefined,
): B2Client | Error {
  const missing = [
    ...(applicationKeyId ? [] : ["b2:applicationKeyId"]),
    ...(applicationKey ? [] : ["b2:applicationKey"]),
  ];
  if (!applicationKeyId || !applicationKey) {
    const remedy =
      "set it with pulumi config set --secret, or set B2_APPLICATION_KEY_ID and B2_APPLICATION_KEY in the environment";
    return new Error(`not signed in to Backblaze B2: ${missing.join(" and ")} is missing; ${remedy}`);
  }
  try {
    return new B2Client({ applicationKeyId, applicationKey, ...given({ endpoint }) });
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function loadClient(): B2Client {
  if (signIn === null) throw new Error("not signed in to Backblaze B2");
  if (signIn.client instanceof Error) throw signIn.client;
  return signIn.client;
}

/**
 * {@link loadClient}, for what the state has: another account shows none of it, so it would count as deleted.
 * @throws Error if this is another account
 */
async function clientOf(accountId: string | undefined): Promise<B2Client> {
  const client = loadClient();
  const signedIn = await client.account();
  if (accountId !== undefined && accountId !== signedIn.accountId) {
    throw new Error(
      `this belongs to the Backblaze account ${accountId}, but b2:applicationKeyId is a key of ${signedIn.accountId}: sign in to the former; if it is closed for good, remove the resource with pulumi state delete`,
    );
  }
  return client;
}

export async function bucketCheck(olds: Partial<BucketInputs>, news: BucketInputs): Promise<Checked<BucketInputs>> {
  const rules = known(news.lifecycleRules) ?? [];
  const retention = known(news.defaultRetention);
  return {
    inputs: news,
    failures: [
      ...checkBucketName(known(news.bucketName)),
      ...(rules.length > LIFECYCLE_RULES_MAX
        ? [{ property: "lifecycleRules", reason: `${rules.length} rules: Backblaze allows ${LIFECYCLE_RULES_MAX}` }]
        : []),
      ...rules.flatMap((rule, index) => checkRule(rule, rules, index)),
      ...(retention === undefined ? [] : checkRetention(retention, known(news.fileLockEnabled))),
      ...(olds.fileLockEnabled === true && !(news.fileLockEnabled ?? false)
        ? [
            {
              property: "fileLockEnabled",
              reason:
                "Backblaze cannot disable a bucket's object lock: leave it on, and remove defaultRetention to stop locking new files",
            },
          ]
        : []),
    ],
  };
}

/** A new name means a new bucket; everything else is changed in place. */
export async function bucketDiff(_id: string, olds: Partial<BucketOutputs>, news: BucketInputs): Promise<Difference> {
  const replaces = isUnknown(news.bucketName) || olds.bucketName === news.bucketName ? [] : ["bucketName"];
  const changes =
    replaces.length > 0 ||
    hasUnknown(news) ||
    !sameSettings(settingsOf(olds), settingsOf(news)) ||
    olds.isPrivate === false ||
    olds.owner !== news.owner ||
    (olds.foundOwner !== undefined && olds.foundOwner !== news.owner) ||
    FLAGS.some((flag) => (olds[flag] ?? false) !== (news[flag] ?? false));
  return { changes, replaces, deleteBeforeReplace: false };
}

export async function bucketCreate(inputs: BucketInputs): Promise<{ id: string; outs: BucketOutputs }> {
  const client = loadClient();
  const { bucket, adopted } = await createBucket(client, wantedBucket(inputs), log);
  const outs = await bucketOutputs(client, inputs, bucket, adopted);
  // Includes the endpoint: previews of a change know only the id, and databases need both.
  return { id: `${outs.s3Endpoint}/${bucket.bucketId}`, outs };
}

export async function bucketUpdate(
  id: string,
  olds: Partial<BucketOutputs>,
  news: BucketInputs,
): Promise<{ outs: BucketOutputs }> {
  const client = await clientOf(olds.accountId);
  // A bucket once adopted is never deleted, whatever is declared later.
  const adopted = olds.adopted === true || news.adopt === true;
  const prefixes = (olds.lifecycleRules ?? []).map((rule) => rule.prefix);
  const existing = await updateBucket(client, bucketIdOf(id), wantedBucket(news), {
    adopted,
    owner: olds.owner ?? news.owner,
    prefixes,
    retention: olds.defaultRetention ?? null,
  });
  return { outs: await bucketOutputs(client, news, existing, adopted) };
}

/** The true state; an empty id if the bucket no longer exists. Manual changes become found values and are reported. */
export async function bucketRead(
  id: string,
  props: Partial<BucketOutputs> = {},
): Promise<{ id: string; props?: BucketOutputs; inputs?: BucketInputs }> {
  const client = await clientOf(props.accountId);
  const existing = await findBucket(client, bucketIdOf(id));
  if (existing === null) {
    log(`bucket ${props.bucketName ?? id} is gone`);
    return { id: "" };
  }
  const adopted = props.adopted ?? true;
  const inputs = {
    ...inputsOf(props),
    bucketName: existing.bucketName,
    owner: props.owner ?? existing.info[OWNER_MARK] ?? "",
  };
  const outputs = await bucketOutputs(client, inputs, existing, adopted);
  for (const line of bucketDrift(inputs, outputs)) log(`changed by hand: bucket ${existing.bucketName}: ${line}`);
  return { id, props: outputs, inputs: inputsOf(outputs) };
}

export async function bucketDelete(id: string, props: Partial<BucketOutputs>): Promise<void> {
  // Without proof that we created the bucket, do not delete it.
  const { owner = "", adopted = true, forceDestroy = false } = props;
  await deleteBucket(await clientOf(props.accountId), bucketIdOf(id), { owner, adopted, forceDestroy }, log);
}

export async function keyCheck(_olds: Partial<KeyInputs>, news: KeyInputs): Promise<Checked<KeyInputs>> {
  const capabilities = known(news.capabilities) ?? BUCKET_CAPABILITIES;
  const seconds = known(news.validDurationSeconds);
  const wrong = capabilities.filter((name) => !isUnknown(name) && !BUCKET_CAPABILITIES.includes(name));
  const failures: CheckFailure[] = [];
  const fail = (property: string, reason: string): void => void failures.push({ property, reason });
  if (!isUnknown(news.keyName) && !/^[A-Za-z0-9-]{1,80}$/.test(news.keyName)) {
    fail("keyName", `"${news.keyName}" is not a name for a key: use 1 to 80 letters, digits and hyphens`);
  }
  if (capabilities.length === 0) fail("capabilities", "a key without capabilities can do nothing");
  if (wrong.length > 0) fail("capabilities", `${wrong.join(", ")} are not allowed for a key restricted to buckets`);
  if (!isUnknown(news.bucketIds) && (news.bucketIds ?? []).length === 0) {
    fail("bucketIds", "a key without buckets could access all of them: name at least one");
  }
  if (seconds !== undefined && !isWithin(seconds, 1, KEY_SECONDS_MAX)) {
    fail("validDurationSeconds", `${seconds} is outside 1 to ${KEY_SECONDS_MAX} (below 1000 days)`);
  }
  return { inputs: news, failures };
}

/**
 * Keys cannot be changed: any difference creates a new one, and the old one is deleted once all users have the new one.
 * Another name is no difference: a rename must not replace the key of a running database.
 */
export async function keyDiff(_id: string, olds: Partial<KeyOutputs>, news: KeyInputs): Promise<Difference> {
  const same: Readonly<Record<string, boolean>> = {
    capabilities: sameSet(olds.capabilities, news.capabilities),
    bucketIds: sameSet(olds.bucketIds, news.bucketIds),
    namePrefix: (olds.namePrefix ?? "") === (news.namePrefix ?? ""),
    validDurationSeconds: (olds.validDurationSeconds ?? 0) === (news.validDurationSeconds ?? 0),
    rotationTrigger: (olds.rotationTrigger ?? "") === (news.rotationTrigger ?? ""),
  };
  const replaces = Object.keys(same).filter(
    (name) => same[name] !== true && !hasUnknown(news[name as keyof KeyInputs]),
  );
  return { changes: replaces.length > 0 || hasUnknown(news), replaces, deleteBeforeReplace: false };
}

export async function keyCreate(inputs: KeyInputs): Promise<{ id: string; outs: KeyOutputs }> {
  const bucketIds = [...new Set(inputs.bucketIds)].sort();
  const client = loadClient();
  const { accountId } = await client.account();
  const made = await createKey(
    client,
    { ...inputs, bucketIds, capabilities: [...new Set(inputs.capabilities)].sort() },
    log,
  );
  return { id: made.applicationKeyId, outs: { ...keyInputsOf(inputs), ...made, accountId } };
}

/** A key whose bucket proved to be the same one: nothing to do. */
export async function keyUpdate(_id: string, olds: KeyOutputs, news: KeyInputs): Promise<{ outs: KeyOutputs }> {
  return { outs: { ...olds, ...keyInputsOf(news) } };
}

/** Checks that it still exists; the secret comes from the state, since B2 does not return it again. */
export async function keyRead(id: string, props?: KeyOutputs): Promise<{ id: string; props?: KeyOutputs }> {
  if (props?.applicationKey === undefined)
    throw new Error("a key cannot be imported: Backblaze shows its secret only once");
  const existing = await findKey(await clientOf(props.accountId), id, props.apiVersion ?? 4);
  if (existing === null) {
    log(`key ${props.fullKeyName ?? id} is gone`);
    return { id: "" };
  }
  return { id, props: { ...props, ...existing } };
}

export async function keyDelete(id: string, props: Partial<KeyOutputs> = {}): Promise<void> {
  await deleteKey(await clientOf(props.accountId), id);
}

const FLAGS = ["adopt", "replaceLifecycleRules", "forceDestroy"] as const;

/** The bucket's own id, out of the resource's: `s3.eu-central-003.backblazeb2.com/4a48fe8875c6214145260818`. */
function bucketIdOf(id: string): string {
  return id.split("/").at(-1) ?? id;
}

function checkBucketName(name: string | undefined): CheckFailure[] {
  if (name === undefined) return [];
  const isName =
    /^[a-z0-9][a-z0-9.-]{4,61}[a-z0-9]$/.test(name) &&
    !name.includes("..") &&
    !/^[0-9.]+$/.test(name) &&
    !name.startsWith("b2-");
  if (isName) return [];
  return [
    {
      property: "bucketName",
      // The text does not quote the value: the engine names the property, and the value may be secret.
      reason:
        "this is not a name for a bucket: use 6 to 63 lower-case letters, digits, dots and hyphens, not beginning with b2-",
    },
  ];
}

function checkRule(rule: LifecycleRule, rules: readonly LifecycleRule[], index: number): CheckFailure[] {
  if (isUnknown(rule) || hasUnknown(rule)) return [];
  const property = `lifecycleRules[${index}]`;
  const days = [rule.deleteHiddenAfterDays, rule.cancelUnfinishedAfterDays].filter((value) => value !== undefined);
  const other = rules
    .slice(0, index)
    .find((each) => !hasUnknown(each) && (each.prefix.startsWith(rule.prefix) || rule.prefix.startsWith(each.prefix)));
  return [
    ...(rule.hideUploadedAfterDays === undefined
      ? []
      : [
          {
            property,
            reason:
              "hideUploadedAfterDays hides files because of their age: a backup needs files of any age, old WAL included",
          },
        ]),
    ...(days.length === 0 || !days.every((value) => isWithin(value, 1, Number.MAX_SAFE_INTEGER))
      ? [{ property, reason: "a rule needs deleteHiddenAfterDays or cancelUnfinishedAfterDays, whole days from 1" }]
      : []),
    ...(other === undefined
      ? []
      : [{ property, reason: "another rule covers the same files: Backblaze allows one rule per file" }]),
  ];
}

function checkRetention(retention: Retention, fileLockEnabled: boolean | undefined): CheckFailure[] {
  const property = "defaultRetention";
  if (hasUnknown(retention)) return [];
  return [
    ...(RETENTION_MODES.includes(retention.mode)
      ? []
      : [{ property, reason: `mode "${retention.mode}" is not one of ${RETENTION_MODES.join(", ")}` }]),
    ...(isWithin(retention.days, 1, RETENTION_DAYS_MAX)
      ? []
      : [{ property, reason: `${retention.days} days are outside 1 to ${RETENTION_DAYS_MAX}` }]),
    ...(fileLockEnabled === true ? [] : [{ property, reason: "a retention needs fileLockEnabled" }]),
  ];
}

function wantedBucket(inputs: BucketInputs): WantedBucket {
  return {
    ...settingsOf(inputs),
    bucketName: inputs.bucketName,
    owner: inputs.owner,
    adopt: inputs.adopt ?? false,
    replaceLifecycleRules: inputs.replaceLifecycleRules ?? false,
    forceDestroy: inputs.forceDestroy ?? false,
  };
}

function settingsOf(inputs: Partial<BucketInputs>): {
  lifecycleRules: readonly LifecycleRule[];
  fileLockEnabled: boolean;
  defaultRetention: Retention | null;
} {
  return {
    lifecycleRules: inputs.lifecycleRules ?? [],
    fileLockEnabled: inputs.fileLockEnabled ?? false,
    defaultRetention: inputs.defaultRetention ?? null,
  };
}

/** The inputs among the outputs, in a program's form. */
function inputsOf(props: Partial<BucketInputs>): BucketInputs {
  const { bucketName = "", owner = "", lifecycleRules, fileLockEnabled, defaultRetention } = props;
  return {
    bucketName,
    owner,
    ...given({ lifecycleRules, fileLockEnabled }),
    ...(defaultRetention === undefined || defaultRetention === null ? {} : { defaultRetention }),
    ...Object.fromEntries(FLAGS.flatMap((flag) => (props[flag] === undefined ? [] : [[flag, props[flag]]]))),
  };
}

async function bucketOutputs(
  client: B2Client,
  inputs: BucketInputs,
  existing: ExistingBucket,
  adopted: boolean,
): Promise<BucketOutputs> {
  const { accountId, s3Endpoint, s3Region } = await client.account();
  const own = ownSettings(existing, wantedBucket(inputs), adopted);
  const { defaultRetention: _wanted, ...others } = inputsOf(inputs);
  return {
    ...others,
    bucketName: existing.bucketName,
    ...(others.lifecycleRules === undefined && own.lifecycleRules.length === 0
      ? {}
      : { lifecycleRules: own.lifecycleRules }),
    ...(others.fileLockEnabled === undefined && !own.fileLockEnabled ? {} : { fileLockEnabled: own.fileLockEnabled }),
    ...(own.defaultRetention === null ? {} : { defaultRetention: own.defaultRetention }),
    bucketId: existing.bucketId,
    accountId,
    s3Endpoint,
    s3Region,
    adopted,
    isPrivate: existing.isPrivate,
    foundOwner: existing.info[OWNER_MARK] ?? "",
  };
}

/** Differences between the state and the bucket, one per line. */
function bucketDrift(before: BucketInputs, after: BucketOutputs): string[] {
  const [was, is] = [settingsOf(before), settingsOf(after)];
  const names = ["lifecycleRules", "fileLockEnabled", "defaultRetention"] as const;
  const differing = names.filter((name) => !sameSettings({ ...was, [name]: is[name] }, was));
  return [
    ...differing.map((name) => `${name} ${JSON.stringify(was[name])} → ${JSON.stringify(is[name])}`),
    ...(after.isPrivate ? [] : ["it is public"]),
    ...(after.foundOwner === before.owner
      ? []
      : [after.foundOwner === "" ? "its mark is gone" : `its mark names "${after.foundOwner}"`]),
  ];
}

function keyInputsOf(inputs: KeyInputs): KeyInputs {
  const { keyName, owner, capabilities, bucketIds, namePrefix, validDurationSeconds, rotationTrigger } = inputs;
  return {
    keyName,
    owner,
    capabilities,
    bucketIds,
    ...given({ namePrefix, validDurationSeconds, rotationTrigger }),
  };
}

function sameSet(left: readonly string[] | undefined, right: readonly string[] | undefined): boolean {
  return JSON.stringify([...new Set(left)].sort()) === JSON.stringify([...new Set(right)].sort());
}

/** The value; undefined while it is unknown. */
function known<T>(value: T | undefined): T | undefined {
  return isUnknown(value) ? undefined : value;
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

/** The engine shows the provider's standard output line by line. */
const log: Log = (line) => {
  process.stdout.write(`${line}\n`);
};
