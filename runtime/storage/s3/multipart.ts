/**
 * Uploads streams of unknown length in bounded memory.
 *
 * A body that fits one part is one PUT. A longer one is a multipart upload of equal parts, the last one shorter
 * (Cloudflare R2 refuses growing parts). Two are in flight while the next fills: at most three parts in memory. A part
 * is repeated from memory. A failed upload is aborted, so that its parts cost nothing (Amazon S3 API reference,
 * "Uploading objects using multipart upload").
 */
import { createHash } from "node:crypto";
import type { ByteStream } from "../../base/bytes";
import { assert, fail, isError } from "../../base/errors";
import { parseAnswer, parseUploadId, requiredText } from "./answer";
import { parseErrorAnswer } from "./failure";
import { BodyHash, bodyOf, readText, type S3Body, type S3Http, type S3Request } from "./http";
import type { S3Quirks } from "./quirks";
import { bare, isMd5, type Proof, requireObject, requireStored, type Upload } from "./uploadProof";
import { escapeXml } from "./xml";

export interface UploadTarget extends Proof {
  readonly http: S3Http;
  readonly quirks: Pick<S3Quirks, "contentMd5" | "etagIsMd5" | "partCountMax">;
  readonly key: string;
  /** Path relative to the storage, for errors. */
  readonly path: string;
  /** `s3://bucket/key` for messages. */
  readonly name: string;
  readonly partSizeBytes: number;
  readonly repoIndex: number;
  readonly signal: AbortSignal;
}

interface Part {
  /** From 1. */
  readonly number: number;
  readonly body: S3Body;
  readonly last: boolean;
}

const PARTS_IN_FLIGHT_MAX = 2;
/** For aborting an upload: short, because the caller already waits for a failure or the end of the process. */
const ABORT_TIMEOUT_MS = 5_000;

/** Uploads all of `source` under the target's key, which changes atomically at the end. */
export async function upload(target: UploadTarget, source: ByteStream): Promise<void> {
  const { http, key, path, name } = target;
  const stop = new AbortController();
  const signal = AbortSignal.any([target.signal, stop.signal]);
  const inFlight = new Set<Promise<void>>();
  const etags: string[] = [];
  let uploadId: string | undefined;
  let sizeBytes = 0;
  try {
    for await (const part of partsOf(source, target)) {
      if (part.last && part.number === 1) {
        const put: Upload = { method: "PUT", key, path, body: part.body, doing: `put '${name}'` };
        await http.exchange(put, (answer) => requireStored(http, put, answer, target));
        return;
      }
      if (part.number > target.quirks.partCountMax) throw tooManyParts(target);
      uploadId ??= await beginUpload(target);
      while (inFlight.size >= PARTS_IN_FLIGHT_MAX) await Promise.race(inFlight);
      const run = putPart(target, uploadId, part, signal).then((etag) => {
        etags[part.number - 1] = etag;
        inFlight.delete(run);
      });
      // The set keeps the failure for the next wait; this only marks the rejection as handled.
      run.catch(() => undefined);
      inFlight.add(run);
      sizeBytes += part.body.sizeBytes;
    }
    await Promise.all(inFlight);
    assert(uploadId !== undefined && etags.length > 0, "an upload of several parts has no id");
    await completeUpload(target, uploadId, etags, sizeBytes);
  } catch (error) {
    stop.abort();
    await Promise.allSettled(inFlight);
    if (uploadId !== undefined) await abortUpload(target, uploadId);
    throw target.signal.aborted && !isError(error, "term")
      ? fail("term", `terminated while trying to put '${name}'`, { path, cause: error })
      : error;
  }
}

/**
 * Equal parts of a stream, hashed while they are read; at least one, which may be empty. Chunks are kept by reference:
 * they must not change.
 */
