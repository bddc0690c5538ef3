/**
 * A double of Backblaze B2's native API for tests: an HTTP server on loopback. It follows the documentation of versions
 * 3 and 4 for accounts, buckets and application keys, and for files as far as deleting them needs. It stores no
 * contents.
 *
 * It implements capabilities and restrictions of keys, expiring tokens, revisions, the rules for lifecycle and object
 * lock, what a key may read, and which kind of key each API version serves. Faults wait in one queue per operation.
 * Every fault must happen: stop() throws when one did not.
 */
import { randomBytes, randomInt } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type B2Fault =
  /** The server refuses the call with this answer and changes nothing. */
  | {
      readonly kind: "refuse";
      readonly status: number;
      readonly code: string;
      readonly message?: string;
      readonly retryAfter?: string;
      /** Applies only to calls of this API version. */
      readonly version?: number;
    }
  /** The connection breaks before the server does anything. */
  | { readonly kind: "break" }
  /** The server executes the call, then the connection breaks before the answer. */
  | { readonly kind: "loseAnswer" }
  /** The server executes the call, then a proxy answers 502 with a page. */
  | { readonly kind: "badGateway" }
  /** The token of the call has just expired. */
  | { readonly kind: "expireToken" }
  /** Someone else changes the bucket just before the call, so its revision differs. */
  | { readonly kind: "race" };

export interface B2Bucket {
  readonly bucketId: string;
  bucketName: string;
  bucketType: string;
  bucketInfo: Record<string, string>;
  lifecycleRules: LifecycleRuleBody[];
  fileLockEnabled: boolean;
  defaultRetention: { mode: string | null; period: { duration: number; unit: string } | null };
  revision: number;
  files: B2File[];
}

export interface B2File {
  readonly fileId: string;
  readonly fileName: string;
  readonly action: "upload" | "hide" | "start";
  /** True: object lock protects the file. */
  readonly locked: boolean;
}

interface LifecycleRuleBody {
  fileNamePrefix: string;
  daysFromHidingToDeleting: number | null;
  daysFromUploadingToHiding: number | null;
  daysFromStartingToCancelingUnfinishedLargeFiles: number | null;
}

export interface B2Key {
  readonly applicationKeyId: string;
  readonly applicationKey: string;
  readonly keyName: string;
  readonly capabilities: readonly string[];
  /** Null: every bucket. */
  readonly bucketIds: readonly string[] | null;
  readonly namePrefix: string | null;
  readonly expirationTimestamp: number | null;
  /** Created by version 4 with a list of buckets: older versions do not serve it. */
  readonly isMultiBucket: boolean;
}

type Body = Readonly<Record<string, unknown>>;

/** The capabilities that the components' documentation asks for in the key that Pulumi signs in with. */
export const ADMIN_CAPABILITIES: readonly string[] = (
  "listBuckets writeBuckets deleteBuckets readBucketEncryption writeBucketEncryption readBucketRetentions " +
  "writeBucketRetentions listKeys writeKeys deleteKeys listFiles writeFiles deleteFiles"
).split(" ");
const ACCOUNT_WIDE = ["listKeys", "writeKeys", "deleteKeys", "writeBuckets", "deleteBuckets"];
const CAPABILITIES = [
  ...ADMIN_CAPABILITIES,
  ...(
    "listAllBucketNames readBuckets readFileRetentions writeFileRetentions readFileLegalHolds writeFileLegalHolds " +
    "readBucketReplications writeBucketReplications readBucketNotifications writeBucketNotifications " +
    "bypassGovernance readFiles shareFiles"
  ).split(" "),
];
const BUCKETS_MAX = 100;
const KEY_SECONDS_MAX = 86_400_000;

class Refusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

interface Call {
  readonly version: number;
  readonly key: B2Key;
  readonly body: Body;
}

