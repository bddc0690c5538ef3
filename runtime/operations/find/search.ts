/** Reads the segments and keeps the most destructive transactions. */
import type { Context } from "../../base/context";
import { isError } from "../../base/errors";
import { WalReader } from "../../format/wal/walReader";
import { formatLsn } from "../../format/wal/walSegment";
import type { ServerHistory } from "../../recoverability/followedTimeline";
import type { Activity, ActivityTracker, Ended } from "./activity";
import type { Segment, WalArchive } from "./archive";
import { type Marker, type MarkerKind, markersOf, weightOf } from "./markers";
import type { KnownNames } from "./knownNames";
import type { StreamedWal } from "./streamed";
import { type BackupEnd, type Target, targetsOf } from "./recoveryTargets";

/** Commit records are slightly out of order by time. */
const DISORDER_US = 10_000_000n;
const PROGRESS_SEGMENTS = 64;
/** Maximum number of segments after the archive's end: an archiver may have stopped long ago. */
const TAIL_SEGMENTS_MAX = 65_536;
/** Kept beyond the limit before the lightest are dropped. */
const SPARE = 1000;
const USER_ID_MIN = 16384;

export interface FindOptions {
  readonly fromUs: bigint;
  readonly toUs: bigint;
  /** `schema.table`, or only a table's name. */
  readonly table: string | undefined;
  readonly database: string | undefined;
  readonly kind: MarkerKind | undefined;
  /** Maximum number of transactions to report, the most destructive ones. */
  readonly limit: number;
  readonly timeline: number | undefined;
  /** This cluster's server on this machine; null if the machine has no such server. */
  readonly server: ServerHistory | null;
  /** Named by the user. */
  readonly repoIndex: number | undefined;
  readonly walDirectory: string | null;
}

export interface MatchedTransaction {
  readonly xid: number;
  readonly atUs: bigint;
  /** Position of its commit record. */
  readonly lsn: bigint;
  /** Position of its first action that was read. */
  readonly firstLsn: bigint;
  readonly preparedAs: string | null;
  readonly markers: readonly NamedMarker[];
  /** Where its end was read. A recovery reaches WAL in pg_wal only after it is archived. */
  readonly source: WalSource;
  /** It began, or may have begun, before the WAL that was read: earlier row changes are not counted. */
  readonly isCut: boolean;
  readonly targets: readonly Target[];
}

export interface NamedMarker extends Marker {
  readonly databaseName: string;
  /** Tables that it is a partition of, or inherits from, nearest first. */
  readonly partOf: readonly string[];
}

export type WalSource = "archive" | "stream" | "pg_wal";

/** A span that could not be read. */
export interface UnknownSpan {
  readonly fromSegment: string;
  readonly toSegment: string;
  readonly reason: string;
  /** Last commit time before it and first one after it; null if absent. */
  readonly afterUs: bigint | null;
  readonly beforeUs: bigint | null;
}

export interface SearchResult {
  readonly timeline: number;
  /** Where reading began. */
  readonly fromLsn: bigint;
  readonly toLsn: bigint;
  /** The archive's first time if that is after `from`: earlier commits are unknown. Else null. */
  readonly beginUs: bigint | null;
  readonly lastUs: bigint | null;
  readonly transactions: readonly MatchedTransaction[];
  /** Number of transactions beyond the limit. */
  readonly leftOut: number;
  /** All commits between the two times. */
  readonly committed: number;
  /** Number of cut transactions, whatever they did: {@link MatchedTransaction}. */
  readonly cut: number;
  readonly unknown: readonly UnknownSpan[];
  /** Further unknowns, as sentences. */
  readonly notes: readonly string[];
}

interface Kept {
  readonly weight: number;
  readonly transaction: MatchedTransaction;
}

export interface SearchParts {
  readonly archive: WalArchive;
  readonly streamed: StreamedWal;
  readonly tracker: ActivityTracker;
  readonly names: KnownNames;
  readonly backups: readonly BackupEnd[];
}

export class Search {
  readonly #parts: SearchParts;
  readonly #options: FindOptions;
  readonly #ctx: Context;
  readonly #reader = new WalReader();
  readonly #unknown: { -readonly [K in keyof UnknownSpan]: UnknownSpan[K] }[] = [];
  #kept: Kept[] = [];
  #leftOut = 0;
  #committed = 0;
  #cutCount = 0;
  #unnamed = 0;
  #unrelated = 0;
  #lastUs: bigint | null = null;
  #highestUs: bigint | null = null;
  #isPast = false;

  constructor(parts: SearchParts, options: FindOptions, ctx: Context) {
    this.#parts = parts;
    this.#options = options;
    this.#ctx = ctx;
  }

