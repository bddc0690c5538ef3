/**
 * Authorization of requests: the account's key signs them, a shared access signature (SAS) is part of their query, or a
 * managed identity's token is sent along ("Authorize with Shared Key", "Create a service SAS", Azure Storage REST API).
 */
import { createHmac } from "node:crypto";
import type { Secret } from "../../base/secret";
import type { Bearer } from "../objectStore/accessToken";
import type { SignedRequest } from "../objectStore/storeHttp";
import { encodeQuery } from "../objectStore/urlEncoding";

export interface UnsignedAzureRequest {
  readonly method: string;
  /** Encoded path, with the account if the address has it there. */
  readonly path: string;
  /** Parameters as plain text. */
  readonly query: Readonly<Record<string, string>>;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bodySizeBytes: number;
}

export interface AzureAuthority {
  authorize(request: UnsignedAzureRequest): Promise<SignedRequest>;
  /** After the service has refused a request with this header: true if another try has another token. */
  refuse?(authorization: string): boolean;
}

/** In the order in which they are signed; empty where a request has none. */
const SIGNED_HEADERS = [
  "content-encoding",
  "content-language",
  "content-length",
  "content-md5",
  "content-type",
  // `x-ms-date` counts instead.
  "date",
  "if-modified-since",
  "if-match",
  "if-none-match",
  "if-unmodified-since",
  "range",
];

/** `key` is Base64. */
export function sharedKeyAuthority(account: string, key: Secret): AzureAuthority {
  return {
    authorize: async (request) => {
      const text = textToSign(account, request);
      const signature = createHmac("sha256", Buffer.from(key.reveal(), "base64")).update(text, "utf8").digest("base64");
      return {
        path: pathWith(request.path, request.query),
        headers: { ...request.headers, authorization: `SharedKey ${account}:${signature}` },
      };
    },
  };
}

/** What the account's key signs. */
export function textToSign(account: string, request: UnsignedAzureRequest): string {
  const { method, path, query, headers, bodySizeBytes } = request;
  const all: Readonly<Record<string, string>> = {
    ...headers,
    // Since version 2015-02-21 a length of 0 is signed as nothing.
    "content-length": bodySizeBytes === 0 ? "" : String(bodySizeBytes),
  };
  const own = Object.keys(headers)
    .filter((name) => name.startsWith("x-ms-"))
    .sort()
    .map((name) => `${name}:${headers[name]}\n`);
  const parameters = Object.keys(query)
    .sort()
    .map((name) => `\n${name}:${query[name]}`);
  return [
    method,
    ...SIGNED_HEADERS.map((name) => all[name] ?? ""),
    `${own.join("")}/${account}${path}${parameters.join("")}`,
  ].join("\n");
}

/** `sas` is the query of a URL, with or without its question mark. */
export function sasAuthority(sas: Secret): AzureAuthority {
  return {
    authorize: async ({ headers, path, query }) => {
      const own = Object.fromEntries(new URLSearchParams(sas.reveal().replace(/^\?/, "")));
      return { path: pathWith(path, { ...query, ...own }), headers };
    },
  };
}

export function tokenAuthority(bearer: Bearer): AzureAuthority {
  return {
    authorize: async ({ headers, path, query }) => ({
      path: pathWith(path, query),
      headers: { ...headers, authorization: await bearer.header() },
    }),
    refuse: (authorization) => bearer.refuse(authorization),
  };
}

function pathWith(path: string, query: Readonly<Record<string, string>>): string {
  const text = encodeQuery(query);
  return text === "" ? path : `${path}?${text}`;
}