export class B2ServerDouble {
  readonly accountId = hex(12);
  readonly region = "test-central-009";
  readonly buckets: B2Bucket[] = [];
  readonly keys: B2Key[] = [];
  /** Names of buckets that belong to other customers. */
  readonly namesOfOthers = new Set<string>();
  /** Calls as they came, such as `b2_create_key v3`. */
  readonly calls: string[] = [];
  /**
   * False, as documented: version 4 lists only multi-bucket keys, version 3 only the others. True: version 4 lists and
   * deletes all.
   */
  listsAllKeysAtV4 = false;
  /** The key that tests sign in with. */
  readonly admin: B2Key;
  readonly #server: Server;
  readonly #tokens = new Map<string, B2Key>();
  readonly #faults = new Map<string, B2Fault[]>();
  #serial = 0;

  private constructor(server: Server) {
    this.#server = server;
    this.admin = this.addKey({ capabilities: ADMIN_CAPABILITIES });
    server.on("request", (request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<B2ServerDouble> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new B2ServerDouble(server);
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** @throws Error when a planned fault did not happen */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    const left = [...this.#faults].flatMap(([operation, faults]) =>
      faults.map((fault) => `${operation}: ${fault.kind}`),
    );
    if (left.length > 0) throw new Error(`planned faults did not happen: ${left.join(", ")}`);
  }

  /** The next calls of `operation` meet the faults, one each. */
  plan(operation: string, ...faults: readonly B2Fault[]): void {
    this.#faults.set(operation, [...(this.#faults.get(operation) ?? []), ...faults]);
  }

  /** Expires every token. */
  expireTokens(): void {
    this.#tokens.clear();
  }

  /** Every secret that the server has issued. Tests search outputs for them. */
  secrets(): string[] {
    return [...this.#allSecrets];
  }

  addKey(facts: Partial<B2Key> & { readonly capabilities: readonly string[] }): B2Key {
    const key = {
      applicationKeyId: `009${this.accountId}${String(++this.#serial).padStart(10, "0")}`,
      applicationKey: `K009${randomBytes(20).toString("base64url")}`,
      keyName: "made-by-hand",
      bucketIds: null,
      namePrefix: null,
      expirationTimestamp: null,
      isMultiBucket: false,
      ...facts,
    };
    this.keys.push(key);
    this.#allSecrets.add(key.applicationKey);
    return key;
  }

  addBucket(facts: Partial<B2Bucket> & { readonly bucketName: string }): B2Bucket {
    const bucket: B2Bucket = {
      bucketId: hex(24),
      bucketType: "allPrivate",
      bucketInfo: {},
      lifecycleRules: [],
      fileLockEnabled: false,
      defaultRetention: { mode: null, period: null },
      revision: 2,
      files: [],
      ...facts,
    };
    this.buckets.push(bucket);
    return bucket;
  }

  addFile(bucket: B2Bucket, facts: Partial<B2File> = {}): B2File {
    const file: B2File = {
      fileId: `4_z${bucket.bucketId}_f${hex(16)}`,
      fileName: `file-${bucket.files.length}`,
      action: "upload",
      locked: false,
      ...facts,
    };
    bucket.files.push(file);
    return file;
  }

  /** @throws Error if no bucket has that name */
  bucket(name: string): B2Bucket {
    const result = this.buckets.find((bucket) => bucket.bucketName === name);
    if (result === undefined)
      throw new Error(`there is no bucket "${name}": ${this.buckets.map((bucket) => bucket.bucketName).join(", ")}`);
    return result;
  }

  /** Changes a bucket as a user would in the console. */
  changeByHand(name: string, change: Partial<Omit<B2Bucket, "bucketId">>): void {
    const bucket = this.bucket(name);
    Object.assign(bucket, change, { revision: bucket.revision + 1 });
  }

  readonly #allSecrets = new Set<string>();

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, version, operation = ""] = /^\/b2api\/v([0-9])\/(b2_[a-z_]+)$/.exec(request.url ?? "") ?? [];
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.calls.push(`${operation} v${version}`);
    const fault = this.#takeFault(operation, Number(version));
    if (fault?.kind === "break") return void request.socket.destroy();
    const authorization = request.headers.authorization ?? "";
    if (fault?.kind === "expireToken") this.#tokens.delete(authorization);
    if (fault?.kind === "race") for (const bucket of this.buckets) bucket.revision++;
    const answer =
      fault?.kind === "refuse"
        ? refusalOf(fault)
        : this.#answer(Number(version), operation, authorization, Buffer.concat(chunks));
    if (fault?.kind === "loseAnswer") return void request.socket.destroy();
    if (fault?.kind === "badGateway") {
      response.writeHead(502, { "content-type": "text/html" });
      response.end("<html>bad gateway</html>");
      return;
    }
    const retryAfter =
      fault?.kind === "refuse" && fault.retryAfter !== undefined ? { "retry-after": fault.retryAfter } : {};
    response.writeHead(answer.status, {
      "content-type": "application/json;charset=utf-8",
      "x-bz-request-id": hex(16),
      ...retryAfter,
    });
    response.end(JSON.stringify(answer.body));
  }

  #takeFault(operation: string, version: number): B2Fault | undefined {
    const [fault, ...rest] = this.#faults.get(operation) ?? [];
    if (fault === undefined || (fault.kind === "refuse" && fault.version !== undefined && fault.version !== version))
      return undefined;
    if (rest.length === 0) this.#faults.delete(operation);
    else this.#faults.set(operation, rest);
    return fault;
  }

