/**
 * An account of Azure with versions, soft delete and immutability policies, in memory, as Microsoft documents them
 * ("Blob versioning", "Soft delete for blobs", "Delete Blob", "Version-level WORM policies"): Azurite has none of them.
 * It reads no signatures: `rights` are the letters of one, or `account` for the account's own key.
 */
import { createHash } from "node:crypto";
import { compareBytes } from "../../../runtime/base/bytes";
import { escapeXml, parseXml } from "../../../runtime/storage/objectStore/xml";
import { listing, refused } from "./honestAzure";
import { content, type DoubleAnswer, type DoubleRequest } from "./s3Double";

interface Version {
  readonly id: string;
  readonly bytes: Buffer;
  readonly modifiedMs: number;
  isCurrent: boolean;
  isSoftDeleted: boolean;
  policy: "unlocked" | "locked" | null;
}

export interface AccountOptions {
  readonly rights: string;
  readonly nowMs: () => number;
  /** False: a deleted or overwritten blob is gone. */
  readonly versioning?: boolean;
  readonly softDelete?: boolean;
  readonly permanentDelete?: boolean;
  /** What locks each new version for a day. */
  readonly policy?: "unlocked" | "locked" | null;
  /** A rule of the container refuses deletions of versions, which show no policy of their own. */
  readonly isHeld?: boolean;
  /** Entries in a page. */
  readonly pageSize?: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const DENIED = refused(403, "AuthorizationPermissionMismatch");

export class VersionedAzure {
  readonly #options: Required<AccountOptions>;
  /** By key, the oldest first. */
  readonly #blobs = new Map<string, Version[]>();
  readonly #blocks = new Map<string, Buffer>();
  #writeCount = 0;

  constructor(options: AccountOptions) {
    const more = {
      versioning: true,
      softDelete: true,
      permanentDelete: false,
      policy: null,
      isHeld: false,
      pageSize: 5000,
    };
    this.#options = { ...more, ...options };
  }

  put(key: string, bytes: Uint8Array): Version {
    const { nowMs, policy, versioning } = this.#options;
    const modifiedMs = nowMs();
    const count = String(++this.#writeCount % 1_000_000).padStart(6, "0");
    const id = versioning ? `${new Date(modifiedMs).toISOString().slice(0, 20)}${count}0Z` : "";
    const version = { id, bytes: Buffer.from(bytes), modifiedMs, isCurrent: true, isSoftDeleted: false, policy };
    this.#hide(key);
    this.#blobs.set(key, [...this.#all(key), version]);
    return version;
  }

  remove(key: string): void {
    this.#hide(key);
  }

  answer(request: DoubleRequest): DoubleAnswer {
    const { pathname, searchParams: query } = new URL(request.url, "http://account");
    const key = decodeURIComponent(pathname).split("/").slice(3).join("/");
    const answer = this.#answer(request, key, query);
    const own = { date: new Date(this.#options.nowMs()).toUTCString(), "x-ms-request-id": "1" };
    return { ...answer, headers: { ...own, ...answer.headers } };
  }

  #answer(request: DoubleRequest, key: string, query: URLSearchParams): DoubleAnswer {
    const { body, method } = request;
    switch (query.get("comp")) {
      case "properties":
        return this.#may("") ? refused(400, "InvalidXmlDocument") : DENIED;
      case "list":
        return this.#may("l") ? this.#list(query) : DENIED;
      case "undelete":
        return this.#undelete(key);
      case "immutabilityPolicies":
        return this.#unlock(key, query.get("versionid"));
      case "block":
        this.#blocks.set(query.get("blockid") ?? "", body);
        return { status: 201, headers: { "content-md5": md5(body) } };
      case "blocklist": {
        const blocks = parseXml(body.toString()).children.map(({ text }) => this.#blocks.get(text) ?? Buffer.alloc(0));
        return this.#store(request, key, Buffer.concat(blocks));
      }
    }
    if (method === "PUT") return this.#store(request, key, body);
    if (method === "DELETE") return this.#delete(key, query);
    return this.#may("r") ? this.#get(request, key, query.get("versionid")) : DENIED;
  }

  /** Every right is also the account's own key's. */
  #may(right: string): boolean {
    const { rights } = this.#options;
    return rights === "account" || (right !== "" && rights.includes(right));
  }

  #all(key: string): Version[] {
    return this.#blobs.get(key) ?? [];
  }

  #find(key: string, id: string | null): Version | undefined {
    return this.#all(key).find((version) => (id === null ? version.isCurrent : version.id === id));
  }

  /** Without versions soft delete keeps nothing from a thief, who writes a blob of another type. */
  #hide(key: string): void {
    const former = this.#options.versioning ? this.#all(key) : [];
    for (const version of former) version.isCurrent = false;
    this.#blobs.set(key, former);
  }