  async run(segments: readonly Segment[]): Promise<void> {
    const { archive } = this.#parts;
    let before: Segment | null = null;
    for (const [index, segment] of segments.entries()) {
      if (this.#isPast) return;
      this.#ctx.signal.throwIfAborted();
      if (index % PROGRESS_SEGMENTS === 0 && index > 0)
        this.#ctx.log.info(`find: ${index} of at most ${segments.length} segments read`);
      if (before !== null && archive.after(before).lsn !== segment.lsn)
        this.#lose(archive.after(before).name, before, "missing", segment);
      before = segment;
      const { bytes, problem } = await archive.read(segment);
      const stopped = bytes === null ? problem : await this.#segment(bytes, "archive");
      if (stopped !== null) this.#lose(segment.name, segment, stopped, segment);
    }
    await this.#tail(before);
  }

  result(fromLsn: bigint): Omit<SearchResult, "beginUs"> {
    this.#cut(this.#options.limit);
    const transactions = this.#kept
      .map(({ transaction }) => transaction)
      .sort((left, right) => (left.lsn < right.lsn ? -1 : 1));
    return {
      timeline: this.#parts.archive.timeline,
      fromLsn,
      toLsn: this.#reader.position,
      lastUs: this.#lastUs,
      transactions,
      leftOut: this.#leftOut,
      committed: this.#committed,
      cut: this.#cutCount,
      unknown: this.#unknown,
      notes: this.#notes(),
    };
  }

  #notes(): string[] {
    const { archive, backups, names } = this.#parts;
    const notes: string[] = [];
    if (backups.length === 0)
      notes.push(
        `no repository has a backup on timeline ${archive.timeline} or its ancestors, so recovery is impossible`,
      );
    const reasons = names.reasons.length === 0 ? "" : `: ${names.reasons.join("; ")}`;
    if (this.#unrelated > 0)
      notes.push(
        `${this.#unrelated} transactions changed tables that may be partitions of others, which --table cannot match${reasons}`,
      );
    if (this.#unnamed > 0) {
      notes.push(
        `${this.#unnamed} transactions changed objects with unknown names, which --table and --database cannot match${reasons}`,
      );
    }
    if (!this.#isPast && !archive.isLocalThere)
      notes.push(
        `the server's pg_wal is not on this machine: later commits than ${formatLsn(this.#reader.position)} are unknown`,
      );
    return notes;
  }

  /**
   * Reads WAL after the archive's end: from pg_wal if it is here, else the streamed part. The newest segment ends
   * early.
   */
  async #tail(last: Segment | null): Promise<void> {
    const { archive, streamed } = this.#parts;
    if (last === null || this.#isPast) return;
    // Listed before the reading: what the server writes during it makes no gap of a segment that was read unfinished.
    const known = [...streamed.segments, ...(await archive.listLocalAfter(last))];
    let segment = last;
    for (let count = 0; count < TAIL_SEGMENTS_MAX && !this.#isPast; count++) {
      this.#ctx.signal.throwIfAborted();
      const next = archive.after(segment);
      const piece = await this.#behindArchive(next);
      const stopped = piece === null ? "missing" : await this.#segment(piece.bytes, piece.source);
      segment = next;
      if (stopped === null) continue;
      const following = firstAfter(known, next);
      if (following === null) return;
      this.#lose(next.name, next, stopped, following);
      segment = archive.before(following);
    }
  }

  async #behindArchive(next: Segment): Promise<{ readonly bytes: Uint8Array; readonly source: WalSource } | null> {
    const { archive, streamed } = this.#parts;
    const local = await archive.readLocal(next);
    if (local !== null) return { bytes: local, source: "pg_wal" };
    const part = await streamed.read(next);
    if (part?.isWhole === true) return { bytes: part.bytes, source: "stream" };
    // It may have been archived, and removed elsewhere, during the search.
    const archived = await archive.look(next);
    const bytes = archived === null ? null : (await archive.read(archived)).bytes;
    if (bytes !== null) return { bytes, source: "archive" };
    return part === null ? null : { bytes: part.bytes, source: "stream" };
  }

  /** Why it was not read to its end; null when it was. */
  async #segment(bytes: Uint8Array, source: WalSource): Promise<string | null> {
    const { tracker } = this.#parts;
    for (const record of this.#reader.read(bytes)) {
      let ended: Ended | null;
      try {
        ended = tracker.add(record);
      } catch (error) {
        if (isError(error, "format")) return error.message;
        throw error;
      }
      if (ended !== null) await this.#ended(ended, source);
    }
    return this.#reader.problem;
  }