  #answer(
    version: number,
    operation: string,
    authorization: string,
    content: Buffer,
  ): { status: number; body: object } {
    try {
      if (operation === "b2_authorize_account") return { status: 200, body: this.#authorize(version, authorization) };
      const work = OPERATIONS[operation];
      if (work === undefined || ![3, 4].includes(version))
        throw new Refusal(404, "not_found", `no such call: v${version} ${operation}`);
      const key = this.#tokens.get(authorization);
      if (key === undefined)
        throw new Refusal(
          401,
          authorization.startsWith("4_") ? "expired_auth_token" : "bad_auth_token",
          "invalid token",
        );
      return { status: 200, body: work(this, { version, key, body: parseBody(content) }) };
    } catch (error) {
      if (error instanceof Refusal)
        return refusalOf({ status: error.status, code: error.code, message: error.message });
      throw error;
    }
  }

  #authorize(version: number, authorization: string): object {
    const [id = "", ...secret] = Buffer.from(authorization.replace(/^Basic /, ""), "base64")
      .toString()
      .split(":");
    const key = this.liveKeys().find(
      (each) => each.applicationKeyId === id && each.applicationKey === secret.join(":"),
    );
    if (key === undefined) throw new Refusal(401, "unauthorized", "invalid applicationKeyId or applicationKey");
    if (key.isMultiBucket && version < 4) throw unsupported(version);
    const authorizationToken = `4_${key.applicationKeyId}_${randomBytes(18).toString("base64url")}`;
    this.#tokens.set(authorizationToken, key);
    this.#allSecrets.add(authorizationToken);
    const buckets =
      key.bucketIds?.map((bucketId) => ({
        id: bucketId,
        name: this.buckets.find((bucket) => bucket.bucketId === bucketId)?.bucketName ?? null,
      })) ?? null;
    return {
      accountId: this.accountId,
      authorizationToken,
      applicationKeyExpirationTimestamp: key.expirationTimestamp,
      apiInfo: {
        storageApi: {
          apiUrl: this.endpoint,
          downloadUrl: this.endpoint,
          s3ApiUrl: `https://s3.${this.region}.backblazeb2.com`,
          recommendedPartSize: 100_000_000,
          absoluteMinimumPartSize: 5_000_000,
          allowed: { buckets, capabilities: key.capabilities, namePrefix: key.namePrefix },
        },
      },
    };
  }

  liveKeys(): B2Key[] {
    return this.keys.filter((key) => key.expirationTimestamp === null || key.expirationTimestamp > Date.now());
  }
}