  #store({ body, headers }: DoubleRequest, key: string, bytes: Buffer): DoubleAnswer {
    if (!this.#may("w")) return DENIED;
    const current = this.#find(key, null);
    if (headers["if-none-match"] === "*" && current !== undefined) return refused(409, "BlobAlreadyExists");
    const match = headers["if-match"];
    if (match !== undefined && match !== etagOf(current)) return refused(412, "ConditionNotMet");
    const version = this.put(key, bytes);
    return {
      status: 201,
      headers: { ...idHeader(version), etag: etagOf(version), "content-md5": md5(body) },
    };
  }

  #get(request: DoubleRequest, key: string, id: string | null): DoubleAnswer {
    const version = this.#find(key, id);
    if (version === undefined || version.isSoftDeleted) return refused(404, "BlobNotFound");
    const { bytes, modifiedMs, policy } = version;
    const until = new Date(modifiedMs + DAY_MS).toUTCString();
    const lock = policy === null ? {} : { "x-ms-immutability-policy-until-date": until };
    const size = request.method === "HEAD" ? { "content-length": String(bytes.length) } : {};
    const own = { etag: etagOf(version), "last-modified": new Date(modifiedMs).toUTCString() };
    const answer = content(request, bytes);
    return { ...answer, headers: { ...answer.headers, ...own, ...idHeader(version), ...lock, ...size } };
  }

  #delete(key: string, query: URLSearchParams): DoubleAnswer {
    const id = query.get("versionid");
    if (id === null) {
      if (!this.#may("d")) return DENIED;
      if (this.#find(key, null) === undefined) return refused(404, "BlobNotFound");
      this.#hide(key);
      return { status: 202 };
    }
    const isPermanent = query.get("deletetype") === "permanent";
    if (!this.#may(isPermanent ? "y" : "x")) return DENIED;
    const version = this.#find(key, id);
    if (version === undefined || version.isSoftDeleted !== isPermanent) return refused(404, "BlobNotFound");
    if (version.isCurrent) return refused(403, "OperationNotAllowedOnRootBlob");
    if (version.policy !== null || this.#options.isHeld) return refused(409, "BlobImmutableDueToPolicy");
    if (isPermanent && !this.#options.permanentDelete) return refused(409, "PermanentDeleteNotEnabled");
    if (this.#options.softDelete && !isPermanent) version.isSoftDeleted = true;
    else
      this.#blobs.set(
        key,
        this.#all(key).filter((other) => other !== version),
      );
    return { status: 202 };
  }

  #undelete(key: string): DoubleAnswer {
    if (!this.#may("w")) return DENIED;
    for (const version of this.#all(key)) version.isSoftDeleted = false;
    return this.#all(key).length === 0 ? refused(404, "BlobNotFound") : { status: 200 };
  }

  #unlock(key: string, id: string | null): DoubleAnswer {
    if (!this.#may("i")) return DENIED;
    const version = this.#find(key, id);
    if (version === undefined) return refused(404, "BlobNotFound");
    if (version.policy === "locked") return refused(409, "BlobImmutableDueToPolicy");
    version.policy = null;
    return { status: 200 };
  }

  /** By name, then by version, the oldest first. */
  #list(query: URLSearchParams): DoubleAnswer {
    const [prefix, delimiter] = [query.get("prefix") ?? "", query.get("delimiter")];
    const withVersions = query.get("include") === "versions";
    const entries: string[] = [];
    for (const key of [...this.#blobs.keys()].sort(compareBytes)) {
      if (!key.startsWith(prefix)) continue;
      const shown = this.#all(key).filter(
        ({ isCurrent, isSoftDeleted }) => !isSoftDeleted && (withVersions || isCurrent),
      );
      const slash = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
      const folder = `<BlobPrefix><Name>${escapeXml(key.slice(0, slash + 1))}</Name></BlobPrefix>`;
      if (slash === -1) entries.push(...shown.map((version) => versionXml(key, version, withVersions)));
      else if (shown.length > 0 && !entries.includes(folder)) entries.push(folder);
    }
    const { pageSize } = this.#options;
    const from = Number(query.get("marker") ?? "0");
    const next = from + pageSize < entries.length ? String(from + pageSize) : "";
    return listing(entries.slice(from, from + pageSize).join(""), next);
  }
}

function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("base64");
}

function etagOf(version: Version | undefined): string {
  return version === undefined ? "" : `"${version.modifiedMs}-${md5(version.bytes)}"`;
}

/** Only an account with versions has ids. */
function idHeader({ id }: Version): Readonly<Record<string, string>> {
  return id === "" ? {} : { "x-ms-version-id": id };
}

function versionXml(key: string, { bytes, id, isCurrent, modifiedMs }: Version, withVersions: boolean): string {
  const current = isCurrent ? "<IsCurrentVersion>true</IsCurrentVersion>" : "";
  const version = withVersions && id !== "" ? `<VersionId>${id}</VersionId>${current}` : "";
  const modified = `<Last-Modified>${new Date(modifiedMs).toUTCString()}</Last-Modified>`;
  return `<Blob><Name>${escapeXml(key)}</Name>${version}<Properties>${modified}<Content-Length>${bytes.length}</Content-Length></Properties></Blob>`;
}
