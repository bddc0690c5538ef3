/** Reads the XML answers of an S3 service: pages of a listing, results of a batch deletion. */
import { compareBytes } from "../../base/bytes";
import { BackupError, fail } from "../../base/errors";
import { errorFacts, type FailureFacts } from "./failure";
import { findText, parseXml, type XmlElement } from "./xml";

export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
}

export interface ListPage {
  readonly objects: readonly ListedObject[];
  /** Each ends in `/`. */
  readonly commonPrefixes: readonly string[];
  /** Parameters of the request for the next page; null on the last. */
  readonly next: { readonly "continuation-token": string } | { readonly "start-after": string } | null;
}

export interface DeleteFailure {
  readonly key: string;
  readonly code: string;
  readonly message: string;
}

/** The root element of a successful answer. @throws service unless the text is XML of an S3 service. */
export function parseAnswer(text: string, facts: FailureFacts): XmlElement {
  try {
    return parseXml(text);
  } catch (error) {
    const reason = error instanceof BackupError ? error.message : String(error);
    throw fail("service", `unable to ${facts.doing}: ${reason}`, { repoIndex: facts.repoIndex, cause: error });
  }
}

/** One page of ListObjectsV2. @throws service for any other document. */
export function parseListPage(text: string, facts: FailureFacts): ListPage {
  const root = parseAnswer(text, facts);
  if (root.name !== "ListBucketResult")
    throw fail("service", `unable to ${facts.doing}: the answer is '${root.name}'`, { repoIndex: facts.repoIndex });
  const objects: ListedObject[] = [];
  const commonPrefixes: string[] = [];
  for (const child of root.children) {
    if (child.name === "CommonPrefixes") commonPrefixes.push(requiredText(child, "Prefix", facts));
    else if (child.name === "Contents") objects.push(listedObject(child, facts));
  }
  return { objects, commonPrefixes, next: nextOf(root, objects, commonPrefixes) };
}

/** Keys that a batch deletion failed to remove. */
export function parseDeleteResult(text: string, facts: FailureFacts): DeleteFailure[] {
  const root = parseAnswer(text, facts);
  if (root.name !== "DeleteResult")
    throw fail("service", `unable to ${facts.doing}: the answer is '${root.name}'`, { repoIndex: facts.repoIndex });
  // Backblaze B2 has sent an empty element without a failure.
  const errors = root.children.filter((child) => child.name === "Error" && child.children.length > 0);
  return errors.map((child) => ({ key: requiredText(child, "Key", facts), ...errorFacts(child) }));
}

function listedObject(element: XmlElement, facts: FailureFacts): ListedObject {
  const sizeBytes = Number(requiredText(element, "Size", facts));
  const modifiedAtMs = Date.parse(requiredText(element, "LastModified", facts));
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || Number.isNaN(modifiedAtMs)) {
    throw fail("service", `unable to ${facts.doing}: the listing has an object without a valid size or time`, {
      repoIndex: facts.repoIndex,
    });
  }
  return { key: requiredText(element, "Key", facts), sizeBytes, modifiedAtMs };
}

function nextOf(
  root: XmlElement,
  objects: readonly ListedObject[],
  commonPrefixes: readonly string[],
): ListPage["next"] {
  if (findText(root, "IsTruncated")?.trim() !== "true") return null;
  const token = findText(root, "NextContinuationToken");
  if (token !== undefined && token !== "") return { "continuation-token": token };
  // Older Ceph omits the token: continue after the last name, which is the greatest of the page.
  const last = [objects.at(-1)?.key ?? "", commonPrefixes.at(-1) ?? ""].sort(compareBytes)[1] ?? "";
  // For a prefix, after everything below it.
  return last === "" ? null : { "start-after": last.endsWith("/") ? `${last}\u{10FFFF}` : last };
}

function requiredText(element: XmlElement, name: string, facts: FailureFacts): string {
  const text = findText(element, name);
  if (text === undefined)
    throw fail("service", `unable to ${facts.doing}: '${element.name}' without '${name}'`, {
      repoIndex: facts.repoIndex,
    });
  return text;
}
