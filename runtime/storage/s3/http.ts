/** Requests to one bucket in Amazon's protocol. */
import { assert } from "../../base/errors";
import { headerOf, BodyHash, hashed, type StoreAnswer, type StoreBody, StoreHttp } from "../objectStore/storeHttp";
import type { SignedRequest, StoreDialect, StoreHttpOptions, StoreRequest } from "../objectStore/storeHttp";
import { encodePath, encodeQuery } from "../objectStore/urlEncoding";
import type { S3Address } from "./address";
import { answerError, type FailureFacts, isOfEndedKeys, parseErrorAnswer } from "./failure";
import { SHA256_EMPTY, type Signer } from "./sign";

export { headerOf, readText } from "../objectStore/storeHttp";
export type S3Body = StoreBody;
export type S3Request = StoreRequest;
export type S3Answer = StoreAnswer;

export interface HttpOptions extends Omit<StoreHttpOptions<FailureFacts>, "facts"> {
  readonly address: S3Address;
  readonly signer: Signer;
  /** A message without the request's own part. */
  readonly facts: Omit<FailureFacts, "doing" | "path" | "type">;
}

/** Amazon S3 API reference. */
const SUCCESSES: Readonly<Record<S3Request["method"], readonly number[]>> = {
  GET: [200, 206],
  HEAD: [200],
  PUT: [200],
  POST: [200],
  DELETE: [204, 200],
};

export class S3Http extends StoreHttp<FailureFacts> {
  constructor(options: HttpOptions) {
    super({ ...options, facts: { ...options.facts, type: "s3" } }, dialectOf(options));
  }
}

function dialectOf({ address, signer }: HttpOptions): StoreDialect<FailureFacts> {
  return {
    successes: SUCCESSES,
    sign: (request, nowMs) => sign(request, nowMs, address, signer),
    refusalError: ({ status, headers, text, authorization }, facts) => {
      const refusal = parseErrorAnswer(status, text, headerOf({ headers }, "date"));
      const hasOtherKeys = status >= 300 && isOfEndedKeys(refusal) && signer.refuse(authorization);
      return answerError(refusal, facts, hasOtherKeys);
    },
  };
}

async function sign(request: S3Request, nowMs: number, address: S3Address, signer: Signer): Promise<SignedRequest> {
  const path = `${address.pathPrefix}/${request.key === undefined ? "" : encodePath(request.key)}`;
  const { body, method, query = {} } = request;
  const headers: Record<string, string> = { "user-agent": "pgbackstop", ...request.headers };
  if (body?.sendsMd5 === true) headers["content-md5"] = body.md5.toString("base64");
  const sha256Hex = body === undefined ? SHA256_EMPTY : sha256Of(body);
  const signed = await signer.sign({ method, host: address.host, path, query, headers, sha256Hex }, nowMs);
  const text = encodeQuery(query);
  return { path: text === "" ? path : `${path}?${text}`, headers: signed };
}

/** A body of one piece. */
export function bodyOf(bytes: Uint8Array, sendsMd5: boolean): S3Body {
  return hashed(bytes, newBodyHash(sendsMd5));
}

/** Signatures contain the SHA-256 of a body. */
export function newBodyHash(sendsMd5: boolean): BodyHash {
  return new BodyHash({ sendsMd5, sha256: true });
}

function sha256Of({ sha256Hex }: S3Body): string {
  assert(sha256Hex !== undefined, "a body has no SHA-256");
  return sha256Hex;
}
