/**
 * What the newest directory of an archive shows: whether the newest backup, and the WAL after it, can be recovered.
 * Nothing is listed or read for it that `status` does not list anyway; the report says from where on it has looked.
 */
import { nullOn } from "../../base/errors";
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import { archiveIdOf, currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import { archiveInfoPath, backupInfoPath } from "../../format/repository/repoPath";
import {
  DIRECTORY_LENGTH,
  nextSegment,
  SEGMENT_LENGTH,
  segmentSizeOf,
  TIMELINE_LENGTH,
} from "../../format/wal/walSegment";
import type { SeenWal } from "../../local/seenWal";
import type { RepoFacts } from "../../recoverability/facts";
import { type Trouble, troubleOf } from "../../recoverability/troubles";
import { findGaps, runsOf } from "../verify/gaps";
import { currentBackupsOf } from "./destinations";

interface ArchiveJudgement {
  /** The segment from which on missing ones would have been seen; null without WAL. */
  readonly lookedFrom: string | null;
  readonly hasInfo: boolean;
  readonly troubles: readonly Trouble[];
}

/** What the data directory of this host shows, read before any repository. */
export interface LocalServer {
  readonly dataDirectory: string;
  readonly systemId: bigint;
  /** The newest segment that it has archived; null if it archives nothing itself. */
  readonly archived: string | null;
}

interface JudgeInput {
  /** Recorded as missing or dropped, and reported as such. */
  readonly known: readonly string[];
  /** Labels of backups that keep no WAL after them. */
  readonly trimmed: ReadonlySet<string>;
  /** The server here; null where none is. */
  readonly server: LocalServer | null;
  /** What this host has stored in the repository, or read there, before it was listed. */
  seen(repoIndex: number): SeenWal;
  readonly nowS: number;
}

/** Segments that are sent at once arrive in any order, within this time. */
const ARRIVAL_S_MAX = 300;

export async function judgeArchive(facts: RepoFacts, info: BackupInfo, input: JudgeInput): Promise<ArchiveJudgement> {
  const archive = await nullOn(facts.archiveInfo(), "fileMissing");
  if (archive === null) return { lookedFrom: null, hasInfo: false, troubles: [infoTrouble(facts, "archive")] };
  const segments = await facts.newestSegments();
  const newest = segments.at(-1)?.name ?? "";
  const current = currentBackupsOf(info);
  const last = current.reduce<BackupInfoEntry | null>(
    (best, each) => (best === null || each.stoppedAtS > best.stoppedAtS ? each : best),
    null,
  );
  const range = last === null ? null : rangeIn(newest.slice(0, DIRECTORY_LENGTH), segments[0]?.name, last);
  const troubles = last === null || range === null ? [] : gapTroubles(facts.key, segments, last, range, info, input);
  const { known, seen, server } = input;
  // Another cluster's segments have the same names.
  const ofServer = server?.systemId === currentHistory(info).systemId ? server.archived : null;
  const stored = lastSeen(seen(facts.key), archiveIdOf(currentHistory(archive)));
  const archived = (ofServer ?? "") > stored ? (ofServer ?? "") : stored;
  if (archived > newest && !known.includes(archived)) troubles.push(olderTrouble(facts.key, newest, archived));
  return { lookedFrom: range?.[0] ?? segments[0]?.name ?? null, hasInfo: true, troubles };
}

/**
 * The last segment of the archive id that this host has seen stored, or an empty text. Not the greatest: a stanza that
 * was deleted and created again has the same archive id.
 */
function lastSeen(seen: SeenWal, archiveId: string): string {
  const names = [...seen.keys()].filter((key) => key.startsWith(`${archiveId}/`)).map((key) => key.split("/")[1] ?? "");
  return names.findLast((name) => name.charAt(SEGMENT_LENGTH) === "-")?.slice(0, SEGMENT_LENGTH) ?? "";
}

/** The trouble of a stanza that has lost one of its two info files, with its copy. */
export function infoTrouble({ key, repo: { stanza } }: RepoFacts, lacking: "archive" | "backup"): Trouble {
  const isArchive = lacking === "archive";
  const [path, other, loss] = isArchive
    ? [archiveInfoPath(stanza), "backup.info", "no WAL is archived, and no recovery gets any"]
    : [backupInfoPath(stanza), "archive.info", "no backup can be restored"];
  const restore = `Restore '${path}' from an earlier version in the bucket, a snapshot or another copy of this repository.`;
  return troubleOf("infoFile", `${lacking}.info and its copy are missing, ${other} is there: ${loss}`, {
    repoIndex: key,
    hint: [
      restore,
      ...(isArchive ? ["Any copy since the last stanza-create or stanza-upgrade has the right content."] : []),
    ],
  });
}

/**
 * First and last segment that the backup, or what follows it, needs from the listed directory on: what is in earlier
 * directories was not looked at. Null for a backup without WAL.
 */
function rangeIn(
  directory: string,
  first: string | undefined,
  { archiveStart, archiveStop }: BackupInfoEntry,
): readonly [string, string] | null {
  if (archiveStart === null || archiveStop === null) return null;
  if (archiveStart >= directory) return [archiveStart, archiveStop];
  // Another timeline begins wherever its fork was.
  const isSame = archiveStart.slice(0, TIMELINE_LENGTH) === directory.slice(0, TIMELINE_LENGTH);
  const start = isSame || first === undefined ? directory.padEnd(SEGMENT_LENGTH, "0") : first;
  return [start, archiveStop > start ? archiveStop : start];
}

function gapTroubles(
  key: number,
  segments: Awaited<ReturnType<RepoFacts["newestSegments"]>>,
  last: BackupInfoEntry,
  range: readonly [string, string],
  info: BackupInfo,
  { known, nowS, trimmed }: JudgeInput,
): Trouble[] {
  // A calendar alone keeps it: its own WAL may be in any directory.
  if (trimmed.has(last.label)) return [];
  // Inside of one directory the size does not matter.
  const sizeBytes = segmentSizeOf(currentBackupsOf(info)) ?? WAL_SEGMENT_SIZE_BYTES;
  const isRecorded = (from: string, to: string): boolean =>
    known.includes(from) && (from >= to || isRecorded(nextSegment(from, sizeBytes), to));
  const names = segments.map(({ name }) => name);
  return findGaps(runsOf(names, sizeBytes), [range], sizeBytes).flatMap(([from, to]): Trouble[] => {
    const next = segments.find(({ name }) => name > to);
    const sinceS = next === undefined ? last.stoppedAtS : next.modifiedAtMs / 1000;
    if (nowS - sinceS <= ARRIVAL_S_MAX || isRecorded(from, to)) return [];
    const which = from === to ? `${from} is missing` : `${from} to ${to} are missing`;
    const heal = "pgbackstop heal copies what pg_wal or another repository still has.";
    const full = `Otherwise take a new backup: pgbackstop backup --type=full --repo=${key}`;
    const details = { repoIndex: key, hint: [heal, full] };
    return [
      last.archiveStop !== null && from <= last.archiveStop
        ? troubleOf("backupWal", `WAL of the newest backup ${last.label}: ${which}: it cannot be restored`, details)
        : troubleOf("gap", `WAL after the newest backup ${last.label}: ${which}: no recovery passes it`, details),
    ];
  });
}

function olderTrouble(key: number, newest: string, archived: string): Trouble {
  const here = newest === "" ? "there is no WAL here" : `the newest WAL here is ${newest}`;
  const fact = `this host has archived WAL up to ${archived}, and ${here}: the repository is an older copy, or archive_command sends WAL elsewhere`;
  return troubleOf("older", fact, {
    repoIndex: key,
    hint: [
      "pgbackstop check tests whether WAL arrives.",
      "pgbackstop heal copies what pg_wal or another repository still has.",
      `Then take a new backup: pgbackstop backup --type=full --repo=${key}`,
    ],
  });
}
