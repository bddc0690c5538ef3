/**
 * The durable journal of an unfinished recovery. From this file alone a later run can resume or undo it. It holds no
 * secrets and no commands: how to stop and start the server is derived on each run.
 */
import { fail } from "../../base/errors";
import type { OpenState, Production } from "../open/openLocation";
import type { HostFacts, Owner } from "./hostFacts";
import { JournalFile } from "./journalFile";
import type { OldWal } from "./oldWal";
import type { Move, RecoverRequest } from "./recoverPlan";

/**
 * In order. Each phase is written before its work begins, `done` after all work. Only an instant recovery has `fetch`,
 * `swap` and `restart`.
 */
export const PHASES = ["stop", "move", "restore", "start", "fetch", "swap", "restart", "done", "undo"] as const;
export type Phase = (typeof PHASES)[number];

export interface Journal {
  /** 3 for an instant recovery, which older versions cannot continue. */
  readonly version: 2 | 3;
  readonly phase: Phase;
  readonly pid: number;
  readonly request: RecoverRequest;
  readonly label: string;
  readonly startedAtS: number;
  readonly configuredDirectory: string;
  readonly dataDirectory: string;
  readonly account: Owner;
  readonly server: ServerMemory;
  readonly moves: readonly Move[];
  readonly restoreArgs: readonly string[];
  /** Where the old data's WAL is after the move, and the last archived segment at the time of the plan. */
  readonly oldWal: OldWal | null;
  /** The newest segment that replay can reach; null if none is known. */
  readonly lastWal?: string | null;
  /** For an undo: the recovered server has run, so its timeline may be in the archive. */
  readonly hasStarted?: boolean;
  /** Suffix for data begun in place of the old data, when it is moved away. */
  readonly stamp: string;
  readonly instant?: InstantMemory;
}

/** What an instant recovery needs besides. */
export interface InstantMemory {
  /** What `open.json` says to the process that serves the files. */
  readonly recovery: OpenState["recovery"];
  readonly production: Production;
  /** `02:00`, local time; null moves the files as soon as all are here. */
  readonly moveAt: string | null;
}

/** Facts that cannot be read from the host once the server is down and its data are renamed. */
export interface ServerMemory {
  /** The unit that ran it. */
  readonly unit: string | null;
  /** Text of the server's postmaster.opts. */
  readonly startedWith: string | null;
}

export function serverMemory({ server, startedWith }: HostFacts): ServerMemory {
  return { unit: server?.unit ?? null, startedWith };
}

/**
 * The facts as of when the server ran; those of now where its directory was empty.
 * @throws format (29) for an invalid unit name
 */
export function remember(facts: HostFacts, { startedWith, unit }: ServerMemory): HostFacts {
  if (unit !== null && !/^[A-Za-z0-9:_.@\\-]+\.service$/.test(unit))
    throw fail("format", `'${unit}' in the journal is not a unit name`);
  const known = startedWith ?? facts.startedWith;
  return { ...facts, startedWith: known, server: unit === null ? facts.server : { pid: facts.server?.pid ?? 0, unit } };
}

export function recoverJournal(dataDirectory: string): JournalFile {
  return new JournalFile("recover", dataDirectory, `${dataDirectory}.recover.json`);
}

/** A server may have run on the recovered data. */
export function hasStarted({ hasStarted: known, phase }: Journal): boolean {
  return known ?? PHASES.indexOf(phase) >= PHASES.indexOf("start");
}

/** The log file of a server that pg_ctl starts. */
export function serverLogPath(dataDirectory: string): string {
  return `${dataDirectory}.recover.log`;
}

/**
 * Null without a journal, or when another version has ended one and nothing is to be undone.
 * @throws format (29), fileOwner (88)
 */
export function readJournal(file: JournalFile, isUndo: boolean): Journal | null {
  const journal = file.read((other) => !isUndo && phaseOf(other) === "done");
  if (journal === null) return null;
  const phase = phaseOf(journal);
  const { version } = journal as { readonly version?: unknown };
  if (phase !== null && (version === 2 || version === 3)) return journal as Journal;
  if (phase === "done" && !isUndo) return null;
  throw fail("format", `'${file.path}' is not a recovery journal that this version can read`, {
    path: file.path,
    hint: "Another version started this recovery. Finish it with that version, or rename the directories back by hand and remove the file.",
  });
}

function phaseOf(journal: unknown): Phase | null {
  const phase = typeof journal === "object" && journal !== null && "phase" in journal ? journal.phase : null;
  return PHASES.find((name) => name === phase) ?? null;
}
