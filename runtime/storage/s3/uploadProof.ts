/**
 * Decides from the answer to an upload whether the service has stored it: gateways, caches and captive portals answer
 * 200 too.
 */
import { unproven } from "../objectStore/malformed";
import type { ObjectInfo } from "../storage";
import { headerOf, type S3Answer, type S3Body, type S3Http, type S3Request } from "./http";
import type { S3Quirks } from "./quirks";

export interface Upload extends S3Request {
  readonly body: S3Body;
}

export interface Proof {
  readonly quirks: Pick<S3Quirks, "etagIsMd5">;
  /** The object in the bucket. Needed where its ETag is not the MD5. */
  stat(): Promise<ObjectInfo | null>;
}

/**
 * The ETag of an uploaded body. It proves the upload if it is the MD5 of the body. Otherwise a HEAD must show the same
 * ETag and the size, or, for a part, the object at the end.
 * @throws service unless the service has stored the body
 */
export async function requireStored(
  http: S3Http,
  upload: Upload,
  answer: S3Answer,
  proof: Proof,
  isPart = false,
): Promise<string> {
  await http.requireNoBody(upload, answer);
  const { body } = upload;
  const etag = headerOf(answer, "etag") ?? "";
  const digest = bare(etag);
  if (digest === "") throw unproven("the answer has no etag", http.factsOf(upload));
  if (digest === body.md5.toString("hex")) return etag;
  if (proof.quirks.etagIsMd5 && isMd5(digest) && !hasOwnKey(answer))
    throw unproven(`the service has stored other bytes, by its etag ${etag}`, http.factsOf(upload));
  if (!isPart) await requireObject(http, upload, etag, body.sizeBytes, proof);
  return etag;
}

/** @throws service unless the bucket has an object of this size with this ETag */
export async function requireObject(
  http: S3Http,
  request: S3Request,
  etag: string,
  sizeBytes: number,
  proof: Pick<Proof, "stat">,
): Promise<void> {
  const info = await proof.stat();
  if (info?.sizeBytes === sizeBytes && bare(info.version ?? etag) === bare(etag)) return;
  const fact =
    info === null
      ? "the service answered with success and has no such object"
      : `the service has ${info.sizeBytes} bytes with etag ${info.version} where ${sizeBytes} with etag ${etag} were put`;
  throw unproven(fact, http.factsOf(request));
}

/** Without quotes, and without the mark of a proxy that has changed the answer's form. */
export function bare(etag: string): string {
  return etag.replace(/^W\//, "").replaceAll('"', "");
}

export function isMd5(etag: string): boolean {
  return /^[0-9a-f]{32}$/.test(bare(etag));
}

/** With SSE-KMS and SSE-C an ETag is no MD5 (Amazon S3 API reference, "Object"). */
function hasOwnKey(answer: S3Answer): boolean {
  return (
    (headerOf(answer, "x-amz-server-side-encryption") ?? "AES256") !== "AES256" ||
    headerOf(answer, "x-amz-server-side-encryption-customer-algorithm") !== undefined
  );
}
