/** Goes through segments, and keeps the transactions that destroyed most. */
import type { Context } from "../../base/context";
import { WalReader } from "../../format/walReader";
import { formatLsn } from "../../format/walSegment";
import type { Activity, ActivityTracker, Ended } from "./activity";
import type { Segment, WalArchive } from "./archive";
import type { FindOptions, Found, FoundTransaction, UnknownSpan } from "./find";
import { type Marker, markersOf, weightOf } from "./markers";
import type { KnownNames } from "./names";
import { type BackupPlace, targetsOf } from "./targets";

/** Transactions are committed in WAL a little before or behind the order of their times. */
const DISORDER_US = 10_000_000n;
const PROGRESS_SEGMENTS = 64;
/** Segments of pg_wal behind the archive: an archiver that has stood still for long. */
const LOCAL_SEGMENTS_MAX = 65_536;
/** Kept beyond the limit before the lightest are let go of. */
const SPARE = 1000;
const USER_ID_MIN = 16384;

interface Kept {
  readonly weight: number;
  readonly transaction: FoundTransaction;
}

export interface Scene {
  readonly archive: WalArchive;
  readonly tracker: ActivityTracker;
  readonly names: KnownNames;
  readonly backups: readonly BackupPlace[];
}

export class Search {
  readonly #scene: Scene;
  readonly #options: FindOptions;
  readonly #ctx: Context;
  readonly #reader = new WalReader();
  readonly #unknown: { -readonly [K in keyof UnknownSpan]: UnknownSpan[K] }[] = [];
  #kept: Kept[] = [];
  #leftOut = 0;
  #committed = 0;
  #lastUs: bigint | null = null;
  #highestUs: bigint | null = null;
  #isPast = false;

  constructor(scene: Scene, options: FindOptions, ctx: Context) {
    this.#scene = scene;
    this.#options = options;
    this.#ctx = ctx;
  }

