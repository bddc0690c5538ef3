/** Requests to one bucket ("Cloud Storage JSON API"). */
import type { Bearer } from "../objectStore/accessToken";
import { StoreHttp, type StoreRequest } from "../objectStore/storeHttp";
import type { SignedRequest, StoreDialect, StoreHttpOptions } from "../objectStore/storeHttp";
import { encodePart, encodeQuery } from "../objectStore/urlEncoding";
import { gcsError, type GcsFacts } from "./gcsFailure";

export interface GcsHttpOptions extends Omit<StoreHttpOptions<GcsFacts>, "facts"> {
  readonly bearer: Bearer;
  /** Pays for requests. */
  readonly userProject?: string;
  /** A message without the request's own part. */
  readonly facts: Omit<GcsFacts, "doing" | "path" | "type">;
}

const SUCCESSES: Readonly<Record<StoreRequest["method"], readonly number[]>> = {
  GET: [200, 206],
  HEAD: [],
  PUT: [200, 201],
  POST: [200],
  DELETE: [204, 200],
};

export class GcsHttp extends StoreHttp<GcsFacts> {
  constructor(options: GcsHttpOptions) {
    super({ ...options, facts: { ...options.facts, type: "gcs" } }, dialectOf(options));
  }
}

function dialectOf(options: GcsHttpOptions): StoreDialect<GcsFacts> {
  return {
    successes: SUCCESSES,
    sign: (request) => sign(request, options),
    refusalError: (refusal, facts) =>
      gcsError(refusal, facts, refusal.status === 401 && options.bearer.refuse(refusal.authorization)),
  };
}

async function sign(request: StoreRequest, { address, bearer, userProject }: GcsHttpOptions): Promise<SignedRequest> {
  const { action, key, isOfBucket = false, query = {} } = request;
  const isUpload = query["uploadType"] !== undefined;
  const objects = isOfBucket ? address.pathPrefix : `${address.pathPrefix}/o`;
  // An upload names its object in the query. Elsewhere slashes of a name are no slashes of the path.
  const named = isUpload ? `/upload${objects}` : key === undefined ? objects : `${objects}/${encodePart(key)}`;
  const path = action === undefined ? named : `${named}/${action}`;
  const text = encodeQuery({
    ...query,
    ...(isUpload && key !== undefined ? { name: key } : {}),
    ...(userProject === undefined ? {} : { userProject }),
  });
  return {
    path: text === "" ? path : `${path}?${text}`,
    headers: {
      "user-agent": "pgbackstop",
      host: address.host,
      ...request.headers,
      authorization: await bearer.header(),
    },
  };
}