  async #ended(ended: Ended, source: WalSource): Promise<void> {
    const { atUs, kind } = ended.end;
    if (kind === "prepare") return;
    const isTimeExact = this.#highestUs === null || this.#highestUs < atUs;
    if (isTimeExact) this.#highestUs = atUs;
    this.#lastUs = atUs;
    for (const span of this.#unknown) span.beforeUs ??= atUs;
    if (atUs > this.#options.toUs + DISORDER_US) this.#isPast = true;
    if (kind !== "commit" || atUs < this.#options.fromUs || atUs > this.#options.toUs) return;
    this.#committed++;
    if (ended.isCut) this.#cutCount++;
    if (ended.activity !== null) await this.#judge(ended, ended.activity, { source, isTimeExact });
  }

  async #judge(
    ended: Ended,
    activity: Activity,
    facts: { readonly source: WalSource; readonly isTimeExact: boolean },
  ): Promise<void> {
    const { end, lsn, markedLsn } = ended;
    const { backups, names } = this.#parts;
    for (const database of databasesWithoutNames(activity, ended, names)) await names.load(database);
    const markers = await this.#named(markersOf(activity, end, names));
    if (markers.some(({ isResolved }) => !isResolved)) this.#unnamed++;
    const wanted = markers.filter((marker) => this.#isWanted(marker));
    if (wanted.length === 0) return;
    const { repoIndex, timeline } = this.#options;
    const targets = targetsOf({
      end,
      lsn,
      activity,
      markedLsn,
      isTimeExact: facts.isTimeExact,
      backups,
      timeline: timeline ?? null,
      repoIndex,
    });
    const { atUs, preparedAs, xid } = end;
    const { firstLsn } = activity;
    const transaction = {
      xid,
      atUs,
      lsn,
      firstLsn,
      preparedAs,
      markers,
      source: facts.source,
      isCut: ended.isCut,
      targets,
    };
    this.#kept.push({ weight: weightOf(wanted), transaction });
    if (this.#kept.length >= this.#options.limit + SPARE) this.#cut(this.#options.limit);
  }

  /** With `--table` the parents must be known: changes of a partitioned table are its partitions' in WAL. */
  async #named(markers: readonly Marker[]): Promise<NamedMarker[]> {
    const { names } = this.#parts;
    const withName = (marker: Marker): NamedMarker => ({
      ...marker,
      databaseName: names.database(marker.database) ?? String(marker.database),
      partOf: marker.relation === null ? [] : names.parents(marker.database, marker.relation),
    });
    if (this.#options.table !== undefined)
      for (const marker of markers)
        if (marker.relation !== null && this.#isOfDatabase(withName(marker))) await names.load(marker.database);
    const named = markers.map(withName);
    const isUnrelated = ({ database, relation }: NamedMarker): boolean =>
      relation !== null && !names.knowsParents(database);
    if (this.#options.table !== undefined && named.some((each) => isUnrelated(each) && this.#isOfDatabase(each)))
      this.#unrelated++;
    return named;
  }

  #isOfDatabase(marker: NamedMarker): boolean {
    const { database } = this.#options;
    return database === undefined || marker.databaseName === database || String(marker.database) === database;
  }

  #isWanted(marker: NamedMarker): boolean {
    const { kind, table } = this.#options;
    if ((kind !== undefined && marker.kind !== kind) || !this.#isOfDatabase(marker)) return false;
    const isTable = (name: string): boolean => name === table || name.endsWith(`.${table}`);
    return table === undefined || isTable(marker.name) || marker.partOf.some(isTable);
  }

  /** Keeps the heaviest, and of equal weight the older ones. */
  #cut(count: number): void {
    const sorted = this.#kept.toSorted(
      (left, right) => right.weight - left.weight || (left.transaction.lsn < right.transaction.lsn ? -1 : 1),
    );
    this.#leftOut += Math.max(0, sorted.length - count);
    this.#kept = sorted.slice(0, count);
  }

  /** Records a lost span up to the segment before `next`, or up to `next` if that is `from`. */
  #lose(fromSegment: string, from: Segment, reason: string, next: Segment): void {
    const toSegment = from === next ? next.name : this.#parts.archive.before(next).name;
    this.#ctx.log.warn(
      `WAL from ${fromSegment} to ${toSegment} cannot be read (${reason}): its commits are unknown; read up to ${formatLsn(this.#reader.position)}`,
    );
    this.#unknown.push({ fromSegment, toSegment, reason, afterUs: this.#lastUs, beforeUs: null });
    this.#reader.forget();
    this.#parts.tracker.lose();
  }
}

function firstAfter(segments: readonly Segment[], { lsn: after }: Segment): Segment | null {
  return segments.reduce<Segment | null>(
    (first, segment) => (segment.lsn > after && (first === null || segment.lsn < first.lsn) ? segment : first),
    null,
  );
}

/** Databases with an unnamed object. */
function databasesWithoutNames(activity: Activity, { end }: Ended, names: KnownNames): ReadonlySet<number> {
  const touched = [...activity.rows.values()].filter(
    ({ deletes, file, updates }) => file.relation >= USER_ID_MIN && deletes + updates > 0,
  );
  const files = [...touched.map(({ file }) => file), ...end.dropped];
  const unnamed = new Set(
    files.filter((file) => names.lacksName(file.database, file.relation)).map(({ database }) => database),
  );
  for (const { database, new: now, old } of activity.relations.values()) {
    const row = old ?? now;
    if (row !== null && names.schema(database, row.schema) === undefined) unnamed.add(database);
  }
  return unnamed;
}