const OPERATIONS: Readonly<Record<string, (server: B2ServerDouble, call: Call) => object>> = {
  b2_create_bucket: createBucket,
  b2_update_bucket: updateBucket,
  b2_delete_bucket: deleteBucket,
  b2_list_buckets: listBuckets,
  b2_create_key: createKey,
  b2_list_keys: listKeys,
  b2_delete_key: deleteKey,
  b2_list_file_versions: (server, call) => listFiles(server, call, (file) => file.action !== "start", "fileName"),
  b2_list_unfinished_large_files: (server, call) =>
    listFiles(server, call, (file) => file.action === "start", "fileId"),
  b2_delete_file_version: (server, call) => removeFile(server, call, "deleteFiles"),
  b2_cancel_large_file: (server, call) => removeFile(server, call, "writeFiles"),
};

function createBucket(server: B2ServerDouble, call: Call): object {
  need(call, "writeBuckets");
  const { body } = call;
  needAccount(server, body);
  const bucketName = text(body, "bucketName");
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]{4,61}[A-Za-z0-9]$/.test(bucketName) || bucketName.startsWith("b2-")) {
    throw new Refusal(400, "bad_request", `Invalid bucket name: ${bucketName}`);
  }
  if (server.namesOfOthers.has(bucketName) || server.buckets.some((bucket) => bucket.bucketName === bucketName)) {
    throw new Refusal(400, "duplicate_bucket_name", "Bucket name is already in use.");
  }
  if (server.buckets.length >= BUCKETS_MAX)
    throw new Refusal(400, "too_many_buckets", "No more buckets may be created in this account.");
  const { defaultRetention: _afterwards, ...settings } = bucketSettings(call, null);
  if (body["defaultRetention"] !== undefined)
    throw new Refusal(
      400,
      "bad_request",
      "unknown field in com.backblaze.modules.b2.data.CreateBucketRequest: defaultRetention",
    );
  return bucketAnswer(server, call, server.addBucket({ bucketName, ...settings }));
}

function updateBucket(server: B2ServerDouble, call: Call): object {
  need(call, "writeBuckets");
  needAccount(server, call.body);
  const bucket = bucketOf(server, call);
  const { ifRevisionIs } = call.body;
  if (ifRevisionIs !== undefined && ifRevisionIs !== bucket.revision) {
    throw new Refusal(409, "conflict", `Bucket revision ${bucket.revision} is not ${JSON.stringify(ifRevisionIs)}`);
  }
  Object.assign(bucket, bucketSettings(call, bucket), { revision: bucket.revision + 1 });
  return bucketAnswer(server, call, bucket);
}

function deleteBucket(server: B2ServerDouble, call: Call): object {
  need(call, "deleteBuckets");
  needAccount(server, call.body);
  const bucket = bucketOf(server, call);
  if (bucket.files.length > 0)
    throw new Refusal(400, "cannot_delete_non_empty_bucket", "Cannot delete non-empty bucket");
  server.buckets.splice(server.buckets.indexOf(bucket), 1);
  return bucketAnswer(server, call, bucket);
}

function listBuckets(server: B2ServerDouble, call: Call): object {
  need(call, "listBuckets");
  const { body, key } = call;
  needAccount(server, body);
  if (key.bucketIds !== null && body["bucketId"] === undefined && body["bucketName"] === undefined) {
    throw new Refusal(401, "unauthorized", "a key of single buckets must name the bucket");
  }
  const result = server.buckets.filter(
    (bucket) =>
      (body["bucketId"] === undefined || bucket.bucketId === body["bucketId"]) &&
      (body["bucketName"] === undefined || bucket.bucketName === body["bucketName"]),
  );
  for (const bucket of result) needBucket(call, bucket.bucketId);
  return { buckets: result.map((bucket) => bucketAnswer(server, call, bucket)) };
}

