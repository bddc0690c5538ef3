/** Reads the XML answers of an S3 service: pages of listings, results of a batch deletion. */
import { compareBytes } from "../../base/bytes";
import { answerError, type FailureFacts } from "./failure";
import { errorFacts } from "../objectStore/errorDocument";
import type { ListedKey, ListedPage } from "../objectStore/keyPrefix";
import { malformed, parseDocument, requirePrefix } from "../objectStore/malformed";
import { type ListedVersion, secondOf, type VersionPage } from "../objectStore/objectVersions";
import { findText, type XmlElement } from "../objectStore/xml";

/** Header with the end of a version's lock, for keys that may read it (`s3:GetObjectRetention`). */
export const LOCK_HEADER = "x-amz-object-lock-retain-until-date";

export interface DeleteResult {
  readonly deleted: readonly string[];
  readonly refused: readonly string[];
}

/**
 * The root element of an answer. A service may begin with 200 and end with an error.
 * @throws the service's error, or service unless the text is this document
 */
export function parseAnswer(text: string, rootName: string, facts: FailureFacts, status = 200): XmlElement {
  const root = parseDocument(text, facts);
  if (root.name === rootName) return root;
  if (root.name === "Error") throw answerError({ status, ...errorFacts(root) }, facts);
  throw malformed(`the answer is '${root.name}'`, facts);
}

/** One page of ListObjectsV2 with keys that begin with `prefix`. @throws service for any other document */
export function parseListPage(text: string, prefix: string, facts: FailureFacts): ListedPage {
  const root = parseAnswer(text, "ListBucketResult", facts);
  const objects = childrenOf(root, "Contents").map((child) => listedObject(child, facts));
  const folders = foldersOf(root, facts);
  requirePrefix(prefix, { objects, folders }, facts);
  return { objects, folders, next: nextOf(root, objects, folders, facts) };
}

/** One page of ListObjectVersions with keys that begin with `prefix`. @throws service for any other document */
export function parseVersionPage(text: string, prefix: string, facts: FailureFacts): VersionPage {
  const root = parseAnswer(text, "ListVersionsResult", facts);
  const versions = childrenOf(root, "Version", "DeleteMarker").map((element) => listedVersion(element, facts));
  const folders = foldersOf(root, facts);
  requirePrefix(prefix, { objects: versions, folders }, facts);
  return { versions: newestFirst(versions), folders, next: nextVersionsOf(root, facts) };
}

/** True if the bucket keeps versions, or has kept them before: they stay readable. */
export function parseVersioning(text: string, facts: FailureFacts): boolean {
  const root = parseAnswer(text, "VersioningConfiguration", facts);
  return ["Enabled", "Suspended"].includes(findText(root, "Status")?.trim() ?? "");
}

/** The id of an upload in parts that has begun. */
export function parseUploadId(text: string, facts: FailureFacts): string {
  return requiredText(parseAnswer(text, "InitiateMultipartUploadResult", facts), "UploadId", facts);
}

/** Keys of a batch deletion, as far as the service accounts for them. */
export function parseDeleteResult(text: string, facts: FailureFacts): DeleteResult {
  const root = parseAnswer(text, "DeleteResult", facts);
  const keysOf = (name: string): string[] =>
    childrenOf(root, name)
      // Backblaze B2 has sent an empty error without a failure.
      .filter(({ children }) => children.length > 0)
      .map((child) => requiredText(child, "Key", facts));
  return { deleted: keysOf("Deleted"), refused: keysOf("Error") };
}

function childrenOf(root: XmlElement, ...names: readonly string[]): XmlElement[] {
  return root.children.filter(({ name }) => names.includes(name));
}

function foldersOf(root: XmlElement, facts: FailureFacts): string[] {
  return childrenOf(root, "CommonPrefixes").map((child) => requiredText(child, "Prefix", facts));
}

/** Every listing says whether it is complete; a document that does not is no listing. */
function isTruncated(root: XmlElement, facts: FailureFacts): boolean {
  const text = requiredText(root, "IsTruncated", facts).trim();
  if (text === "true" || text === "false") return text === "true";
  throw malformed(`'${text}' is no value of 'IsTruncated'`, facts);
}

