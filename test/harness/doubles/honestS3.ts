/** A bucket in memory that keeps the promises of Amazon's API that the driver needs. It reads no signatures. */
import { createHash } from "node:crypto";
import { escapeXml, findText, parseXml } from "../../../runtime/storage/objectStore/xml";
import { content, type DoubleAnswer, type DoubleRequest, errorBody } from "./s3Double";

const MODIFIED = "2026-11-20T06:40:59.000Z";
const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex");
const ok = (name: string, inner: string): DoubleAnswer => ({
  status: 200,
  headers: { "content-type": "application/xml" },
  body: `<?xml version="1.0" encoding="UTF-8"?><${name}>${inner}</${name}>`,
});
const refused = (status: number, code: string): DoubleAnswer => ({ status, body: errorBody(code) });

interface StoredObject {
  readonly bytes: Buffer;
  /** Without quotes. */
  readonly etag: string;
}

export class HonestS3 {
  readonly objects = new Map<string, StoredObject>();
  readonly #uploads = new Map<string, Map<number, Buffer>>();

  put(key: string, bytes: Uint8Array): void {
    this.objects.set(key, { bytes: Buffer.from(bytes), etag: md5(bytes) });
  }

  answer(request: DoubleRequest): DoubleAnswer {
    const { pathname, searchParams: query } = new URL(request.url, "http://bucket");
    const key = decodeURIComponent(pathname).split("/").slice(2).join("/");
    const uploadId = query.get("uploadId");
    if (query.has("uploads")) return this.#begin();
    if (uploadId !== null) return this.#upload(request, key, uploadId, query.get("partNumber"));
    if (query.has("delete")) return this.#deleteBatch(request.body.toString());
    if (query.has("list-type")) return this.#list(query);
    const object = this.objects.get(key);
    switch (request.method) {
      case "PUT":
        return this.#put(request, key, object);
      case "DELETE":
        this.objects.delete(key);
        return { status: 204 };
      default: {
        if (object === undefined) return refused(404, "NoSuchKey");
        const answer = content(request, object.bytes);
        const size = request.method === "HEAD" ? { "content-length": String(object.bytes.length) } : {};
        const time = { "last-modified": new Date(MODIFIED).toUTCString() };
        return { ...answer, headers: { ...answer.headers, ...time, ...size, etag: `"${object.etag}"` } };
      }
    }
  }

  #put({ body, headers }: DoubleRequest, key: string, object: StoredObject | undefined): DoubleAnswer {
    const match = headers["if-match"];
    if (headers["if-none-match"] === "*" && object !== undefined) return refused(412, "PreconditionFailed");
    if (match !== undefined && object === undefined) return refused(404, "NoSuchKey");
    if (match !== undefined && match !== `"${object?.etag}"`) return refused(412, "PreconditionFailed");
    this.put(key, body);
    return { status: 200, headers: { etag: `"${md5(body)}"` } };
  }

  #begin(): DoubleAnswer {
    const uploadId = `upload-${this.#uploads.size}`;
    this.#uploads.set(uploadId, new Map());
    return ok("InitiateMultipartUploadResult", `<UploadId>${uploadId}</UploadId>`);
  }

  #upload({ method, body }: DoubleRequest, key: string, uploadId: string, number: string | null): DoubleAnswer {
    const parts = this.#uploads.get(uploadId);
    if (parts === undefined) return refused(404, "NoSuchUpload");
    if (method === "PUT") {
      parts.set(Number(number), body);
      return { status: 200, headers: { etag: `"${md5(body)}"` } };
    }
    if (method === "DELETE") {
      this.#uploads.delete(uploadId);
      return { status: 204 };
    }
    const named = parseXml(body.toString()).children.map((part) => ({
      bytes: parts.get(Number(findText(part, "PartNumber"))) ?? null,
      etag: findText(part, "ETag")?.replaceAll('"', ""),
    }));
    if (named.some(({ bytes, etag }) => bytes === null || md5(bytes) !== etag)) return refused(400, "InvalidPart");
    const digests = Buffer.from(named.map(({ etag }) => etag).join(""), "hex");
    const etag = `${md5(digests)}-${named.length}`;
    this.objects.set(key, { bytes: Buffer.concat(named.map(({ bytes }) => bytes ?? Buffer.alloc(0))), etag });
    this.#uploads.delete(uploadId);
    return ok("CompleteMultipartUploadResult", `<ETag>"${etag}"</ETag>`);
  }

  #deleteBatch(text: string): DoubleAnswer {
    const keys = parseXml(text).children.flatMap((child) => findText(child, "Key") ?? []);
    for (const key of keys) this.objects.delete(key);
    return ok("DeleteResult", keys.map((key) => `<Deleted><Key>${escapeXml(key)}</Key></Deleted>`).join(""));
  }

  /** Recursive, in one page. */
  #list(query: URLSearchParams): DoubleAnswer {
    const listed = [...this.objects].filter(([key]) => key.startsWith(query.get("prefix") ?? ""));
    const xml = listed.map(
      ([key, { bytes }]) =>
        `<Contents><Key>${escapeXml(key)}</Key><LastModified>${MODIFIED}</LastModified><Size>${bytes.length}</Size></Contents>`,
    );
    return ok("ListBucketResult", `<IsTruncated>false</IsTruncated>${xml.join("")}`);
  }
}