function createKey(server: B2ServerDouble, call: Call): object {
  need(call, "writeKeys");
  const { body, version } = call;
  needAccount(server, body);
  const wrongField = version === 3 ? "bucketIds" : "bucketId";
  if (body[wrongField] !== undefined) throw new Refusal(400, "bad_request", `unknown field: ${wrongField}`);
  const keyName = text(body, "keyName");
  if (!/^[A-Za-z0-9-]{1,100}$/.test(keyName)) throw new Refusal(400, "bad_request", `Invalid keyName: ${keyName}`);
  const bucketIds =
    version === 3 ? (body["bucketId"] === undefined ? null : [text(body, "bucketId")]) : textList(body["bucketIds"]);
  const capabilities = textList(body["capabilities"]) ?? [];
  const unknownOne = capabilities.find((name) => !CAPABILITIES.includes(name));
  if (capabilities.length === 0 || unknownOne !== undefined)
    throw new Refusal(400, "bad_request", `invalid capability: ${unknownOne ?? "none"}`);
  for (const id of bucketIds ?? []) {
    if (!server.buckets.some((bucket) => bucket.bucketId === id))
      throw new Refusal(400, "bad_bucket_id", `Invalid bucket id: ${id}`);
  }
  const wide = bucketIds === null ? undefined : capabilities.find((name) => ACCOUNT_WIDE.includes(name));
  if (wide !== undefined) throw new Refusal(400, "bad_request", `capability ${wide} is not allowed with a bucket`);
  const seconds = body["validDurationInSeconds"];
  if (seconds !== undefined && !(typeof seconds === "number" && seconds >= 1 && seconds < KEY_SECONDS_MAX)) {
    throw new Refusal(400, "bad_request", "validDurationInSeconds must be at least 1 and less than 1000 days");
  }
  const key = server.addKey({
    keyName,
    capabilities,
    bucketIds,
    namePrefix: typeof body["namePrefix"] === "string" ? body["namePrefix"] : null,
    expirationTimestamp: typeof seconds === "number" ? Date.now() + seconds * 1_000 : null,
    isMultiBucket: version === 4 && bucketIds !== null,
  });
  return { ...keyAnswer(server, key, version), applicationKey: key.applicationKey };
}

function listKeys(server: B2ServerDouble, call: Call): object {
  need(call, "listKeys");
  const { body, version } = call;
  needAccount(server, body);
  if (call.key.isMultiBucket && version < 4) throw unsupported(version);
  const countMax = body["maxKeyCount"] === undefined ? 100 : Number(body["maxKeyCount"]);
  if (!(countMax >= 1 && countMax <= 10_000)) throw new Refusal(400, "bad_request", "maxKeyCount out of range");
  const start = typeof body["startApplicationKeyId"] === "string" ? body["startApplicationKeyId"] : "";
  const keys = server
    .liveKeys()
    .filter((key) => servesKey(server, key, version) && key.applicationKeyId >= start)
    .sort((left, right) => (left.applicationKeyId < right.applicationKeyId ? -1 : 1));
  return {
    keys: keys.slice(0, countMax).map((key) => keyAnswer(server, key, version)),
    nextApplicationKeyId: keys[countMax]?.applicationKeyId ?? null,
  };
}

function deleteKey(server: B2ServerDouble, call: Call): object {
  need(call, "deleteKeys");
  const id = text(call.body, "applicationKeyId");
  const key = server.liveKeys().find((each) => each.applicationKeyId === id && servesKey(server, each, call.version));
  if (key === undefined) throw new Refusal(400, "bad_request", `application key does not exist: ${id}`);
  server.keys.splice(server.keys.indexOf(key), 1);
  return keyAnswer(server, key, call.version);
}

