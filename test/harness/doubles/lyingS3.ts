/**
 * Lies of something between the driver and an S3 service: a gateway, a cache, a captive portal. Each replaces an answer
 * and has a sign by which it can be recognised.
 */
import { type DoubleAnswer, type DoubleRequest, errorBody } from "./s3Double";

/** The lie told instead of the true answer; null where that would be no lie, or one without a sign. */
export type Lie = (verb: string, truth: DoubleAnswer) => DoubleAnswer | null;

const HTML = "<html><body><h1>Welcome! Please accept our terms.</h1></body></html>";
const bytesOf = ({ body = "" }: DoubleAnswer): Buffer => Buffer.from(body);
const error =
  (code: string): Lie =>
  () => ({ status: 200, headers: { "content-type": "application/xml" }, body: errorBody(code) });
const empty =
  (status: number): Lie =>
  // Amazon answers 204 to a deletion: this lie has no sign.
  (verb) =>
    status === 204 && verb.startsWith("DELETE") ? null : { status };
/** A document in place of the true one. */
export const document =
  (verbs: readonly string[], body: string): Lie =>
  (verb) =>
    verbs.includes(verb) ? { status: 200, body: `<?xml version="1.0"?>${body}` } : null;

/** Lies to any object store. */
export const COMMON_LIES: Readonly<Record<string, Lie>> = {
  "200 with InternalError": error("InternalError"),
  "200 with NoSuchKey": error("NoSuchKey"),
  "200 with AccessDenied": error("AccessDenied"),
  "200 with HTML": () => ({ status: 200, headers: { "content-type": "text/html" }, body: HTML }),
  "200 without anything": empty(200),
  "201": empty(201),
  "202": empty(202),
  "204": empty(204),
  "206 without anything": empty(206),
  "301": () => ({ status: 301, headers: { location: "https://portal.example/" }, body: HTML }),
  "307": () => ({ status: 307, headers: { location: "https://portal.example/" } }),
  "304": empty(304),
  "an answer that is cut": (_verb, truth) =>
    bytesOf(truth).length === 0 ? null : { ...truth, cutAfterBytes: Math.floor(bytesOf(truth).length / 2) },
  // A shorter object has no sign: its reader compares checksums.
  "a shorter answer": (verb, truth) =>
    verb === "GET object" || bytesOf(truth).length === 0
      ? null
      : { ...truth, body: bytesOf(truth).subarray(0, bytesOf(truth).length / 2) },
  "another etag": (verb, truth) =>
    // An empty object, invented.
    verb === "GET object" && bytesOf(truth).length === 0
      ? null
      : { ...truth, headers: { ...truth.headers, etag: '"00000000000000000000000000000000"' } },
  "no etag": (_verb, truth) => {
    const { etag: _etag, ...headers } = truth.headers ?? {};
    return { ...truth, headers };
  },
  "another range": (verb, truth) =>
    verb === "GET object"
      ? {
          status: 206,
          headers: { ...truth.headers, "content-range": `bytes 1-${bytesOf(truth).length}/1000` },
          body: Buffer.concat([bytesOf(truth).subarray(1), Buffer.from("x")]),
        }
      : null,
};

export const LIES: Readonly<Record<string, Lie>> = {
  ...COMMON_LIES,
  "no listing": document(["GET list"], "<ListBucketResult/>"),
  "an unfinished listing": document(
    ["GET list"],
    "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
  ),
  "another listing": document(
    ["GET list"],
    "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>other/f</Key><Size>1</Size><LastModified>2026-11-20T06:40:59Z</LastModified></Contents></ListBucketResult>",
  ),
  "no result of a deletion": document(["POST delete"], "<DeleteResult/>"),
  "an upload without id": document(
    ["POST uploads"],
    "<InitiateMultipartUploadResult><UploadId></UploadId></InitiateMultipartUploadResult>",
  ),
  "an upload of another name": document(
    ["POST uploads"],
    "<InitiateMultipartUploadResult><UploadId>other</UploadId></InitiateMultipartUploadResult>",
  ),
  "a completion without parts": document(
    ["POST upload"],
    '<CompleteMultipartUploadResult><ETag>"11111111111111111111111111111111-1"</ETag></CompleteMultipartUploadResult>',
  ),
};

/** `GET list`: the method, and what the query asks for. */
export function verbOf({ method, url }: DoubleRequest): string {
  const { searchParams: query } = new URL(url, "http://bucket");
  const asked = Object.keys(QUERIES).find((name) => query.has(name));
  return `${method} ${asked === undefined ? "object" : QUERIES[asked]}`;
}

const QUERIES: Readonly<Record<string, string>> = {
  uploads: "uploads",
  partNumber: "part",
  uploadId: "upload",
  delete: "delete",
  "list-type": "list",
};
