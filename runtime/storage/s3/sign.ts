/**
 * AWS Signature Version 4 for S3: header based, path encoded once, the real SHA-256 of the body in
 * `x-amz-content-sha256` ("Signature Version 4 signing process", Amazon S3 API reference). No chunked payloads, no
 * `x-amz-checksum-*`.
 */
import { createHash, createHmac } from "node:crypto";
import { encodeQuery } from "../objectStore/urlEncoding";
import type { Credentials, CredentialSource } from "./credentials";

export interface UnsignedRequest {
  readonly method: string;
  /** Host header: name and any non-default port. */
  readonly host: string;
  /** Encoded path, starting with `/`. */
  readonly path: string;
  /** Parameters as plain text. */
  readonly query: Readonly<Record<string, string>>;
  /** Lower-case names; all are signed but `user-agent`, which proxies change. */
  readonly headers: Readonly<Record<string, string>>;
  readonly sha256Hex: string;
}

/** SHA-256 of no bytes. */
export const SHA256_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const ALGORITHM = "AWS4-HMAC-SHA256";

export class Signer {
  readonly #credentials: CredentialSource;
  readonly #region: string;

  constructor(credentials: Credentials | CredentialSource, region: string) {
    this.#credentials = "current" in credentials ? credentials : { current: async () => credentials };
    this.#region = region;
  }

  /** As {@link CredentialSource.refuse}, for a request with this header; fixed keys are the only ones. */
  refuse(authorization: string): boolean {
    const [, accessKey = ""] = /Credential=(.+?)\/\d{8}\//.exec(authorization) ?? [];
    return this.#credentials.refuse?.(accessKey) === true;
  }

  /** All headers to send, including `authorization` and `host`. `nowMs` is the time of signing. */
  async sign(request: UnsignedRequest, nowMs: number): Promise<Record<string, string>> {
    // Asked for every signature: expiring keys are renewed in between.
    const { key, keySecret, token } = await this.#credentials.current();
    const time = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, "");
    const headers: Record<string, string> = {
      ...request.headers,
      host: request.host,
      "x-amz-content-sha256": request.sha256Hex,
      "x-amz-date": time,
      ...(token === undefined ? {} : { "x-amz-security-token": token.reveal() }),
    };
    const names = Object.keys(headers)
      .filter((name) => name !== "user-agent")
      .sort();
    const lines = names.map((name) => `${name}:${headers[name]?.trim().replaceAll(/ +/g, " ") ?? ""}`);
    const signedHeaders = names.join(";");
    const { method, path, query, sha256Hex } = request;
    const canonical = [method, path, encodeQuery(query), ...lines, "", signedHeaders, sha256Hex].join("\n");
    const parts = [time.slice(0, 8), this.#region, "s3", "aws4_request"];
    const scope = parts.join("/");
    const text = [ALGORITHM, time, scope, createHash("sha256").update(canonical).digest("hex")].join("\n");
    const signingKey = parts.reduce<string | Buffer>(hmac, `AWS4${keySecret.reveal()}`);
    const signature = hmac(signingKey, text).toString("hex");
    const credential = `${key.reveal()}/${scope}`;
    const authorization = `${ALGORITHM} Credential=${credential}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
    return { ...headers, authorization };
  }
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