function listFiles(
  server: B2ServerDouble,
  call: Call,
  filter: (file: B2File) => boolean,
  startName: "fileName" | "fileId",
): object {
  need(call, "listFiles");
  const bucket = bucketOf(server, call);
  const countMax = Number(call.body["maxFileCount"] ?? 100);
  if (startName === "fileId" && countMax > 100)
    throw new Refusal(400, "bad_request", "maxFileCount must be at most 100");
  const from = startName === "fileId" && typeof call.body["startFileId"] === "string" ? call.body["startFileId"] : "";
  const files = bucket.files
    .filter((file) => filter(file) && file.fileId >= from)
    .sort((left, right) => (left.fileId < right.fileId ? -1 : 1));
  const next = files[countMax];
  return {
    files: files
      .slice(0, countMax)
      .map(({ fileId, fileName, action }) => ({ fileId, fileName, action, bucketId: bucket.bucketId })),
    nextFileId: next?.fileId ?? null,
    ...(startName === "fileName" ? { nextFileName: next?.fileName ?? null } : {}),
  };
}

function removeFile(server: B2ServerDouble, call: Call, capability: string): object {
  need(call, capability);
  const fileId = text(call.body, "fileId");
  const bucket = server.buckets.find((each) => each.files.some((file) => file.fileId === fileId));
  const file = bucket?.files.find((each) => each.fileId === fileId);
  if (bucket === undefined || file === undefined)
    throw new Refusal(400, "file_not_present", `File not present: ${fileId}`);
  needBucket(call, bucket.bucketId);
  if (file.locked) throw new Refusal(403, "access_denied", "File is protected by object lock");
  bucket.files.splice(bucket.files.indexOf(file), 1);
  return { fileId, fileName: file.fileName };
}

/** The settings in a request, checked; settings that it leaves out stay unchanged. */
function bucketSettings({ key, body }: Call, bucket: B2Bucket | null): Partial<B2Bucket> {
  const has = (name: string): boolean => body[name] !== undefined;
  const info = body["bucketInfo"] as Record<string, string> | undefined;
  if (info !== undefined && Object.keys(info).length > 10)
    throw new Refusal(400, "bad_request", "bucketInfo has too many pairs");
  if (has("bucketType") && !["allPrivate", "allPublic"].includes(text(body, "bucketType")))
    throw new Refusal(400, "bad_request", "bad bucketType");
  const wantsRetention = has("fileLockEnabled") || has("defaultRetention");
  if (wantsRetention && !key.capabilities.includes("writeBucketRetentions"))
    throw new Refusal(401, "unauthorized", "writeBucketRetentions is missing");
  if (bucket?.fileLockEnabled === true && body["fileLockEnabled"] === false) {
    throw new Refusal(400, "file_lock_conflict", "Object lock cannot be disabled");
  }
  const isLocking = bucket?.fileLockEnabled === true || body["fileLockEnabled"] === true;
  const retention = body["defaultRetention"] as
    | { mode: string | null; period?: { duration: number; unit: string } }
    | undefined;
  if (retention !== undefined && retention.mode !== null) {
    if (!isLocking) throw new Refusal(400, "bad_request", "Object lock is not enabled on this bucket");
    const duration = retention.period?.duration ?? 0;
    if (!["governance", "compliance"].includes(retention.mode) || !Number.isInteger(duration) || duration < 1) {
      throw new Refusal(400, "bad_request", "invalid default retention");
    }
  }
  return {
    bucketType: has("bucketType") ? text(body, "bucketType") : (bucket?.bucketType ?? "allPrivate"),
    ...(info === undefined ? {} : { bucketInfo: info }),
    ...(has("lifecycleRules") ? { lifecycleRules: lifecycleRules(body["lifecycleRules"]) } : {}),
    fileLockEnabled: isLocking,
    ...(retention === undefined
      ? {}
      : { defaultRetention: { mode: retention.mode, period: retention.period ?? null } }),
  };
}

