/** Reads answers of Google Cloud Storage ("Cloud Storage JSON API", resources Object and Objects: list). */
import { isFields } from "../../base/declaredTypes";
import type { ListedKey, ListedPage } from "../objectStore/keyPrefix";
import { malformed, requirePrefix } from "../objectStore/malformed";
import type { RequestFacts } from "../objectStore/transportFailure";

type Fields = Readonly<Record<string, unknown>>;

/** One generation of an object. */
export interface GcsObject extends ListedKey {
  readonly generation: string;
  /** When it was deleted or replaced; absent for the live one. */
  readonly endedAtMs?: number;
  /** End of its retention, by the bucket or by itself; absent without one. */
  readonly lockedUntilMs?: number;
  /** Base64; absent for an object that others have composed. */
  readonly md5?: string;
}

export interface ObjectPage extends ListedPage {
  readonly objects: readonly GcsObject[];
}

const OBJECT_FIELDS = "name,size,generation,timeCreated";
/** Limits an answer to what is read here. */
export const ANSWER_FIELDS = `kind,${OBJECT_FIELDS},md5Hash`;
/** Fields of an object that is looked at. */
export const INFO_FIELDS = `${ANSWER_FIELDS},retentionExpirationTime`;
export const PAGE_FIELDS = `kind,nextPageToken,prefixes,items(${OBJECT_FIELDS})`;
export const VERSION_PAGE_FIELDS = `kind,nextPageToken,prefixes,items(${OBJECT_FIELDS},timeDeleted)`;
export const BUCKET_FIELDS = "kind,versioning";

/** An object. @throws service for any other document */
export function parseObject(text: string, key: string, facts: RequestFacts): GcsObject {
  const fields = parseRoot(text, facts);
  if (fields["kind"] !== "storage#object") throw malformed("the answer is no object", facts);
  const object = objectOf(fields, facts);
  if (object.key !== key) throw malformed(`the answer is about '${object.key}'`, facts);
  return object;
}

/** One page of a listing with keys that begin with `prefix`. @throws service for any other document */
export function parseObjectPage(text: string, prefix: string, facts: RequestFacts): ObjectPage {
  const root = parseRoot(text, facts);
  if (root["kind"] !== "storage#objects") throw malformed("the answer is no listing", facts);
  const { items = [], nextPageToken = "", prefixes: folders = [] } = root;
  if (!Array.isArray(items) || !isTexts(folders) || typeof nextPageToken !== "string")
    throw malformed("the listing has other fields", facts);
  const objects = items.map((item: unknown) => objectOf(isFields(item) ? item : {}, facts));
  requirePrefix(prefix, { objects, folders }, facts);
  return { objects, folders, next: nextPageToken === "" ? null : { pageToken: nextPageToken } };
}

/** Whether a bucket keeps versions now. @throws service for any other document */
export function parseVersioning(text: string, facts: RequestFacts): boolean {
  const { kind, versioning } = parseRoot(text, facts);
  if (kind !== "storage#bucket") throw malformed("the answer is no bucket", facts);
  return isFields(versioning) && versioning["enabled"] === true;
}

function objectOf(fields: Fields, facts: RequestFacts): GcsObject {
  const { generation, md5Hash, name, retentionExpirationTime, size, timeCreated, timeDeleted } = fields;
  const modifiedAtMs = timeOf(timeCreated);
  const ended = timeDeleted === undefined ? {} : { endedAtMs: timeOf(timeDeleted) };
  const isTimed = ![modifiedAtMs, ended.endedAtMs].some(Number.isNaN);
  if (typeof name !== "string" || name === "" || !isNumber(size) || !isNumber(generation) || !isTimed)
    throw malformed("an object without a valid name, size, generation or time", facts);
  const md5 = typeof md5Hash === "string" ? { md5: md5Hash } : {};
  const lockedUntilMs = timeOf(retentionExpirationTime);
  const lock = Number.isNaN(lockedUntilMs) ? {} : { lockedUntilMs };
  return { key: name, sizeBytes: Number(size), modifiedAtMs, generation, ...ended, ...lock, ...md5 };
}

function timeOf(value: unknown): number {
  return Date.parse(typeof value === "string" ? value : "");
}

/** 64-bit numbers are texts. */
function isNumber(value: unknown): value is string {
  return typeof value === "string" && /^[0-9]{1,19}$/.test(value);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string" && item !== "");
}

function parseRoot(text: string, facts: RequestFacts): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw malformed("the answer is not JSON", facts, error);
  }
  if (!isFields(value)) throw malformed("the answer is no JSON object", facts);
  return value;
}
