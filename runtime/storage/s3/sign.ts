/**
 * AWS Signature Version 4 for S3: header based, path encoded once, the real SHA-256 of the body in
 * `x-amz-content-sha256` ("Signature Version 4 signing process", Amazon S3 API reference). No chunked payloads, no
 * `x-amz-checksum-*`.
 */
import { createHash, createHmac, type Hash, type Hmac } from "node:crypto";
import type { SignatureV4 } from "@smithy/signature-v4";
import type { Credentials, CredentialSource } from "./credentials";

export interface UnsignedRequest {
  readonly method: string;
  /** Host header: name and any non-default port. */
  readonly host: string;
  /** Encoded path, starting with `/`. */
  readonly path: string;
  /** Parameters as plain text. */
  readonly query: Readonly<Record<string, string>>;
  /** Lower-case names; all of them are signed. */
  readonly headers: Readonly<Record<string, string>>;
  readonly sha256Hex: string;
}

/** SHA-256 of no bytes. */
export const SHA256_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

export class Signer {
  readonly #credentials: CredentialSource;
  readonly #region: string;
  #signer: Promise<SignatureV4> | undefined;

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
    this.#signer ??= loadSigner(this.#credentials, this.#region);
    const signed = await (await this.#signer).sign(
      {
        method: request.method,
        protocol: "https:",
        hostname: request.host,
        path: request.path,
        query: { ...request.query },
        headers: { ...request.headers, host: request.host, "x-amz-content-sha256": request.sha256Hex },
      },
      { signingDate: new Date(nowMs) },
    );
    return signed.headers;
  }
}

/** Loads the package with the first signature, like the HTTP client. */
async function loadSigner(source: CredentialSource, region: string): Promise<SignatureV4> {
  const smithy = await import("@smithy/signature-v4");
  return new smithy.SignatureV4({
    service: "s3",
    region,
    // Called for every signature: expiring keys are renewed in between.
    credentials: async () => {
      const { key, keySecret, token } = await source.current();
      return {
        accessKeyId: key.reveal(),
        secretAccessKey: keySecret.reveal(),
        ...(token === undefined ? {} : { sessionToken: token.reveal() }),
      };
    },
    sha256: NativeSha256,
    uriEscapePath: false,
    applyChecksum: false,
  });
}

/** The signer's hash: plain SHA-256, or HMAC if it passes a key. */
class NativeSha256 {
  readonly #secret: string | ArrayBuffer | ArrayBufferView | undefined;
  #hash: Hash | Hmac;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret = secret;
    this.#hash = newHash(secret);
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data));
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {
    this.#hash = newHash(this.#secret);
  }
}

function newHash(secret: string | ArrayBuffer | ArrayBufferView | undefined): Hash | Hmac {
  return secret === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(secret));
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === "string") return Buffer.from(data, "utf8");
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}
