/** Reads listings of Azure Blob Storage. */
import type { ListedKey, ListedPage } from "../objectStore/keyPrefix";
import { malformed, parseDocument, requirePrefix } from "../objectStore/malformed";
import type { RequestFacts } from "../objectStore/transportFailure";
import { findChild, findText, type XmlElement } from "../objectStore/xml";

/** Header with the end of a version's policy, locked or not ("Get Blob Properties"). */
export const POLICY_HEADER = "x-ms-immutability-policy-until-date";

/** A blob, or one of its versions. */
export interface ListedBlob extends ListedKey {
  /** Empty if it was written while the account kept no versions. */
  readonly versionId: string;
  readonly isCurrent: boolean;
}

export interface BlobPage extends ListedPage {
  readonly objects: readonly ListedBlob[];
}

/** One page of List Blobs with keys that begin with `prefix`. @throws service for any other document */
export function parseBlobPage(text: string, prefix: string, facts: RequestFacts): BlobPage {
  const root = parseDocument(text, facts);
  if (root.name !== "EnumerationResults") throw malformed(`the answer is '${root.name}'`, facts);
  const [listed, marker] = [findChild(root, "Blobs"), findText(root, "NextMarker")];
  // Every listing says whether it is complete; a document that does not is no listing.
  if (listed === undefined || marker === undefined) throw malformed("the listing is incomplete", facts);
  const blobs = listed.children.filter((child) => child.name === "Blob" && !isDirectory(child));
  const page = {
    objects: blobs.map((child) => listedBlob(child, facts)),
    folders: listed.children.filter(({ name }) => name === "BlobPrefix").map((child) => nameOf(child, facts)),
  };
  requirePrefix(prefix, page, facts);
  return { ...page, next: marker === "" ? null : { marker } };
}

/** Accounts with a hierarchical namespace list directories among the blobs. */
function isDirectory(blob: XmlElement): boolean {
  const properties = findChild(blob, "Properties");
  return properties !== undefined && findText(properties, "ResourceType")?.trim() === "directory";
}

function listedBlob(element: XmlElement, facts: RequestFacts): ListedBlob {
  const properties = findChild(element, "Properties");
  const text = (name: string): string => (properties === undefined ? "" : (findText(properties, name) ?? ""));
  const size = text("Content-Length");
  const modifiedAtMs = Date.parse(text("Last-Modified"));
  if (!/^[0-9]{1,15}$/.test(size) || Number.isNaN(modifiedAtMs))
    throw malformed("the listing has a blob without a valid size or time", facts);
  const versionId = findText(element, "VersionId")?.trim() ?? "";
  const isCurrent = versionId === "" || findText(element, "IsCurrentVersion")?.trim() === "true";
  return { key: nameOf(element, facts), sizeBytes: Number(size), modifiedAtMs, versionId, isCurrent };
}

function nameOf(element: XmlElement, facts: RequestFacts): string {
  const name = findText(element, "Name") ?? "";
  if (name === "") throw malformed(`'${element.name}' without 'Name'`, facts);
  return name;
}
