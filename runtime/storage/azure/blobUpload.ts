/**
 * Uploads of blobs, and the proof that the service has stored them: gateways, caches and captive portals answer with a
 * success too.
 *
 * A short body is a Put Blob. A longer one is a Put Block for each part, and a Put Block List that makes the blob of
 * them. No request discards blocks of a failed upload: the service does after a week, or with the blob's next write.
 */
import type { ByteStream } from "../../base/bytes";
import type { Random } from "../../base/random";
import { unproven } from "../objectStore/malformed";
import { type PartUpload, type UploadLocation, uploadParts } from "../objectStore/partUpload";
import { BodyHash, hashed, headerOf, readText } from "../objectStore/storeHttp";
import type { StoreAnswer, StoreBody, StoreRequest } from "../objectStore/storeHttp";
import type { ObjectInfo } from "../storage";
import { azureError, codeOfRefusal } from "./azureFailure";
import type { AzureHttp } from "./azureHttp";

export interface BlobUpload extends StoreRequest {
  readonly body: StoreBody;
}

export interface BlobTarget extends UploadLocation {
  readonly http: AzureHttp;
  readonly random: Random;
  /** The blob in the container. */
  stat(): Promise<ObjectInfo | null>;
}

/** "Put Block List". */
const BLOCK_COUNT_MAX = 50_000;
/** All ids of a blob's blocks must be equally long, those of an unfinished upload by stock too: 24 characters. */
const BLOCK_ID_PREFIX_BYTES = 14;

/** A body that is sent with its MD5. */
export function blobBody(bytes: Uint8Array): StoreBody {
  return hashed(bytes, newBlobHash());
}

function newBlobHash(): BodyHash {
  return new BodyHash({ sendsMd5: true, sha256: false });
}

/** The request that stores a whole blob. */
export function putBlob(target: Pick<BlobTarget, "key" | "name" | "path">, body: StoreBody): BlobUpload {
  const { key, name, path } = target;
  return { method: "PUT", key, path, headers: { "x-ms-blob-type": "BlockBlob" }, body, doing: `put '${name}'` };
}

/**
 * The service answers with the MD5 of what it received. Without it, a HEAD must show the blob with the answer's ETag
 * and the size.
 * @throws service unless the service has stored the body
 */
export async function requireStoredBlob(
  target: Pick<BlobTarget, "http" | "stat">,
  request: BlobUpload,
  answer: StoreAnswer,
  sizeBytes = request.body.sizeBytes,
): Promise<void> {
  await target.http.requireNoBody(request, answer);
  const facts = target.http.factsOf(request);
  const digest = headerOf(answer, "content-md5");
  if (digest === request.body.md5.toString("base64")) return;
  if (digest !== undefined) throw unproven(`the service has stored other bytes, by their MD5 '${digest}'`, facts);
  const etag = headerOf(answer, "etag");
  if (etag === undefined) throw unproven("the answer has neither MD5 nor etag", facts);
  const info = await target.stat();
  if (info?.sizeBytes === sizeBytes && info.version === etag) return;
  const fact =
    info === null
      ? "the service answered with success and has no such object"
      : `the service has ${info.sizeBytes} bytes with etag ${info.version} where ${sizeBytes} with etag ${etag} were put`;
  throw unproven(fact, facts);
}

/**
 * Uploads all of `source` under the target's key, which changes atomically at the end. False if another upload of this
 * key ended in between: the service discards the blocks of all others then.
 */
export async function uploadBlob(target: BlobTarget, source: ByteStream): Promise<boolean> {
  const { http, key, name, path, random } = target;
  const prefix = random.bytes(BLOCK_ID_PREFIX_BYTES);
  let isDiscarded = false;
  const upload: PartUpload<string> = {
    location: target,
    partCountMax: BLOCK_COUNT_MAX,
    newHash: newBlobHash,
    putWhole: async (body) => {
      const put = putBlob(target, body);
      await http.exchange(put, (answer) => requireStoredBlob(target, put, answer));
    },
    begin: async () => undefined,
    putPart: async (number, body, stop) => {
      const blockid = blockIdOf(prefix, number);
      const doing = `put block ${number} of '${name}'`;
      const put: BlobUpload = {
        method: "PUT",
        key,
        path,
        query: { comp: "block", blockid },
        body,
        signal: stop,
        doing,
      };
      await http.exchange(put, (answer) => requireBlock(target, put, answer));
      return blockid;
    },
    complete: async (ids, sizeBytes) => {
      isDiscarded = !(await putBlockList(target, ids, sizeBytes));
    },
    abort: async () => undefined,
  };
  await uploadParts(upload, source);
  return !isDiscarded;
}

/** A block that the service does not have fails the list of blocks. */
async function requireBlock(target: BlobTarget, request: BlobUpload, answer: StoreAnswer): Promise<void> {
  await target.http.requireNoBody(request, answer);
  const digest = headerOf(answer, "content-md5");
  if (digest !== undefined && digest !== request.body.md5.toString("base64"))
    throw unproven(`the service has stored other bytes, by their MD5 '${digest}'`, target.http.factsOf(request));
}

/** False if the service does not have the blocks. */
async function putBlockList(target: BlobTarget, ids: readonly string[], sizeBytes: number): Promise<boolean> {
  const { http, key, name, path } = target;
  // Also blocks of the blob itself: a repeated request, whose first answer was lost, finds them there.
  const list = ids.map((id) => `<Latest>${id}</Latest>`).join("");
  const body = blobBody(Buffer.from(`<?xml version="1.0" encoding="utf-8"?><BlockList>${list}</BlockList>`, "utf8"));
  const doing = `complete upload of '${name}'`;
  const put: BlobUpload = { method: "PUT", key, path, query: { comp: "blocklist" }, body, expected: [400], doing };
  return http.exchange(put, async (answer) => {
    if (answer.status !== 400) {
      await requireStoredBlob(target, put, answer, sizeBytes);
      return true;
    }
    const refusal = { ...answer, text: await readText(answer) };
    if (codeOfRefusal(refusal) === "InvalidBlockList") return false;
    throw azureError(refusal, http.factsOf(put));
  });
}

function blockIdOf(prefix: Uint8Array, number: number): string {
  const id = Buffer.alloc(BLOCK_ID_PREFIX_BYTES + 4);
  id.set(prefix);
  id.writeUInt32BE(number, BLOCK_ID_PREFIX_BYTES);
  return id.toString("base64");
}
