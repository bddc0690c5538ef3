/** Requests to one container ("Blob service REST API"). */
import { headerOf, StoreHttp, type StoreRequest } from "../objectStore/storeHttp";
import type { SignedRequest, StoreDialect, StoreHttpOptions } from "../objectStore/storeHttp";
import { encodePath } from "../objectStore/urlEncoding";
import { azureError, type AzureFacts } from "./azureFailure";
import type { AzureAuthority } from "./azureKey";

export interface AzureHttpOptions extends Omit<StoreHttpOptions<AzureFacts>, "facts"> {
  readonly authority: AzureAuthority;
  /** A message without the request's own part. */
  readonly facts: Omit<AzureFacts, "doing" | "path" | "type">;
}

/** As stock's. */
const API_VERSION = "2021-06-08";
const SUCCESSES: Readonly<Record<StoreRequest["method"], readonly number[]>> = {
  GET: [200, 206],
  HEAD: [200],
  PUT: [201],
  POST: [],
  DELETE: [202],
};

export class AzureHttp extends StoreHttp<AzureFacts> {
  constructor(options: AzureHttpOptions) {
    super({ ...options, facts: { ...options.facts, type: "azure" } }, dialectOf(options));
  }
}

function dialectOf(options: AzureHttpOptions): StoreDialect<AzureFacts> {
  return {
    successes: SUCCESSES,
    sign: (request, nowMs) => sign(request, nowMs, options),
    refusalError: (refusal, facts) => {
      const mayBeEnded = refusal.status === 401 || headerOf(refusal, "x-ms-error-code") === "AuthenticationFailed";
      return azureError(refusal, facts, mayBeEnded && options.authority.refuse?.(refusal.authorization) === true);
    },
  };
}

function sign(
  request: StoreRequest,
  nowMs: number,
  { address, authority }: Pick<AzureHttpOptions, "address" | "authority">,
): Promise<SignedRequest> {
  const { body, isOfAccount = false, key, method, query = {} } = request;
  const headers: Record<string, string> = {
    "user-agent": "pgbackstop",
    host: address.host,
    "x-ms-date": new Date(nowMs).toUTCString(),
    "x-ms-version": API_VERSION,
    ...request.headers,
  };
  if (body?.sendsMd5 === true) headers["content-md5"] = body.md5.toString("base64");
  const { pathPrefix } = address;
  const container = isOfAccount ? pathPrefix.slice(0, pathPrefix.lastIndexOf("/") + 1) : pathPrefix;
  const path = key === undefined ? container : `${pathPrefix}/${encodePath(key)}`;
  return authority.authorize({ method, path, query, headers, bodySizeBytes: body?.sizeBytes ?? 0 });
}
