/** Opens the upper directory: reads its names and the journal, and carries out unfinished steps. */
import { dirname } from "node:path";
import { syncDirectory } from "../../local/atomicWrite";
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "../../local/nodeFiles";
import { fail } from "../../base/errors";
import type { ManifestFile } from "../../format/repository/manifest";
import { systemCodeOf } from "../../local/systemError";
import { Journal } from "./journal";
import { type JournalEntry, readJournal } from "./journalEntries";
import { type FileHistory, JournalState, pagesBefore } from "./journalState";
import { type Origin, originOf, type StoredFile } from "./storedFile";
import { pathInData, Tree } from "./tree";

/** A file whose missing pages are in the backup. */
export interface Target {
  readonly file: StoredFile;
  readonly origin: Origin;
}

export interface UpperLocation {
  readonly upper: string;
  /** The journal's file. */
  readonly journal: string;
}

export interface UpperDirectory {
  readonly tree: Tree;
  readonly journal: Journal;
  /** None if everything is there. */
  readonly targets: readonly Target[];
  close(): void;
}

/** Whether everything is there, and on the disk. */
export function isWhole({ journal }: Pick<UpperLocation, "journal">): boolean {
  try {
    for (const { kind } of readJournal(journal)) if (kind === "whole") return true;
    return false;
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return false;
    throw error;
  }
}

/**
 * Puts the directory of the WAL beside the mount, with a link in its place, or back. A killed one is repeated.
 */
export async function moveServerWal(
  { serverWal, upper }: { readonly upper: string; readonly serverWal: string },
  isBeside: boolean,
): Promise<void> {
  const inside = `${upper}/pg_wal`;
  const info = lstatSync(inside, { throwIfNoEntry: false });
  const isLinked = info?.isSymbolicLink() === true && readlinkSync(inside) === serverWal;
  if (info !== undefined && isLinked === isBeside) return;
  if (isLinked) unlinkSync(inside);
  else if (info !== undefined) {
    // Something that somebody has put in the place of our link stays there.
    if (!info.isDirectory() || existsSync(serverWal)) return;
    renameSync(inside, serverWal);
  }
  if (!existsSync(serverWal)) return;
  if (isBeside) symlinkSync(serverWal, inside);
  else renameSync(serverWal, inside);
  for (const directory of [upper, dirname(serverWal)]) await syncDirectory(directory);
}

/** `boot` identifies this start of the machine. @throws fileInvalid when a file is not as the journal says */
export function openUpper(
  location: UpperLocation,
  rows: readonly ManifestFile[],
  boot: string,
  nowMs: () => number,
): UpperDirectory {
  const state = new JournalState(rows, boot);
  for (const entry of readJournal(location.journal)) state.apply(entry);
  // A file that is whole may be cut or removed by an unfinished step, and need not.
  const bound = state.isWhole ? [] : rows;
  const ends = finishSteps(location.upper, bound, state);
  const journal = continueJournal(location.journal, boot, state, ends);
  const tree = new Tree(location.upper, journal, nowMs);
  const targets = bound.flatMap((row, index) => bind(tree, index, row, state.histories.get(index)) ?? []);
  return { tree, journal, targets, close: () => journal.close() };
}

/** Before anything is served: a step that is carried out again would take what was written since. */
function continueJournal(path: string, boot: string, state: JournalState, ends: readonly JournalEntry[]): Journal {
  const session = { kind: "session", boot } as const;
  state.apply(session);
  const journal = new Journal(openSync(path, "a", 0o600), writeSync, { path, state });
  try {
    if (state.isComplete) {
      journal.merge();
      return journal;
    }
  } catch {
    // A full disk may take some lines more, but not another file.
  }
  journal.append(session);
  for (const entry of ends) journal.append(entry);
  return journal;
}

/**
 * Intents of a killed process. Nobody was told that they happened; a server repeats what it still needs. Returns their
 * ends.
 */
function finishSteps(upper: string, rows: readonly ManifestFile[], state: JournalState): JournalEntry[] {
  const ends: JournalEntry[] = [];
  for (const [file, history] of state.histories) {
    const row = rows[file];
    if (row === undefined || !history.isBound) continue;
    const path = `${upper}/${pathInData(row.name)}`;
    const end = (kind: "cut-done" | "removed"): void => {
      const entry = { kind, file } as const;
      state.apply(entry);
      ends.push(entry);
    };
    try {
      if (history.isPendingRemove) {
        end("removed");
        unlinkSync(path);
      } else if (history.pendingCutBytes !== null) {
        cutTo(path, history.pendingCutBytes);
        end("cut-done");
      }
    } catch (error) {
      if (systemCodeOf(error) !== "ENOENT") throw error;
    }
  }
  return ends;
}

function cutTo(path: string, sizeBytes: number): void {
  const fd = openSync(path, "r+");
  try {
    ftruncateSync(fd, sizeBytes);
    // The journal is about to say that it has happened.
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function bind(tree: Tree, index: number, row: ManifestFile, history: FileHistory | undefined): Target | null {
  if (row.sizeBytes === 0 || history?.isBound === false) return null;
  const path = pathInData(row.name);
  const file = tree.find(path)?.file;
  const origin = originOf(index, row);
  if (history !== undefined) {
    for (const pages of [history.clean, history.durable, history.unsynced]) origin.pages.addAll(pages);
    origin.clean.addAll(history.clean);
    origin.endBytes = Math.min(origin.endBytes, history.endBytes);
    origin.pages.add(pagesBefore(origin.endBytes), origin.pages.count - 1);
  }
  // A server would take a table for empty or shorter, without an error.
  if (file == null || file.sizeBytes < origin.endBytes)
    throw fail(
      "fileInvalid",
      `'${path}' is ${file == null ? "missing" : "too short"}, and the journal does not say why`,
      {
        hint: "The machine may have lost its power while the backup was prepared. Close it, and open it again.",
        path: `${tree.upper}/${path}`,
      },
    );
  const last = origin.pages.count - 1;
  file.bind(origin, history && [...history.unsynced.runsIn(0, last), ...history.clean.runsIn(0, last)]);
  return { file, origin };
}
