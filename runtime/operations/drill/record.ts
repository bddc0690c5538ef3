/**
 * The record of a fire drill: one JSON document, the same on standard output, in the repositories and on this machine.
 * Pure.
 *
 * Its version is 1. Fields are only added, so that readers can ignore unknown ones. Times of day are seconds since 1970
 * UTC.
 */
import { fail } from "../../base/errors";
import type { DrillSettings } from "../../config/types";

/** Which backup a drill takes, and how far it recovers. */
export const DRILL_PICKS = ["newest", "oldest", "random", "moment"] as const;
export type DrillPick = (typeof DRILL_PICKS)[number];
/** Restores no backup: does to a prefix of its own what a thief would do, and reads it as it was before. */
export const ATTACK = "attack";
export type DrillKind = DrillPick | typeof ATTACK;
/** Fire drills, and drills that attack a bucket. */
export const DRILL_KINDS: readonly DrillKind[] = [...DRILL_PICKS, ATTACK];

/**
 * `heartbeat`: a row with the time; `commit`: the last replayed transaction; `backup`: the end of the backup, because
 * nothing was replayed.
 */
export type RpoMethod = "heartbeat" | "commit" | "backup";

export interface DrillCheck {
  /** `amcheck`, `dump`, `assertion:orders` */
  readonly name: string;
  readonly verdict: "ok" | "failed" | "skipped" | "warning";
  readonly elapsedMs: number;
  readonly text: string;
}

export interface DrillFailure {
  /** A phase or a check: `restore`, `recovery`, `amcheck`, `objective:rto`. */
  readonly where: string;
  /** pgBackRest's name of the error: `ChecksumError`. */
  readonly error: string;
  readonly code: number;
  readonly message: string;
}

export interface DrillRecord {
  readonly version: 1;
  /** Sorts by start time: `20261121-051347Z-1a2b3c4d`. */
  readonly id: string;
  readonly stanza: string;
  /** Key of the drilled repository. */
  readonly repo: number;
  readonly pick: DrillKind;
  readonly level: "quick" | "standard" | "thorough";
  /** Null when none could be chosen. */
  readonly backup: { readonly label: string; readonly type: string; readonly stoppedAtS: number } | null;
  /** The intended end of recovery: `lsn 0/3000060`; null for the end of the archive, or when nothing was chosen. */
  readonly target: string | null;
  readonly startedAtS: number;
  readonly endedAtS: number;
  readonly ok: boolean;
  readonly failures: readonly DrillFailure[];
  /** From the start of the command to the first connection; null if no connection succeeded, or with `opened`. */
  readonly rtoMs: number | null;
  /** Present if the backup was opened instead of restored, which measures no RTO. */
  readonly opened?: DrillOpened;
  /**
   * In their order: `choose`, `restore`, `recovery`, `checks`, `delete`; the first three add up to `rtoMs`. With
   * `opened`, `open` is in place of `restore` and `recovery`.
   */
  readonly phases: readonly { readonly name: string; readonly elapsedMs: number }[];
  /** Null when recovery intentionally ended earlier, or failed. */
  readonly rpo: DrillRpo | null;
  /** Size of the restored files. */
  readonly restoredBytes: number;
  readonly checks: readonly DrillCheck[];
  readonly objectives: DrillObjectives;
  /** Length of the lock of new files; present if only locks kept an attack from deleting them. */
  readonly lockedForS?: number;
  /** systemd's id of the unit's run, 32 hexadecimal digits; absent outside of a unit. */
  readonly invocationId?: string;
}

export interface DrillOpened {
  /** From the start of the command to the first connection; null if no connection succeeded. */
  readonly elapsedMs: number | null;
  /** What was fetched of the backup's `totalBytes`, each page verified; 0 if it was not opened. */
  readonly fetchedBytes: number;
  readonly totalBytes: number;
}

export interface DrillRpo {
  readonly seconds: number;
  readonly method: RpoMethod;
  /** WAL that production had written at the start and the drill did not restore; null without a running production. */
  readonly lostWalBytes: number | null;
}

/** The objectives that a drill compares its measurements with. */
export type DrillObjectives = Omit<DrillSettings["objectives"], "pitrRtoSeconds">;

export function renderDrill(record: DrillRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/** @throws jsonFormat for an invalid record; of a newer version only known fields are read */
export function parseDrill(text: string, name: string): DrillRecord {
  const wrong = (what: string, cause?: unknown): Error =>
    fail("jsonFormat", `'${name}' is not a drill record: ${what}`, { path: name, cause });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw wrong("it is not valid JSON", error);
  }
  if (typeof value !== "object" || value === null) throw wrong("it is not an object");
  const record = value as Partial<DrillRecord>;
  const isWhole =
    typeof record.version === "number" &&
    typeof record.id === "string" &&
    typeof record.repo === "number" &&
    typeof record.startedAtS === "number" &&
    typeof record.ok === "boolean" &&
    DRILL_KINDS.some((pick) => pick === record.pick) &&
    [record.failures, record.phases, record.checks].every(Array.isArray);
  if (!isWhole) throw wrong("fields are missing");
  return record as DrillRecord;
}

/** `20261121-051347Z-1a2b3c4d`: names of this form sort by time. */
export function drillId(atMs: number, random: Uint8Array): string {
  const time = new Date(atMs).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  return `${time.replace("T", "-")}-${Buffer.from(random.subarray(0, 4)).toString("hex")}`;
}

/** Name of a record's file; it shows whose turn the drill was. */
export function drillFileName({ id, pick, repo }: Pick<DrillRecord, "id" | "pick" | "repo">): string {
  return `${id}-repo${repo}-${pick}.json`;
}

/** Null for a name that {@link drillFileName} does not make for one of these kinds. */
export function parseDrillFileName(
  name: string,
  kinds: readonly DrillKind[] = DRILL_PICKS,
): Pick<DrillRecord, "id" | "pick" | "repo"> | null {
  const [, id, repo, pickName] = /^(\d{8}-\d{6}Z-[0-9a-f]{8})-repo([1-9]\d{0,2})-([a-z]+)\.json$/.exec(name) ?? [];
  const pick = kinds.find((each) => each === pickName);
  return id === undefined || pick === undefined ? null : { id, repo: Number(repo), pick };
}