  async run(segments: readonly Segment[]): Promise<void> {
    const { archive } = this.#scene;
    let before: Segment | null = null;
    for (const [index, segment] of segments.entries()) {
      if (this.#isPast) return;
      this.#ctx.signal.throwIfAborted();
      if (index % PROGRESS_SEGMENTS === 0 && index > 0) this.#ctx.log.info(`find: ${index} of at most ${segments.length} segments read`);
      if (before !== null && archive.after(before).lsn !== segment.lsn) this.#lose(archive.after(before).name, before, "missing", segment);
      before = segment;
      const { bytes, problem } = await archive.read(segment);
      if (bytes === null) this.#lose(segment.name, segment, problem, segment);
      else if (!(await this.#segment(bytes, true))) this.#lose(segment.name, segment, this.#reader.problem ?? "", segment);
    }
    await this.#local(before);
  }

  result(fromLsn: bigint): Found {
    this.#cut(this.#options.limit);
    const transactions = this.#kept.map(({ transaction }) => transaction).sort((left, right) => (left.lsn < right.lsn ? -1 : 1));
    return {
      timeline: this.#scene.archive.timeline,
      fromLsn,
      toLsn: this.#reader.position,
      lastUs: this.#lastUs,
      transactions,
      leftOut: this.#leftOut,
      committed: this.#committed,
      unknown: this.#unknown,
    };
  }

  /** What PostgreSQL has not archived yet. Its newest segment ends somewhere. */
  async #local(last: Segment | null): Promise<void> {
    let segment = last;
    for (let count = 0; segment !== null && count < LOCAL_SEGMENTS_MAX && !this.#isPast; count++) {
      this.#ctx.signal.throwIfAborted();
      const next = this.#scene.archive.after(segment);
      const bytes = await this.#scene.archive.readLocal(next);
      if (bytes === null || !(await this.#segment(bytes, false))) return;
      segment = next;
    }
  }

  /** False when it was not read to its end. */
  async #segment(bytes: Uint8Array, isArchived: boolean): Promise<boolean> {
    const { tracker } = this.#scene;
    for (const record of this.#reader.read(bytes)) {
      const ended = tracker.add(record);
      if (ended !== null) await this.#ended(ended, isArchived);
    }
    return this.#reader.problem === null;
  }

  async #ended(ended: Ended, isArchived: boolean): Promise<void> {
    const { atUs, kind } = ended.end;
    if (kind === "prepare") return;
    const isTimeExact = this.#highestUs === null || this.#highestUs < atUs;
    if (isTimeExact) this.#highestUs = atUs;
    this.#lastUs = atUs;
    for (const span of this.#unknown) span.beforeUs ??= atUs;
    if (atUs > this.#options.toUs + DISORDER_US) this.#isPast = true;
    if (kind !== "commit" || atUs < this.#options.fromUs || atUs > this.#options.toUs) return;
    this.#committed++;
    if (ended.activity !== null) await this.#judge(ended, ended.activity, { isArchived, isTimeExact });
  }

  async #judge(ended: Ended, activity: Activity, facts: { readonly isArchived: boolean; readonly isTimeExact: boolean }): Promise<void> {
    const { end, lsn, markedLsn } = ended;
    const { archive, backups, names } = this.#scene;
    for (const database of databasesWithoutNames(activity, ended, names)) await names.load(database);
    const markers = markersOf(activity, end, names).map((marker) => ({
      ...marker,
      databaseName: names.database(marker.database) ?? String(marker.database),
    }));
    const wanted = markers.filter((marker) => this.#isWanted(marker));
    if (wanted.length === 0) return;
    const { repoKey, timeline } = this.#options;
    const targets = targetsOf({
      end,
      lsn,
      activity,
      markedLsn,
      isTimeExact: facts.isTimeExact,
      backups: backups.filter((place) => archive.isOnWay(place.timeline, lsn)),
      timeline: timeline ?? null,
      repoKey,
    });
    const { atUs, preparedAs, xid } = end;
    const { firstLsn } = activity;
    const transaction = { xid, atUs, lsn, firstLsn, preparedAs, markers, isArchived: facts.isArchived, targets };
    this.#kept.push({ weight: weightOf(wanted), transaction });
    if (this.#kept.length >= this.#options.limit + SPARE) this.#cut(this.#options.limit);
  }

  #isWanted(marker: Marker & { readonly databaseName: string }): boolean {
    const { database, kind, table } = this.#options;
    if (kind !== undefined && marker.kind !== kind) return false;
    if (database !== undefined && marker.databaseName !== database && String(marker.database) !== database) return false;
    return table === undefined || marker.name === table || marker.name.endsWith(`.${table}`);
  }

  /** The heaviest stay, the older ones of the same weight. */
  #cut(count: number): void {
    const sorted = this.#kept.toSorted((left, right) => right.weight - left.weight || (left.transaction.lsn < right.transaction.lsn ? -1 : 1));
    this.#leftOut += Math.max(0, sorted.length - count);
    this.#kept = sorted.slice(0, count);
  }

  /** From a segment up to the one before `next`, or that one itself when it is the same. */
  #lose(fromSegment: string, from: Segment, reason: string, next: Segment): void {
    const toSegment = from === next ? next.name : this.#scene.archive.before(next).name;
    this.#ctx.log.warn(
      `WAL from ${fromSegment} to ${toSegment} cannot be read (${reason}): what was committed in it is not known; read up to ${formatLsn(this.#reader.position)}`,
    );
    this.#unknown.push({ fromSegment, toSegment, reason, afterUs: this.#lastUs, beforeUs: null });
    this.#reader.forget();
    this.#scene.tracker.lose();
  }
}

/** Databases in which something has no name yet. */
function databasesWithoutNames(activity: Activity, { end }: Ended, names: KnownNames): ReadonlySet<number> {
  const touched = [...activity.rows.values()].filter(({ deletes, file, updates }) => file.relation >= USER_ID_MIN && deletes + updates > 0);
  const files = [...touched.map(({ file }) => file), ...end.dropped];
  const found = new Set(files.filter((file) => lacksName(file.database, file.relation, names)).map(({ database }) => database));
  for (const { database, new: now, old } of activity.relations.values()) {
    const row = old ?? now;
    if (row !== null && names.schema(database, row.schema) === undefined) found.add(database);
  }
  return found;
}

function lacksName(database: number, file: number, names: KnownNames): boolean {
  const row = names.relation(database, file);
  return row === undefined || names.schema(database, row.schema) === undefined;
}
