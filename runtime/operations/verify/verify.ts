/**
 * `verify`: are a repository's bytes as its infos promise, and is the WAL between each backup and the newest segment
 * complete?
 *
 * It reads and hashes every WAL file and every file of every backup (a file that later backups refer to once, a bundle
 * by one request) and of every logical dump. Every backup's references must exist. Info files and manifests are read in
 * both copies. Unlike stock, a missing segment between the oldest backup's start and the newest segment, stored or
 * needed by a backup, is an error and is named ("pgbackrest-format" 19; stock reports ok with segments missing). So is
 * one that a backup needs to reach the timeline of a failover, and the history of a timeline after the oldest backup's.
 */
import type { Context } from "../../base/context";
import { fail, nullOn, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import { type ArchiveHistoryEntry, archiveIdOf, type ArchiveInfo } from "../../format/repository/archiveInfo";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import { typeOfName } from "../../format/codec/compress";
import type { Manifest } from "../../format/repository/manifest";
import { walPath } from "../../format/repository/repoPath";
import { parseHistory } from "../../format/wal/timeline";
import { SegmentNumbers } from "../../format/wal/segmentNumbers";
import { runsOf, type TimelinePath, type WalRange } from "../../format/wal/segmentPath";
import { historyName, SEGMENT_NAME, segmentSizeOf } from "../../format/wal/walSegment";
import { historyOfNames, pathsIn } from "../../recoverability/branches";
import { loadAncestors } from "../../recoverability/loadHistory";
import { loadArchiveInfo, loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { readListedHistory } from "../../repository/historyFile";
import { isSegment, listWalInTurn, type StoredWal } from "../../repository/walStore";
import type { JobPool } from "../shared/jobs";
import { type NamedContents, readNamed } from "../shared/namedWal";
import { type StreamCounts, verifyStream } from "../stream/survey";
import { archivedSegmentSize } from "./archivedSize";
import { findDamagedCopies } from "./damagedCopies";
import { type ArchiveEnd, ArchiveEnds } from "./ends";
import { gapsOf, walNeeds, type WalNeeds } from "./gaps";
import { findMissingHistories, historyProblem, timelineOf } from "./histories";
import { filesOfNobody, findOrphans } from "./orphans";
import { NamedSha1s } from "./namedSha1s";
import { statusOf, Tally, type VerifyCounts } from "./tally";
import { type BackupVerdict, verifyBackups } from "./verifyBackups";
import { type DumpVerdict, verifyDumps } from "./verifyDumps";
import type { VerifyFileJob } from "./verifyFile";

export interface ArchiveVerdict {
  readonly archiveId: string;
  readonly counts: VerifyCounts;
  /** Missing segments that a backup needs to reach the newest one: `[first, last]` of each gap. */
  readonly gaps: readonly WalRange[];
  /** The first segment from which `retention-archive` keeps all WAL; null if it trims nothing. */
  readonly gaplessFrom: string | null;
  /** Histories without which a restore ends on an earlier timeline: `[first, last]` of each run. */
  readonly missingHistories: readonly WalRange[];
  readonly segmentSizeBytes: number;
}

export interface Verdict {
  readonly repoIndex: number;
  /** All was read, and is as it should be. */
  readonly ok: boolean;
  /** Something is missing or wrong; files that were not read say nothing. */
  readonly isDamaged: boolean;
  readonly archives: readonly ArchiveVerdict[];
  readonly backups: readonly BackupVerdict[];
  /** Logical dumps. */
  readonly dumps: readonly DumpVerdict[];
  readonly problems: readonly string[];
  /** Files that nothing refers to: no error, but used space. */
  readonly orphans: readonly string[];
  /** Counts of streamed chunks of segments that are not archived. */
  readonly stream: StreamCounts;
  /**
   * SHA-1 of each complete segment (by its name) and of each readable history and backup label, by
   * `<version>-<system id>/<name>`, for comparison with other repositories.
   */
  readonly named: NamedContents;
  /** Where each archive ends, by `<version>-<system id>`, for comparison with other repositories. */
  readonly ends: ReadonlyMap<string, ArchiveEnd>;
}

export interface VerifyOptions {
  /** Only this backup, its references and its WAL. */
  readonly set?: string;
  /** Percentage of the data files to read; absent reads all. WAL is always read. */
  readonly samplePercent?: number;
  /** WAL stored before this time should be in every repository. */
  readonly settledBeforeMs?: number;
}

/** Reads one repository. @throws when neither info file is readable; backupSetInvalid (75) when it has no such set */
export async function verify(
  repo: Repository,
  pool: JobPool,
  walSegmentSizeBytes: number,
  ctx: Context,
  options: VerifyOptions = {},
): Promise<Verdict> {
  const archiveInfo = await loadArchiveInfo(repo);
  const backupInfo = await loadBackupInfo(repo);
  const entries = chooseBackups(repo, backupInfo.backups, options.set);
  const isSingle = options.set !== undefined;
  const seemStrange = withoutArchive(backupInfo, archiveInfo).length > 0;
  // An upgrade of the stanza may have come between: it writes archive.info first.
  const strangers = seemStrange ? withoutArchive(backupInfo, await loadArchiveInfo(repo)) : [];
  const problems: string[] = [...strangers];
  const named = new NamedFiles(repo, archiveInfo.cipherPass ?? null, problems, options.settledBeforeMs ?? 0);
  const sizes = new Map(
    archiveInfo.history.map(({ id }) => [id, segmentSizeOf(entries.filter((each) => each.dbId === id))]),
  );
  const sizeOf = (historyId: number): number => sizes.get(historyId) ?? walSegmentSizeBytes;
  const listed = backupInfo.backups;
  const archives = await verifyArchives(
    { repo, pool, archiveInfo, entries, listed, nowMs: ctx.clock.nowMs(), isSingle, sizes, walSegmentSizeBytes },
    named,
    problems,
  );
  const stream = await verifyStream(repo, isSingle ? null : archiveInfo, sizeOf, problems, ctx);
  const input = {
    repo,
    pool,
    entries,
    listed,
    pass: backupInfo.cipherPass ?? null,
    samplePercent: options.samplePercent ?? 100,
  };
  const isWhole = !isSingle && options.samplePercent === undefined;
  const dumps = isSingle ? [] : await verifyDumps(input, problems, ctx);
  const orphans = new Orphans(ctx);
  const visit = (manifest: Manifest): Promise<void> => orphans.add(() => filesOfNobody(repo, manifest));
  const backups = await verifyBackups(isWhole ? { ...input, visit } : input, problems, ctx);
  if (isWhole) await orphans.addFirst(() => findOrphans(repo, archiveInfo, backupInfo.backups));
  const damaged = await findDamagedCopies(repo, backups.readable, backupInfo.cipherPass ?? null);
  problems.push(...damaged);
  const statuses = [...archives.map(statusOfArchive), ...[...backups.verdicts, ...dumps].map(({ status }) => status)];
  const isDamaged =
    !named.isOk ||
    strangers.length > 0 ||
    stream.valid < stream.total ||
    damaged.length > 0 ||
    statuses.some((status) => status !== "valid" && status !== "not read");
  return {
    repoIndex: repo.key,
    ok: !isDamaged && statuses.every((status) => status === "valid"),
    isDamaged,
    archives,
    backups: backups.verdicts,
    dumps,
    stream,
    problems,
    orphans: orphans.lines,
    named: named.sha1s,
    ends: named.ends,
  };
}

function statusOfArchive({ counts, gaps, missingHistories }: ArchiveVerdict): BackupVerdict["status"] {
  return gaps.length === 0 && missingHistories.length === 0 ? statusOf(counts) : "invalid";
}

/** A line for each cluster of backup.info that archive.info does not know: no recovery finds WAL for its backups. */
function withoutArchive(backupInfo: BackupInfo, archiveInfo: ArchiveInfo): string[] {
  return backupInfo.history.flatMap(({ id, pgVersion, systemId }) => {
    const own = archiveInfo.history.find((entry) => entry.id === id);
    if (own?.systemId === systemId && own.pgVersion === pgVersion) return [];
    const other = own === undefined ? "lacks it" : `has ${own.pgVersion} ${own.systemId}`;
    return [`backup.info has cluster ${id} (${pgVersion} ${systemId}), and archive.info ${other}: is one of them old?`];
  });
}

/** All of them, or the one of `set`. @throws backupSetInvalid (75) */
function chooseBackups(
  repo: Repository,
  backups: readonly BackupInfoEntry[],
  set: string | undefined,
): readonly BackupInfoEntry[] {
  if (set === undefined) return backups;
  const entries = backups.filter((entry) => entry.label === set);
  if (entries.length > 0) return entries;
  throw fail("backupSetInvalid", `backup set ${set} is not valid`, {
    hint: "Run info to list the backups.",
    repoIndex: repo.key,
  });
}

interface ArchivesInput {
  readonly repo: Repository;
  readonly pool: JobPool;
  readonly archiveInfo: ArchiveInfo;
  /** Backups whose WAL is needed. */
  readonly entries: readonly BackupInfoEntry[];
  /** All backups in backup.info. */
  readonly listed: readonly BackupInfoEntry[];
  readonly nowMs: number;
  /**
   * True when verifying a single backup (`--set`). Reads only the WAL it needs and skips history and backup-label
   * files.
   */
  readonly isSingle: boolean;
  /** Size of WAL segments by history id; null where no backup shows it, until a stored segment does. */
  readonly sizes: Map<number, number | null>;
  /** Counts where nothing shows the size. */
  readonly walSegmentSizeBytes: number;
}

/** The archive of each history id. */
async function verifyArchives(input: ArchivesInput, named: NamedFiles, problems: string[]): Promise<ArchiveVerdict[]> {
  const { repo, archiveInfo, entries, isSingle, listed, nowMs } = input;
  const pass = archiveInfo.cipherPass ?? null;
  const verdicts: ArchiveVerdict[] = [];
  for (const entry of archiveInfo.history) {
    const archiveId = archiveIdOf(entry);
    const needs = walNeeds(entries, entry.id, repo, listed, nowMs);
    // A single offline backup, or one of another history id, needs no WAL here.
    if (isSingle && needs.alone.length + needs.gapless.length === 0) continue;
    verdicts.push(await verifyArchive({ ...input, entry, archiveId, pass, needs }, named, problems));
  }
  return verdicts;
}

/** Histories and backup labels, as far as they were read, and the names of segments. */
class NamedFiles {
  readonly #repo: Repository;
  readonly #pass: string | null;
  readonly #problems: string[];
  readonly #sha1s = new NamedSha1s();
  readonly #ends: ArchiveEnds;
  #isOk = true;

  constructor(repo: Repository, pass: string | null, problems: string[], settledBeforeMs: number) {
    this.#ends = new ArchiveEnds(settledBeforeMs);
    this.#repo = repo;
    this.#pass = pass;
    this.#problems = problems;
  }

  /** As {@link Verdict.named}. */
  get sha1s(): NamedSha1s {
    return this.#sha1s;
  }

  /** As {@link Verdict.ends}. */
  get ends(): ReadonlyMap<string, ArchiveEnd> {
    return this.#ends.byCluster;
  }

  /** False once one is damaged. */
  get isOk(): boolean {
    return this.#isOk;
  }

  /** A segment. */
  add(entry: ArchiveHistoryEntry, stored: StoredWal): void {
    const { name, sha1 } = stored;
    if (sha1 === null || name.endsWith(".partial")) return;
    this.#sha1s.add(clusterOf(entry), name, sha1);
    this.#ends.add(clusterOf(entry), stored);
  }

  async read(entry: ArchiveHistoryEntry, stored: StoredWal): Promise<void> {
    const archiveId = archiveIdOf(entry);
    const { sha1, problem } = await readNamed(this.#repo, archiveId, stored, this.#pass);
    if (problem === null) this.#sha1s.add(clusterOf(entry), stored.name, sha1);
    else this.#problems.push(`damaged file '${archiveId}/${stored.name}': ${problem}`);
    this.#isOk &&= problem === null;
  }
}

function clusterOf({ pgVersion, systemId }: ArchiveHistoryEntry): string {
  return `${pgVersion}-${systemId}`;
}

/** Collects lines until a search fails; that error is reported and earlier results stay. */
class Orphans {
  readonly #ctx: Context;
  #lines: string[] = [];
  #hasFailed = false;

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  add(find: () => Promise<readonly string[]>): Promise<void> {
    return this.#look(find, (lines) => this.#lines.push(...lines));
  }

  /** Puts these before the existing lines. */
  addFirst(find: () => Promise<readonly string[]>): Promise<void> {
    return this.#look(find, (lines) => this.#lines.unshift(...lines));
  }

  async #look(find: () => Promise<readonly string[]>, join: (lines: readonly string[]) => void): Promise<void> {
    if (this.#hasFailed) return;
    try {
      join(await find());
    } catch (error) {
      if (this.#ctx.signal.aborted) throw toBackupError(this.#ctx.signal.reason, "term");
      this.#hasFailed = true;
      this.#lines = [`unable to search for unreferenced files: ${toBackupError(error).message}`];
    }
  }
}

interface ArchiveInput extends ArchivesInput {
  readonly entry: ArchiveHistoryEntry;
  readonly archiveId: string;
  readonly pass: string | null;
  readonly needs: WalNeeds;
}

/** An unreadable history is unknown here, and reported by the check of named files. */
async function readPaths(
  { archiveId, pass, repo }: ArchiveInput,
  timelines: readonly number[],
  histories: readonly StoredWal[],
  runs: readonly WalRange[],
  segmentSizeBytes: number,
): Promise<TimelinePath[]> {
  const ancestors = await loadAncestors(timelines, async (timeline) => {
    const stored = histories.find(({ name }) => name === historyName(timeline));
    const text = stored === undefined ? null : readListedHistory(repo, archiveId, stored, pass).then(parseHistory);
    return text === null ? null : nullOn(text, "crypto", "format", "checksum", "fileInvalid", "fileMissing");
  });
  const newest = new Map(runs.map(([, last]) => [timelineOf(last), last]));
  return pathsIn(
    historyOfNames(new Map(timelines.map((each) => [each, newest.get(each) ?? null])), ancestors, segmentSizeBytes),
  );
}

async function verifyArchive(input: ArchiveInput, named: NamedFiles, problems: string[]): Promise<ArchiveVerdict> {
  const { repo, entry, archiveId, isSingle, needs, pass, sizes } = input;
  const tally = new Tally(problems);
  const complete = new SegmentNumbers();
  const histories: StoredWal[] = [];
  /** A name of each timeline. */
  const timelines = new Map<number, string>();
  const needed = [...needs.alone, ...needs.gapless];
  const isNeeded = ({ name }: StoredWal): boolean =>
    needed.some(({ archiveStart, archiveStop }) => name >= archiveStart && name <= archiveStop);
  for await (const files of listWalInTurn(repo, archiveId)) {
    const segments = files.filter(({ name }) => isSegment(name));
    for (const stored of files) {
      timelines.set(timelineOf(stored.name), stored.name);
      if (stored.name.endsWith(".history")) histories.push(stored);
      if (SEGMENT_NAME.test(stored.name)) complete.set(stored.name, 0);
      if (isSegment(stored.name)) named.add(entry, stored);
      else if (!isSingle) await named.read(entry, stored);
    }
    sizes.set(entry.id, sizes.get(entry.id) ?? (await archivedSegmentSize(repo, entry, segments, pass)));
    await verifySegments(input, isSingle ? segments.filter(isNeeded) : segments, tally);
  }
  const walSegmentSizeBytes = segmentSizeIn(input);
  const runs = runsOf(complete.keys(), walSegmentSizeBytes);
  const known = [...timelines.keys()].filter((timeline) => timeline > 0);
  const paths = await readPaths(input, known, histories, runs, walSegmentSizeBytes);
  const gaps = gapsOf(runs, needs, paths, walSegmentSizeBytes);
  for (const [from, to] of gaps)
    problems.push(`${archiveId}: WAL missing from ${from} to ${to}: a restore cannot pass it`);
  const names = [...timelines.values(), ...histories.map(({ name }) => name)];
  const missingHistories = await findMissingHistories(repo, archiveId, names, needs.gapless);
  problems.push(...missingHistories.map((range) => historyProblem(archiveId, range)));
  return {
    archiveId,
    counts: tally.counts(),
    gaps,
    gaplessFrom: needs.from,
    missingHistories,
    segmentSizeBytes: walSegmentSizeBytes,
  };
}

function segmentSizeIn({ entry, sizes, walSegmentSizeBytes }: ArchiveInput): number {
  return sizes.get(entry.id) ?? walSegmentSizeBytes;
}

/** `wal` has all files of each segment's name, ascending. */
async function verifySegments(input: ArchiveInput, wal: readonly StoredWal[], tally: Tally): Promise<void> {
  const { repo, archiveId, pass, pool } = input;
  const sizeBytes = segmentSizeIn(input);
  const duplicates = new Set(
    wal.filter((stored, index) => wal[index - 1]?.name === stored.name).map((stored) => stored.name),
  );
  await mapParallel(wal, pool.slots * LIMITS.filesPerWorker, async (stored) => {
    if (duplicates.has(stored.name)) {
      tally.add({ status: "other", text: `duplicate segments found for ${archiveId}/${stored.name}` });
      return;
    }
    tally.add(
      await pool.run<VerifyFileJob>({
        kind: "verifyFile",
        repoIndex: repo.key,
        path: walPath(repo.stanza, archiveId, stored.fileName),
        range: null,
        unpack: { cipherPass: pass, compressType: typeOfName(stored.fileName), raw: false },
        sizeBytes,
        sha1: stored.sha1 ?? "",
      }),
    );
  });
}
