/**
 * What the newest directories of an archive's timelines show: whether the newest backup, and the WAL after it, can be
 * recovered. Nothing is listed or read for it that `status` does not list anyway; the report says from where on it has
 * looked.
 */
import { nullOn } from "../../base/errors";
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import { archiveIdOf, currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import { archiveInfoPath, backupInfoPath } from "../../format/repository/repoPath";
import { type BackupWal, runsOf, SegmentPath } from "../../format/wal/segmentPath";
import {
  DIRECTORY_LENGTH,
  nextSegment,
  SEGMENT_LENGTH,
  segmentSizeOf,
  TIMELINE_LENGTH,
  timelineDigits,
  timelineOf,
} from "../../format/wal/walSegment";
import type { SeenWal } from "../../local/seenWal";
import type { History, StoredTimeline } from "../../recoverability/branches";
import type { RepoFacts } from "../../recoverability/facts";
import { loadHistory } from "../../recoverability/loadHistory";
import { type Trouble, troubleOf } from "../../recoverability/troubles";
import type { StoredWal } from "../../repository/walStore";
import { historyProblem, missingHistories } from "../verify/histories";
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

interface GapInput extends Pick<JudgeInput, "known" | "nowS" | "trimmed"> {
  /** Backups of the current cluster. */
  readonly current: readonly BackupInfoEntry[];
  /** The newest segment that this host has archived here; empty if it has archived none. */
  readonly archived: string;
}

/** Segments that are sent at once arrive in any order, within this time. */
const ARRIVAL_S_MAX = 300;

export async function judgeArchive(facts: RepoFacts, info: BackupInfo, input: JudgeInput): Promise<ArchiveJudgement> {
  const archive = await nullOn(facts.archiveInfo(), "fileMissing");
  if (archive === null) return { lookedFrom: null, hasInfo: false, troubles: [infoTrouble(facts, "archive")] };
  const archiveId = archiveIdOf(currentHistory(archive));
  const segments = await facts.newestSegments();
  const newest = segments.at(-1)?.name ?? "";
  const current = currentBackupsOf(info);
  const sizeBytes = segmentSizeOf(current);
  const loaded = await loadHistory([{ facts, archiveId }], sizeBytes ?? WAL_SEGMENT_SIZE_BYTES, () => {});
  const history = sizeBytes === null ? withoutForks(loaded) : loaded;
  const listed = await Promise.all(history.stored.map(({ timeline }) => facts.newestSegments(archiveId, timeline)));
  const { known, seen, server } = input;
  // Another cluster's segments have the same names.
  const ofServer = server?.systemId === currentHistory(info).systemId ? server.archived : null;
  const stored = lastSeen(seen(facts.key), archiveId);
  const archived = (ofServer ?? "") > stored ? (ofServer ?? "") : stored;
  const wal = listed.flat().sort(byName);
  const troubles = [
    ...gapTroubles(facts.key, wal, history, { ...input, current, archived }),
    ...historyTroubles(facts.key, archiveId, wal, history, { ...input, current, archived }),
    ...(archived === "" || known.includes(archived) ? [] : olderTroubles(facts.key, history, archived)),
  ];
  const last = newestOf(current);
  const lookedFrom = last === null ? null : lookedAtFrom(newest.slice(0, DIRECTORY_LENGTH), segments[0]?.name, last);
  return { lookedFrom: lookedFrom ?? segments[0]?.name ?? null, hasInfo: true, troubles };
}

/** Inside of one directory the size of segments does not matter; it says in which one a timeline begins. */
function withoutForks(history: History): History {
  const alone = <T extends StoredTimeline>(own: T): T => ({ ...own, ancestors: null });
  return { ...history, stored: history.stored.map(alone), branches: history.branches.map(alone) };
}

function byName(left: StoredWal, right: StoredWal): number {
  return left.name < right.name ? -1 : 1;
}

function newestOf<T extends BackupInfoEntry>(backups: readonly T[]): T | null {
  return backups.reduce<T | null>(
    (best, each) => (best === null || each.stoppedAtS > best.stoppedAtS ? each : best),
    null,
  );
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

/** What the newest backup needs in earlier directories was not looked at. Null for a backup without WAL. */
function lookedAtFrom(directory: string, first: string | undefined, { archiveStart }: BackupInfoEntry): string | null {
  if (archiveStart === null || archiveStart >= directory) return archiveStart;
  // Another timeline begins wherever its fork was.
  const isSame = archiveStart.slice(0, TIMELINE_LENGTH) === directory.slice(0, TIMELINE_LENGTH);
  return isSame || first === undefined ? directory.padEnd(SEGMENT_LENGTH, "0") : first;
}

/**
 * Missing WAL of the newest backup of each living branch, or after it: of each timeline on the way, from its newest
 * directory on. There an old primary may have ended without archiving all that the next timeline began with.
 * @param listed the newest directories of all timelines, ascending
 */
function gapTroubles(
  key: number,
  listed: readonly StoredWal[],
  { branches, segmentSizeBytes, stored: timelines }: History,
  { archived, current, known, nowS, trimmed }: GapInput,
): Trouble[] {
  const isRecorded = (from: string, to: string): boolean =>
    known.includes(from) && (from >= to || isRecorded(nextSegment(from, segmentSizeBytes), to));
  const runs = runsOf(
    listed.map(({ name }) => name),
    segmentSizeBytes,
  );
  const online = current.filter(isOnline);
  const living: StoredTimeline[] = branches.filter(({ isLiving }) => isLiving);
  // A copy that archives while this server is silent looks like its heir.
  const own = archived === "" ? undefined : timelines.find(({ timeline }) => timeline === timelineOf(archived));
  if (own !== undefined && !living.some(({ timeline }) => timeline === own.timeline)) living.push(own);
  const newest = newestOf(online);
  // Without any WAL there is no branch.
  const alone = { timeline: newest === null ? 1 : timelineOf(newest.archiveStart), ancestors: [] };
  const troubles = (living.length === 0 ? [alone] : living).flatMap(({ ancestors, timeline }): Trouble[] => {
    const path = new SegmentPath({ timeline, ancestors: ancestors ?? [] }, segmentSizeBytes);
    const last = newestOf(online.filter((each) => path.passes(each)));
    // A calendar alone keeps it: its own WAL may be in any directory.
    if (last === null || trimmed.has(last.label)) return [];
    const [start, stop] = [path.at(last.archiveStart), path.at(last.archiveStop)];
    const onPath = path.runs(runs);
    const stored = onPath.at(-1)?.[1] ?? "";
    const end = stored > stop ? stored : stop;
    const missing = path.timelines.flatMap((part) => {
      const from = listedFrom(part, timelines);
      const until = `${timelineDigits(part)}${"F".repeat(SEGMENT_LENGTH - TIMELINE_LENGTH)}`;
      return path.missing(onPath, from > start ? from : start, end < until ? end : until);
    });
    return missing.flatMap(([from, to]): Trouble[] => {
      const next = listed.find(({ name }) => name > to && path.has(name));
      const sinceS = next === undefined ? last.stoppedAtS : next.modifiedAtMs / 1000;
      if (nowS - sinceS <= ARRIVAL_S_MAX || isRecorded(from, to)) return [];
      return [gapTrouble(key, from, to, last.label, from <= stop)];
    });
  });
  return [...new Map(troubles.map((each) => [each.message, each])).values()];
}

/** A restore of an older backup ends on the timeline before a missing history. */
function historyTroubles(
  key: number,
  archiveId: string,
  listed: readonly StoredWal[],
  { stored }: History,
  { current, known, nowS, trimmed }: GapInput,
): Trouble[] {
  const withHistory = new Set(stored.flatMap(({ historyAtMs, timeline }) => (historyAtMs.size > 0 ? [timeline] : [])));
  const newest = Math.max(0, ...stored.map(({ timeline }) => timeline));
  const kept = current.filter(isOnline).filter(({ label }) => !trimmed.has(label));
  return missingHistories({ newest, withHistory }, kept).flatMap((range): Trouble[] => {
    const [first] = range;
    const next = listed.find(({ name }) => name > first);
    if (known.includes(first) || (next !== undefined && nowS - next.modifiedAtMs / 1000 <= ARRIVAL_S_MAX)) return [];
    return [troubleOf("gap", historyProblem(archiveId, range), { repoIndex: key, hint: hintsOf(key) })];
  });
}

function isOnline(backup: BackupInfoEntry): backup is BackupInfoEntry & BackupWal {
  return backup.archiveStart !== null && backup.archiveStop !== null;
}

/** The beginning of a timeline's newest directory; without WAL, of the timeline. */
function listedFrom(timeline: number, stored: History["stored"]): string {
  const newest = stored.find((each) => each.timeline === timeline)?.newest ?? null;
  const directory = newest === null ? timelineDigits(timeline) : newest.slice(0, DIRECTORY_LENGTH);
  return directory.padEnd(SEGMENT_LENGTH, "0");
}

function gapTrouble(key: number, from: string, to: string, label: string, isOfBackup: boolean): Trouble {
  const which = from === to ? `${from} is missing` : `${from} to ${to} are missing`;
  const details = { repoIndex: key, hint: hintsOf(key) };
  return isOfBackup
    ? troubleOf("backupWal", `WAL of the newest backup ${label}: ${which}: it cannot be restored`, details)
    : troubleOf("gap", `WAL after the newest backup ${label}: ${which}: no recovery passes it`, details);
}

function hintsOf(key: number): string[] {
  return [
    "pgbackstop heal copies what pg_wal or another repository still has.",
    `Otherwise take a new backup: pgbackstop backup --type=full --repo=${key}`,
  ];
}

/** Other timelines may have more WAL. One that continues after this segment replaces what was not kept of it. */
function olderTroubles(key: number, { branches, segmentSizeBytes, stored }: History, archived: string): Trouble[] {
  const timeline = timelineOf(archived);
  const newest = stored.find((each) => each.timeline === timeline)?.newest ?? "";
  const isContinued = branches.some(
    (branch) =>
      branch.timeline !== timeline &&
      branch.newest !== null &&
      new SegmentPath({ ...branch, ancestors: branch.ancestors ?? [] }, segmentSizeBytes).has(archived),
  );
  return archived <= newest || isContinued ? [] : [olderTrouble(key, newest, archived)];
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