async function* partsOf(source: ByteStream, target: UploadTarget): AsyncIterable<Part> {
  let number = 1;
  let chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  let hash = new BodyHash(target.quirks.contentMd5);
  for await (const chunk of source) {
    let rest = chunk;
    while (rest.length > 0) {
      // Full, and more data follows: not the last part.
      if (sizeBytes === target.partSizeBytes) {
        yield { number: number++, body: hash.finish(chunks, sizeBytes), last: false };
        chunks = [];
        sizeBytes = 0;
        hash = new BodyHash(target.quirks.contentMd5);
      }
      const piece = rest.subarray(0, target.partSizeBytes - sizeBytes);
      hash.add(piece);
      chunks.push(piece);
      sizeBytes += piece.length;
      rest = rest.subarray(piece.length);
    }
  }
  yield { number, body: hash.finish(chunks, sizeBytes), last: true };
}

async function beginUpload({ http, key, path, name }: UploadTarget): Promise<string> {
  const request: S3Request = { method: "POST", key, path, query: { uploads: "" }, doing: `begin upload of '${name}'` };
  return http.exchangeText(request, parseUploadId);
}

function putPart(target: UploadTarget, uploadId: string, part: Part, signal: AbortSignal): Promise<string> {
  const { http, key, path, name } = target;
  const query = { partNumber: String(part.number), uploadId };
  const doing = `put part ${part.number} of '${name}'`;
  const put: Upload = { method: "PUT", key, path, query, body: part.body, signal, doing };
  return http.exchange(put, (answer) => requireStored(http, put, answer, target, true));
}

async function completeUpload(
  target: UploadTarget,
  uploadId: string,
  etags: readonly string[],
  sizeBytes: number,
): Promise<void> {
  const { http, key, path, name } = target;
  const parts = etags
    .map((etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`)
    .join("");
  const text = `<?xml version="1.0" encoding="UTF-8"?><CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts}</CompleteMultipartUpload>`;
  const request: S3Request = {
    method: "POST",
    key,
    path,
    query: { uploadId },
    body: bodyOf(Buffer.from(text, "utf8"), target.quirks.contentMd5),
    expected: [404],
    doing: `complete upload of '${name}'`,
  };
  const whole = etagOfParts(etags);
  await http.exchange(request, async (answer) => {
    const { status, attempt } = answer;
    // The service sends the status before it assembles the parts: only the body has the result.
    const result = await readText(answer);
    // An earlier attempt may have succeeded and lost its answer.
    if (attempt > 1 && parseErrorAnswer(status, result, undefined).code === "NoSuchUpload") {
      const info = await target.stat();
      if (whole !== null && info?.sizeBytes === sizeBytes && bare(info.version ?? "") === whole) return;
    }
    const facts = http.factsOf(request);
    const etag = requiredText(parseAnswer(result, "CompleteMultipartUploadResult", facts, status), "ETag", facts);
    if (bare(etag) !== whole) await requireObject(http, request, etag, sizeBytes, target);
  });
}

/** ETag of the object where ETags are MD5s; null where those of the parts are not. */
function etagOfParts(etags: readonly string[]): string | null {
  if (!etags.every(isMd5)) return null;
  const digests = Buffer.from(etags.map(bare).join(""), "hex");
  return `${createHash("md5").update(digests).digest("hex")}-${etags.length}`;
}

/**
 * One attempt; the bucket's rule for unfinished uploads removes the rest. Works even after the storage's signal fired.
 */
async function abortUpload({ http, key, path, name }: UploadTarget, uploadId: string): Promise<void> {
  const signal = AbortSignal.timeout(ABORT_TIMEOUT_MS);
  const request: S3Request = {
    method: "DELETE",
    key,
    path,
    query: { uploadId },
    signal,
    attempts: 1,
    doing: `abort upload of '${name}'`,
  };
  await http.exchangeHead(request).catch(() => undefined);
}

function tooManyParts({ quirks, partSizeBytes, name, path, repoIndex }: UploadTarget): Error {
  return fail(
    "fileWrite",
    `unable to put '${name}': it is larger than ${quirks.partCountMax} parts of ${partSizeBytes} bytes`,
    {
      path,
      repoIndex,
      hint: `Raise repo${repoIndex}-storage-upload-chunk-size: parts of one upload all have that size.`,
    },
  );
}
