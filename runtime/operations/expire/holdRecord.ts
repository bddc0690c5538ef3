/**
 * A hold's own record, `pgbackstop/<stanza>/holds/<label>`, beside its notes in backup.info, which may lose them: stock
 * writes what it read before its backup, a process that slept overwrites the file, and manifests, from which it is
 * rebuilt, have no notes of later. Where the two differ, the longer hold counts.
 *
 * Records are encrypted like the info files, with the repository's own passphrase.
 */
import { textOf, utf8 } from "../../base/bytes";
import type { Context } from "../../base/context";
import { isFields } from "../../base/declaredTypes";
import { isError } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import { parseJson, renderJson } from "../../format/repository/json";
import { isLabel } from "../../format/repository/label";
import { holdPath, holdsPath } from "../../format/repository/repoPath";
import type { Lease } from "../../repository/lease";
import { listNames, readFile, type Repository, requireContent, writeFile } from "../../repository/repository";
import { annotate } from "../shared/annotate";
import { type Hold, holdNotes, type RecordedHolds } from "./hold";

const VERSION = 1;
const READS_AT_ONCE = 8;
/** Nobody removes a backup because of damage. */
const UNREADABLE: Hold = { reason: "its record cannot be read", untilS: null };

/**
 * Holds a backup, or releases it with null. False when the repository has no such backup; one that backup.info has lost
 * can be released, not held.
 * @throws lockAcquire (50) when the lease was lost, fileMissing (55) when the repository does not show the record
 */
export async function setHold(
  repo: Repository,
  label: string,
  hold: Hold | null,
  lease: Lease,
  ctx: Context,
): Promise<boolean> {
  const isListed = await annotate(repo, label, holdNotes(hold), lease, ctx);
  if (!isListed && (hold !== null || (await loadHold(repo, label)) === undefined)) return false;
  await lease.check();
  // A release overwrites the record: the key may lack the right to delete.
  const json = { version: VERSION, hold: hold === null ? null : { reason: hold.reason, untilS: hold.untilS } };
  const [path, bytes] = [holdPath(repo.stanza, label), utf8(`${renderJson(json)}\n`)];
  await writeFile(repo, path, bytes, repo.cipherPass, ctx);
  await requireContent(repo, path, bytes, repo.cipherPass);
  return true;
}

export async function loadHolds(repo: Repository): Promise<RecordedHolds> {
  const holds = new Map<string, Hold | null>();
  const labels = await listNames(repo, holdsPath(repo.stanza), isLabel);
  await mapParallel(labels, READS_AT_ONCE, async (label) => {
    const hold = await loadHold(repo, label);
    if (hold !== undefined) holds.set(label, hold);
  });
  return holds;
}

/** Undefined without a record. */
async function loadHold(repo: Repository, label: string): Promise<Hold | null | undefined> {
  try {
    return parseHold(textOf(await readFile(repo, holdPath(repo.stanza, label), repo.cipherPass)));
  } catch (error) {
    if (isError(error, "fileMissing")) return undefined;
    if (isError(error, "format", "jsonFormat", "crypto", "fileInvalid")) return UNREADABLE;
    throw error;
  }
}

/** @throws jsonFormat */
function parseHold(text: string): Hold | null {
  const value = parseJson(text);
  if (!isFields(value) || value["version"] !== VERSION) return UNREADABLE;
  if (value["hold"] === null) return null;
  const { reason, untilS } = isFields(value["hold"]) ? value["hold"] : {};
  if (typeof reason !== "string" || (untilS !== null && typeof untilS !== "number")) return UNREADABLE;
  return { reason, untilS };
}
