/** Opens the upper directory: reads its names and the journal, and carries out unfinished steps. */
import { closeSync, ftruncateSync, openSync, readFileSync, unlinkSync } from "../../local/nodeFiles";
import { fail } from "../../base/errors";
import type { ManifestFile } from "../../format/repository/manifest";
import { systemCodeOf } from "../../local/systemError";
import {
  applyEntry,
  type FileHistory,
  isWholeJournal,
  Journal,
  type JournalEntry,
  type PageFate,
  parseJournal,
  replayJournal,
} from "./journal";
import { type PageRun, PageSet } from "./pageSet";
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
    return isWholeJournal(parseJournal(readFileSync(journal, "latin1")));
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return false;
    throw error;
  }
}

/** `boot` identifies this start of the machine. @throws fileInvalid when a file is not as the journal says */
export function openUpper(
  location: UpperLocation,
  rows: readonly ManifestFile[],
  boot: string,
  nowMs: () => number,
): UpperDirectory {
  const entries = parseJournal(readFileSync(location.journal, "latin1"));
  const histories = replayJournal(entries, boot);
  // A file that is whole may be cut or removed by an unfinished step, and need not.
  const bound = isWholeJournal(entries) ? [] : rows;
  const ends = finishSteps(location.upper, bound, histories);
  const fd = openSync(location.journal, "a", 0o600);
  const journal = new Journal(fd);
  journal.append({ kind: "session", boot });
  // Before anything is served: a step that is carried out again would take what was written since.
  for (const entry of ends) journal.append(entry);
  const tree = new Tree(location.upper, journal, nowMs);
  const targets = bound.flatMap((row, index) => bind(tree, index, row, histories.get(index)) ?? []);
  return { tree, journal, targets, close: () => journal.close() };
}

/**
 * Intents of a killed process. Nobody was told that they happened; a server repeats what it still needs. Returns their
 * ends.
 */
function finishSteps(
  upper: string,
  rows: readonly ManifestFile[],
  histories: ReadonlyMap<number, FileHistory>,
): JournalEntry[] {
  const ends: JournalEntry[] = [];
  for (const [file, history] of histories) {
    const row = rows[file];
    if (row === undefined || !history.isBound) continue;
    const path = `${upper}/${pathInData(row.name)}`;
    const end = (kind: "cut-done" | "removed"): void => {
      const entry = { kind, file } as const;
      applyEntry(history, entry, true);
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
  } finally {
    closeSync(fd);
  }
}

function meet({ clean, pages }: Origin, fate: PageFate, [first, last]: PageRun): void {
  const isNew = fate === "clean" ? pages.missingRuns(first, last) : [];
  if (fate === "dropped") pages.remove(first, last);
  else pages.add(first, last);
  if (fate === "there" || fate === "dropped") clean.remove(first, last);
  for (const run of isNew) clean.add(...run);
}

function bind(tree: Tree, index: number, row: ManifestFile, history: FileHistory | undefined): Target | null {
  if (row.sizeBytes === 0 || history?.isBound === false) return null;
  const path = pathInData(row.name);
  const file = tree.find(path)?.file;
  const origin = originOf(index, row);
  const unsynced = new PageSet(row.sizeBytes);
  for (const [fate, run] of history?.runs ?? []) {
    meet(origin, fate, run);
    if (fate === "there") unsynced.add(...run);
    else if (fate !== "clean") unsynced.remove(...run);
  }
  origin.endBytes = Math.min(origin.endBytes, history?.endBytes ?? origin.endBytes);
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
  file.bind(origin, unsynced.runsIn(0, unsynced.count - 1));
  return { file, origin };
}
