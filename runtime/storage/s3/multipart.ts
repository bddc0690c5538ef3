/**
 * Uploads streams: a PUT, or a multipart upload of equal parts, the last one shorter (Cloudflare R2 refuses growing
 * parts). A failed upload is aborted, so that its parts cost nothing (Amazon S3 API reference, "Uploading objects using
 * multipart upload").
 */
import { createHash } from "node:crypto";
import type { ByteStream } from "../../base/bytes";
import { type PartUpload, type UploadLocation, uploadParts } from "../objectStore/partUpload";
import { parseAnswer, parseUploadId, requiredText } from "./answer";
import { parseErrorAnswer } from "./failure";
import { bodyOf, newBodyHash, readText, type S3Body, type S3Http, type S3Request } from "./http";
import type { S3Quirks } from "./quirks";
import { bare, isMd5, type Proof, requireObject, requireStored, type Upload } from "./uploadProof";
import { escapeXml } from "../objectStore/xml";

export interface UploadTarget extends Proof, UploadLocation {
  readonly http: S3Http;
  readonly quirks: Pick<S3Quirks, "contentMd5" | "etagIsMd5" | "partCountMax">;
}

/** For aborting an upload: short, because the caller already waits for a failure or the end of the process. */
const ABORT_TIMEOUT_MS = 5_000;

/**
 * Uploads all of `source` under the target's key, which changes atomically at the end. False if the service has ended
 * the upload, and nothing proves that the object is ours.
 */
export async function upload(target: UploadTarget, source: ByteStream): Promise<boolean> {
  const { http, key, name, path, quirks } = target;
  let uploadId = "";
  let isStored = true;
  const requests: PartUpload<string> = {
    location: target,
    partCountMax: quirks.partCountMax,
    newHash: () => newBodyHash(quirks.contentMd5),
    putWhole: async (body) => {
      const put: Upload = { method: "PUT", key, path, body, doing: `put '${name}'` };
      await http.exchange(put, (answer) => requireStored(http, put, answer, target));
    },
    begin: async () => {
      uploadId = await beginUpload(target);
    },
    putPart: (number, body, stop) => putPart(target, uploadId, number, body, stop),
    complete: async (etags, sizeBytes) => {
      isStored = await completeUpload(target, uploadId, etags, sizeBytes);
    },
    abort: () => (uploadId === "" ? Promise.resolve() : abortUpload(target, uploadId)),
  };
  await uploadParts(requests, source);
  return isStored;
}

async function beginUpload({ http, key, path, name }: UploadTarget): Promise<string> {
  const request: S3Request = { method: "POST", key, path, query: { uploads: "" }, doing: `begin upload of '${name}'` };
  return http.exchangeText(request, parseUploadId);
}

function putPart(
  target: UploadTarget,
  uploadId: string,
  number: number,
  body: S3Body,
  signal: AbortSignal,
): Promise<string> {
  const { http, key, path, name } = target;
  const query = { partNumber: String(number), uploadId };
  const put: Upload = { method: "PUT", key, path, query, body, signal, doing: `put part ${number} of '${name}'` };
  return http.exchange(put, (answer) => requireStored(http, put, answer, target, true));
}

/** False if an earlier attempt may have succeeded, or the upload is lost: which one cannot be known. */
async function completeUpload(
  target: UploadTarget,
  uploadId: string,
  etags: readonly string[],
  sizeBytes: number,
): Promise<boolean> {
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
    mayTrickle: true,
    doing: `complete upload of '${name}'`,
  };
  const whole = etagOfParts(etags);
  return http.exchange(request, async (answer) => {
    const { status, attempt } = answer;
    // The service sends the status before it assembles the parts: only the body has the result.
    const result = await readText(answer);
    // An earlier attempt may have succeeded and lost its answer.
    if (attempt > 1 && parseErrorAnswer(status, result, undefined).code === "NoSuchUpload") {
      const info = await target.stat();
      return whole !== null && info?.sizeBytes === sizeBytes && bare(info.version ?? "") === whole;
    }
    const facts = http.factsOf(request);
    const etag = requiredText(parseAnswer(result, "CompleteMultipartUploadResult", facts, status), "ETag", facts);
    if (bare(etag) !== whole) await requireObject(http, request, etag, sizeBytes, target);
    return true;
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