function listedVersion(element: XmlElement, facts: FailureFacts): ListedVersion {
  const isDeleted = element.name === "DeleteMarker";
  const { key, modifiedAtMs, sizeBytes } = listedObject(element, facts, isDeleted ? "0" : undefined);
  const versionId = requiredText(element, "VersionId", facts);
  const isLatest = findText(element, "IsLatest")?.trim() === "true";
  return { key, sizeBytes, modifiedAtMs: ulidTimeMs(versionId) ?? modifiedAtMs, versionId, isDeleted, isLatest };
}

const ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ULID_TIME_DIGITS = 10;
const ULID_SINCE_MS = Date.UTC(2015, 0, 1);
const ULID_UNTIL_MS = Date.UTC(2100, 0, 1);

/**
 * versitygw (1.8) dates an old version by its replacement, and a delete marker by the object that it hides. Its version
 * ids are ULIDs, which begin with the time of their creation. No other service has ids of this form.
 */
function ulidTimeMs(versionId: string): number | null {
  if (!/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(versionId)) return null;
  let timeMs = 0;
  for (const digit of versionId.slice(0, ULID_TIME_DIGITS)) timeMs = timeMs * 32 + ULID_DIGITS.indexOf(digit);
  return timeMs >= ULID_SINCE_MS && timeMs < ULID_UNTIL_MS ? timeMs : null;
}

/**
 * Amazon lists the versions and delete markers of a key in one order, the newest first. Others, such as versitygw, list
 * all markers before all versions: then times decide. Amazon's have whole seconds. Within one second the latest state
 * comes first, then one that exists.
 */
function newestFirst(listed: readonly ListedVersion[]): readonly ListedVersion[] {
  const compare = (left: ListedVersion, right: ListedVersion): number =>
    compareBytes(left.key, right.key) || secondOf(right) - secondOf(left);
  const isOrdered = listed.every((version, index) => {
    const before = listed[index - 1];
    return before === undefined || compare(before, version) <= 0;
  });
  if (isOrdered) return listed;
  return listed.toSorted(
    (left, right) =>
      compare(left, right) ||
      Number(right.isLatest) - Number(left.isLatest) ||
      Number(left.isDeleted) - Number(right.isDeleted),
  );
}

function nextVersionsOf(root: XmlElement, facts: FailureFacts): VersionPage["next"] {
  if (!isTruncated(root, facts)) return null;
  const version = findText(root, "NextVersionIdMarker") ?? "";
  return {
    "key-marker": requiredText(root, "NextKeyMarker", facts),
    ...(version === "" ? {} : { "version-id-marker": version }),
  };
}

function listedObject(element: XmlElement, facts: FailureFacts, sizeText?: string): ListedKey {
  const sizeBytes = Number(sizeText ?? requiredText(element, "Size", facts));
  const modifiedAtMs = Date.parse(requiredText(element, "LastModified", facts));
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || Number.isNaN(modifiedAtMs))
    throw malformed("the listing has an object without a valid size or time", facts);
  return { key: requiredText(element, "Key", facts), sizeBytes, modifiedAtMs };
}

function nextOf(
  root: XmlElement,
  objects: readonly ListedKey[],
  folders: readonly string[],
  facts: FailureFacts,
): ListedPage["next"] {
  if (!isTruncated(root, facts)) return null;
  const token = findText(root, "NextContinuationToken");
  if (token !== undefined && token !== "") return { "continuation-token": token };
  // Older Ceph omits the token: continue after the last name, which is the greatest of the page.
  const [name, prefix] = [objects.at(-1)?.key ?? "", folders.at(-1) ?? ""];
  const isPrefix = compareBytes(prefix, name) > 0;
  const last = isPrefix ? prefix : name;
  if (last === "") throw malformed("the listing is incomplete, without names or a token", facts);
  // For a prefix, after everything below it. An object may be named like one.
  return { "start-after": isPrefix ? `${last}\u{10FFFF}` : last };
}

/** Text of the child of that name. @throws service if it is missing or empty */
export function requiredText(element: XmlElement, name: string, facts: FailureFacts): string {
  const text = findText(element, name) ?? "";
  if (text === "") throw malformed(`'${element.name}' without '${name}'`, facts);
  return text;
}
