/**
 * A model of a bucket that keeps versions: a list of writes and deletions with their times, and the answers of an S3
 * service about them (GetBucketVersioning, ListObjectVersions in small pages, GET of a version).
 */
import { compareBytes } from "../../../runtime/base/bytes";
import { escapeXml } from "../../../runtime/storage/objectStore/xml";
import { content, type DoubleAnswer, type DoubleRequest, errorBody } from "./s3Double";

interface State {
  readonly key: string;
  /** Null for a delete marker. */
  readonly text: string | null;
  readonly atMs: number;
  readonly id: string;
}

export interface ModelOptions {
  readonly pageSize?: number;
  /** False lists all delete markers before all versions. */
  readonly isMixed?: boolean;
  /** The bucket's status, empty for one that never kept versions; null if the key may not ask. */
  readonly versioning?: "Enabled" | "Suspended" | "" | null;
}

export class VersionedModel {
  readonly #bucket: string;
  readonly #options: Required<ModelOptions>;
  /** The newest first. */
  readonly #states: State[] = [];

  constructor(bucket: string, options: ModelOptions = {}) {
    this.#bucket = bucket;
    this.#options = { pageSize: 1000, isMixed: true, versioning: "Enabled", ...options };
  }

  /** A null text deletes. */
  write(key: string, text: string | null, atMs: number, id = `v${this.#states.length}`): void {
    this.#states.unshift({ key, text, atMs, id });
  }

  answer({ headers, url }: DoubleRequest): DoubleAnswer {
    const { pathname, searchParams: query } = new URL(url, "http://double");
    const key = decodeURIComponent(pathname).slice(this.#bucket.length + 2);
    if (key !== "") return this.#get(key, query.get("versionId"), headers);
    if (query.has("versioning")) return this.#versioning();
    return query.has("versions") ? this.#list(query) : { status: 400, body: errorBody("InvalidRequest") };
  }

  #get(key: string, id: string | null, headers: DoubleRequest["headers"]): DoubleAnswer {
    const state = this.#states.find((candidate) => candidate.key === key && candidate.id === id);
    if (state?.text === undefined || state.text === null) return { status: 404, body: errorBody("NoSuchVersion") };
    return content({ headers }, state.text);
  }

  #versioning(): DoubleAnswer {
    const { versioning } = this.#options;
    if (versioning === null) return { status: 403, body: errorBody("AccessDenied") };
    const status = versioning === "" ? "" : `<Status>${versioning}</Status>`;
    return { status: 200, body: `<VersioningConfiguration>${status}</VersioningConfiguration>` };
  }

  #list(query: URLSearchParams): DoubleAnswer {
    const { isMixed, pageSize } = this.#options;
    const prefix = query.get("prefix") ?? "";
    const marker = query.get("key-marker") ?? "";
    const idMarker = query.get("version-id-marker");
    const states = this.#states
      .filter(({ key }) => key.startsWith(prefix))
      .toSorted((left, right) => compareBytes(left.key, right.key));
    const folderOf = (key: string): string | null => {
      const end = query.get("delimiter") === "/" ? key.indexOf("/", prefix.length) : -1;
      return end === -1 ? null : key.slice(0, end + 1);
    };
    const from = states.findIndex(({ id, key }) => key === marker && id === idMarker);
    // After a folder, everything below it is over.
    const rest = (from === -1 ? states : states.slice(from + 1)).filter(
      ({ key }) => from !== -1 || compareBytes(folderOf(key) ?? key, marker) > 0,
    );
    const page: State[] = [];
    const folders: string[] = [];
    let next = "<IsTruncated>false</IsTruncated>";
    let isTruncated = false;
    for (const state of rest) {
      const folder = folderOf(state.key);
      if (folder !== null && folders.includes(folder)) continue;
      if (page.length + folders.length === pageSize) {
        isTruncated = true;
        next = "<IsTruncated>true</IsTruncated>";
        break;
      }
      if (folder === null) page.push(state);
      else folders.push(folder);
    }
    const last = page.at(-1);
    const isFolderLast = last === undefined || compareBytes(folders.at(-1) ?? "", last.key) > 0;
    if (isTruncated) {
      next += isFolderLast
        ? `<NextKeyMarker>${escapeXml(folders.at(-1) ?? "")}</NextKeyMarker>`
        : `<NextKeyMarker>${escapeXml(last.key)}</NextKeyMarker><NextVersionIdMarker>${last.id}</NextVersionIdMarker>`;
    }
    const listed = isMixed
      ? page
      : page.toSorted((left, right) => Number(left.text !== null) - Number(right.text !== null));
    const xml = [
      ...listed.map((state) => this.#stateXml(state)),
      ...folders.map((folder) => `<CommonPrefixes><Prefix>${escapeXml(folder)}</Prefix></CommonPrefixes>`),
      next,
    ];
    return { status: 200, body: `<ListVersionsResult>${xml.join("")}</ListVersionsResult>` };
  }

  #stateXml({ atMs, id, key, text }: State): string {
    const isLatest = this.#states.find((state) => state.key === key)?.id === id;
    const name = text === null ? "DeleteMarker" : "Version";
    const size = text === null ? "" : `<Size>${Buffer.byteLength(text)}</Size>`;
    // Amazon's times have whole seconds.
    const at = new Date(Math.floor(atMs / 1000) * 1000).toISOString();
    return `<${name}><Key>${escapeXml(key)}</Key><VersionId>${id}</VersionId><IsLatest>${isLatest}</IsLatest><LastModified>${at}</LastModified>${size}</${name}>`;
  }
}
