/** Refuses a success that is not what a request asked for: a proxy, a cache or another service may have answered. */
import { BackupError, fail } from "../../base/errors";
import type { KeyPage } from "./keyPrefix";
import type { RequestFacts } from "./transportFailure";
import { parseXml, type XmlElement } from "./xml";

export function malformed(reason: string, { doing, path, repoIndex }: RequestFacts, cause?: unknown): BackupError {
  return fail("service", `unable to ${doing}: ${reason}`, { repoIndex, path, cause });
}

/** The error for an upload that the service has not stored. What has answered instead may do so for a moment only. */
export function unproven(fact: string, { doing, path, repoIndex }: RequestFacts): BackupError {
  return fail("service", `unable to ${doing}: ${fact}`, { repoIndex, path, retryable: true });
}

/** The root element of an answer. @throws service */
export function parseDocument(text: string, facts: RequestFacts): XmlElement {
  try {
    return parseXml(text);
  } catch (error) {
    throw malformed(error instanceof BackupError ? error.message : String(error), facts, error);
  }
}

/** A cache that ignores the query returns another listing. @throws service */
export function requirePrefix(prefix: string, { folders, objects }: KeyPage, facts: RequestFacts): void {
  const foreign = [...objects.map(({ key }) => key), ...folders].find((key) => !key.startsWith(prefix));
  if (foreign !== undefined)
    throw malformed(`the listing has '${foreign}', which does not begin with '${prefix}'`, facts);
}