function lifecycleRules(value: unknown): LifecycleRuleBody[] {
  const rules = value as LifecycleRuleBody[];
  if (rules.length > 100) throw new Refusal(400, "bad_request", "too many lifecycle rules");
  rules.forEach((rule, index) => {
    const days = [
      rule.daysFromHidingToDeleting,
      rule.daysFromUploadingToHiding,
      rule.daysFromStartingToCancelingUnfinishedLargeFiles,
    ];
    const set = days.filter((each) => each !== null && each !== undefined);
    if (set.length === 0 || set.some((each) => !Number.isInteger(each) || each < 1)) {
      throw new Refusal(400, "bad_request", "a lifecycle rule needs whole days from 1");
    }
    const other = rules
      .slice(0, index)
      .find(
        (each) =>
          each.fileNamePrefix.startsWith(rule.fileNamePrefix) || rule.fileNamePrefix.startsWith(each.fileNamePrefix),
      );
    if (other !== undefined)
      throw new Refusal(
        400,
        "bad_request",
        `lifecycle rules "${other.fileNamePrefix}" and "${rule.fileNamePrefix}" overlap`,
      );
  });
  return rules;
}

function bucketAnswer(server: B2ServerDouble, { key }: Call, bucket: B2Bucket): object {
  const mayReadLock = key.capabilities.includes("readBucketRetentions");
  const { fileLockEnabled, defaultRetention, files: _files, ...shown } = bucket;
  return {
    accountId: server.accountId,
    ...shown,
    corsRules: [],
    defaultServerSideEncryption: { isClientAuthorizedToRead: true, value: { mode: "SSE-B2", algorithm: "AES256" } },
    fileLockConfiguration: {
      isClientAuthorizedToRead: mayReadLock,
      value: mayReadLock ? { isFileLockEnabled: fileLockEnabled, defaultRetention } : null,
    },
    replicationConfiguration: { isClientAuthorizedToRead: false, value: null },
    options: ["s3"],
  };
}

function keyAnswer(server: B2ServerDouble, key: B2Key, version: number): object {
  const { applicationKey: _secret, bucketIds, isMultiBucket: _kind, ...shown } = key;
  const buckets = version === 3 ? { bucketId: bucketIds?.[0] ?? null } : { bucketIds };
  return { ...shown, ...buckets, accountId: server.accountId, options: ["s3"] };
}

function servesKey(server: B2ServerDouble, key: B2Key, version: number): boolean {
  return version === 4 ? server.listsAllKeysAtV4 || key.isMultiBucket : !key.isMultiBucket;
}

function need({ key }: Call, capability: string): void {
  if (!key.capabilities.includes(capability))
    throw new Refusal(401, "unauthorized", `the application key lacks ${capability}`);
}

function needBucket({ key }: Call, bucketId: string): void {
  if (key.bucketIds !== null && !key.bucketIds.includes(bucketId))
    throw new Refusal(401, "unauthorized", "the application key is for another bucket");
}

function needAccount(server: B2ServerDouble, body: Body): void {
  if (body["accountId"] !== server.accountId)
    throw new Refusal(400, "bad_request", `invalid accountId: ${String(body["accountId"])}`);
}

function bucketOf(server: B2ServerDouble, call: Call): B2Bucket {
  const id = text(call.body, "bucketId");
  needBucket(call, id);
  const bucket = server.buckets.find((each) => each.bucketId === id);
  if (bucket === undefined) throw new Refusal(400, "bad_bucket_id", `Invalid bucket id: ${id}`);
  return bucket;
}

function text(body: Body, name: string): string {
  const value = body[name];
  if (typeof value !== "string" || value === "")
    throw new Refusal(400, "bad_request", `required field ${name} is missing`);
  return value;
}

function textList(value: unknown): string[] | null {
  return Array.isArray(value) ? value.map(String) : null;
}

function parseBody(content: Buffer): Body {
  try {
    return JSON.parse(content.toString()) as Body;
  } catch {
    throw new Refusal(400, "bad_json", "the body is not JSON");
  }
}

function unsupported(version: number): Refusal {
  return new Refusal(400, "bad_request", `This request is not currently supported on API version number ${version}`);
}

function refusalOf({ status, code, message = code }: { status: number; code: string; message?: string }): {
  status: number;
  body: object;
} {
  return { status, body: { status, code, message } };
}

function hex(length: number): string {
  return Array.from({ length }, () => randomInt(16).toString(16)).join("");
}
