/**
 * What an unfinished recovery has done, durable and beside the data directory: a run that was killed at any moment is gone on with, or undone,
 * from this file alone. It holds no secret.
 */
import { readFile, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { fail } from "../../base/errors";
import { atomicWrite, syncDirectory } from "../../local/atomicWrite";
import { isMissing, systemError } from "../../local/systemError";
import type { ServerControl } from "./control";
import type { Owner } from "./hostFacts";
import type { Move, RecoverRequest } from "./plan";

/** In order; each is written before what it names is begun, `done` after all of it. */
export const PHASES = ["stop", "move", "restore", "start", "done", "undo"] as const;
export type Phase = (typeof PHASES)[number];

export interface Journal {
  readonly version: 1;
  readonly phase: Phase;
  /** Of the process that works on it. */
  readonly pid: number;
  readonly request: RecoverRequest;
  readonly label: string;
  readonly startedAtS: number;
  readonly configuredDirectory: string;
  readonly dataDirectory: string;
  readonly account: Owner;
  readonly control: ServerControl;
  readonly moves: readonly Move[];
  readonly restoreWords: readonly string[];
  /** Where the old data's WAL is, once they are moved, and the last segment that was archived when the plan was made. */
  readonly oldWal: { readonly directory: string; readonly last: string; readonly segmentSizeBytes: number } | null;
  /** Of an undo: the recovered server has run, so its timeline may be in the archive. */
  readonly hasStarted?: boolean;
  /** Of what was begun in the place of the old data: how it is called when it is moved out of their way. */
  readonly stamp: string;
}

export function journalPath(dataDirectory: string): string {
  return `${dataDirectory}.recover.json`;
}

/** What pg_ctl makes of a server that it starts. */
export function serverLogPath(dataDirectory: string): string {
  return `${dataDirectory}.recover.log`;
}

/** Null when there is none. @throws format (29) */
export async function readJournal(dataDirectory: string): Promise<Journal | null> {
  const path = journalPath(dataDirectory);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return null;
    throw systemError("fileOpen", `open file '${path}' for read`, path, error);
  }
  try {
    const journal = JSON.parse(text) as Journal;
    if (journal.version === 1 && PHASES.includes(journal.phase)) return journal;
  } catch {
    // Told below.
  }
  throw fail("format", `'${path}' is no journal of a recovery that this version knows`, {
    path,
    hint: "an unfinished recovery was begun by another version: end it with that one, or put the directories back by hand and remove the file.",
  });
}

export async function writeJournal(journal: Journal): Promise<void> {
  await atomicWrite(journalPath(journal.dataDirectory), Buffer.from(`${JSON.stringify(journal, null, 2)}\n`), { mode: 0o600 });
}

export async function removeJournal(dataDirectory: string): Promise<void> {
  await unlink(journalPath(dataDirectory)).catch((error: unknown) => {
    if (!isMissing(error)) throw systemError("fileRemove", `remove '${journalPath(dataDirectory)}'`, journalPath(dataDirectory), error);
  });
  await syncDirectory(dirname(dataDirectory));
}
