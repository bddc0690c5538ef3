/** A container in memory that keeps the promises of Azure's API that the driver needs. It reads no signatures. */
import { createHash } from "node:crypto";
import { escapeXml, parseXml } from "../../../runtime/storage/objectStore/xml";
import { COMMON_LIES, document, type Lie } from "./lyingS3";
import { content, type DoubleAnswer, type DoubleRequest, errorBody } from "./s3Double";

const MODIFIED = "Fri, 20 Nov 2026 06:40:59 GMT";
const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("base64");

interface StoredBlob {
  readonly bytes: Buffer;
  readonly etag: string;
}

export class HonestAzure {
  readonly objects = new Map<string, StoredBlob>();
  readonly #blocks = new Map<string, Buffer>();
  #writeCount = 0;

  put(key: string, bytes: Uint8Array): string {
    const etag = `"0x${++this.#writeCount}"`;
    this.objects.set(key, { bytes: Buffer.from(bytes), etag });
    return etag;
  }

  answer(request: DoubleRequest): DoubleAnswer {
    const { pathname, searchParams: query } = new URL(request.url, "http://account");
    const key = decodeURIComponent(pathname).split("/").slice(3).join("/");
    const answer = this.#answer(request, key, query);
    return { ...answer, headers: { ...answer.headers, "x-ms-request-id": "1", "x-ms-version": "2021-06-08" } };
  }

  #answer(request: DoubleRequest, key: string, query: URLSearchParams): DoubleAnswer {
    const { body, method } = request;
    const digest = { "content-md5": md5(body) };
    switch (query.get("comp")) {
      case "list":
        return this.#list(query.get("prefix") ?? "");
      case "block":
        this.#blocks.set(query.get("blockid") ?? "", body);
        return { status: 201, headers: digest };
      case "blocklist": {
        const blocks = parseXml(body.toString()).children.map(({ text }) => this.#blocks.get(text));
        if (blocks.includes(undefined)) return refused(400, "InvalidBlockList");
        const etag = this.put(key, Buffer.concat(blocks.map((block) => block ?? Buffer.alloc(0))));
        return { status: 201, headers: { ...digest, etag } };
      }
    }
    const blob = this.objects.get(key);
    if (method === "PUT") return this.#put(request, key, blob);
    if (blob === undefined) return refused(404, "BlobNotFound");
    if (method === "DELETE") {
      this.objects.delete(key);
      return { status: 202 };
    }
    const answer = content(request, blob.bytes);
    const size = method === "HEAD" ? { "content-length": String(blob.bytes.length) } : {};
    return { ...answer, headers: { ...answer.headers, "last-modified": MODIFIED, ...size, etag: blob.etag } };
  }

  #put({ body, headers }: DoubleRequest, key: string, blob: StoredBlob | undefined): DoubleAnswer {
    const match = headers["if-match"];
    if (headers["if-none-match"] === "*" && blob !== undefined) return refused(409, "BlobAlreadyExists");
    if (match !== undefined && match !== blob?.etag) return refused(412, "ConditionNotMet");
    return { status: 201, headers: { etag: this.put(key, body), "content-md5": md5(body) } };
  }

  /** Recursive, in one page. */
  #list(prefix: string): DoubleAnswer {
    const blobs = [...this.objects]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, { bytes }]) => blobXml(key, bytes.length));
    return listing(blobs.join(""));
  }
}

/** A page of a listing. */
export function listing(blobs: string, marker = ""): DoubleAnswer {
  const body = `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://e/" ContainerName="c"><Blobs>${blobs}</Blobs><NextMarker>${escapeXml(marker)}</NextMarker></EnumerationResults>`;
  return { status: 200, headers: { "content-type": "application/xml" }, body };
}

/** A blob in a listing. */
export function blobXml(key: string, sizeBytes: number): string {
  return `<Blob><Name>${escapeXml(key)}</Name><Properties><Last-Modified>${MODIFIED}</Last-Modified><Content-Length>${sizeBytes}</Content-Length></Properties></Blob>`;
}

/** The service names its refusal in a header too, which an answer to HEAD has alone. */
export function refused(status: number, code: string): DoubleAnswer {
  return { status, headers: { "x-ms-error-code": code }, body: errorBody(code) };
}

/** Lies of something between the driver and the service. */
export const AZURE_LIES: Readonly<Record<string, Lie>> = {
  ...COMMON_LIES,
  "200 with BlobNotFound": () => ({ status: 200, body: errorBody("BlobNotFound") }),
  "202 with HTML": () => ({ status: 202, headers: { "content-type": "text/html" }, body: "<html></html>" }),
  "201 with an etag": () => ({ status: 201, headers: { etag: '"0x99"' } }),
  "204 for everything": () => ({ status: 204 }),
  "another MD5": (_verb, truth) => ({
    ...truth,
    headers: { ...truth.headers, "content-md5": md5(Buffer.from("other")) },
  }),
  "no MD5": (_verb, truth) => {
    const { "content-md5": _digest, ...headers } = truth.headers ?? {};
    return { ...truth, headers };
  },
  "no listing": document(["GET list"], "<EnumerationResults/>"),
  "a listing without an end": document(["GET list"], "<EnumerationResults><Blobs/></EnumerationResults>"),
  "an unfinished listing": document(
    ["GET list"],
    "<EnumerationResults><Blobs/><NextMarker>more</NextMarker></EnumerationResults>",
  ),
  "another listing": document(
    ["GET list"],
    `<EnumerationResults><Blobs>${blobXml("other/f", 1)}</Blobs><NextMarker/></EnumerationResults>`,
  ),
};

/** `GET list`: the method, and what the query asks for. */
export function azureVerbOf({ method, url }: DoubleRequest): string {
  return `${method} ${new URL(url, "http://account").searchParams.get("comp") ?? "object"}`;
}
