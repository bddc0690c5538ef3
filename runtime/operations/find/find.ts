/**
 * `find`: what was destroyed between two times, by which transaction, and where a recovery has to end to be just before it.
 *
 * Reads WAL from the repositories, and what is not archived yet from pg_wal, segment by segment: memory holds one segment, what running
 * transactions have done, and the answer. A span that cannot be read is part of the answer: what was committed in it is not known.
 */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import { parseLsn } from "../../format/wal/walSegment";
import type { Session } from "../../postgres/session";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { ActivityTracker } from "./activity";
import { WalArchive } from "./archive";
import type { Marker, MarkerKind } from "./markers";
import { KnownNames, type NamesBackup } from "./names";
import { Search } from "./search";
import { StreamedWal } from "./streamed";
import type { BackupPlace, Target } from "./targets";
import { findWindow } from "./window";

export interface FindOptions {
  readonly fromUs: bigint;
  readonly toUs: bigint;
  /** `schema.table`, or a table's name alone. */
  readonly table: string | undefined;
  readonly database: string | undefined;
  readonly kind: MarkerKind | undefined;
  /** So many transactions are told of, those that destroyed most. */
  readonly limit: number;
  readonly timeline: number | undefined;
  /** Named by the user. */
  readonly repoKey: number | undefined;
  readonly walDirectory: string | null;
}

export interface FindDeps {
  readonly repos: readonly Repository[];
  openProduction(database?: string): Promise<Session>;
}

export interface FoundTransaction {
  readonly xid: number;
  readonly atUs: bigint;
  /** Of the record that commits it. */
  readonly lsn: bigint;
  /** Of what it did first, as far as it was looked at. */
  readonly firstLsn: bigint;
  readonly preparedAs: string | null;
  readonly markers: readonly (Marker & { readonly databaseName: string })[];
  /** Where its end was read. What is only in pg_wal no recovery gets to before it is archived. */
  readonly source: WalSource;
  /** It began before what was read, or may have: rows that it changed before are not counted. */
  readonly isCut: boolean;
  readonly targets: readonly Target[];
}

export type WalSource = "archive" | "stream" | "pg_wal";

/** What could not be read. */
export interface UnknownSpan {
  readonly fromSegment: string;
  readonly toSegment: string;
  readonly reason: string;
  /** Last time before it and first one behind it; null when there is none. */
  readonly afterUs: bigint | null;
  readonly beforeUs: bigint | null;
}

export interface Found {
  readonly timeline: number;
  /** What was read. */
  readonly fromLsn: bigint;
  readonly toLsn: bigint;
  readonly lastUs: bigint | null;
  readonly transactions: readonly FoundTransaction[];
  /** How many more there are. */
  readonly leftOut: number;
  /** Everything that was committed between the two times. */
  readonly committed: number;
  /** How many of these are cut, whatever they did: {@link FoundTransaction}. */
  readonly cut: number;
  readonly unknown: readonly UnknownSpan[];
  /** What could not be known besides: sentences. */
  readonly notes: readonly string[];
}

/** @throws repoInvalid, fileMissing when there is no WAL to look at */
export async function find(deps: FindDeps, options: FindOptions, ctx: Context): Promise<Found> {
  const { timeline, walDirectory } = options;
  const archive = await WalArchive.open(deps.repos, { timeline, walDirectory }, ctx);
  const window = await findWindow(archive, options.fromUs, ctx);
  if (window === null) throw fail("fileMissing", `no repository holds WAL of timeline ${archive.timeline}`);
  const backups = await listPlaces(deps.repos, archive);
  const tracker = new ActivityTracker(Number(archive.version), window.wholeFromXid);
  const backup = backupForNames(deps.repos, backups, window.lsn);
  const names = await KnownNames.open({ ...deps, systemId: archive.systemId, backup, catalogs: tracker.catalogs }, ctx);
  const streamed = await StreamedWal.open(archive, ctx);
  const search = new Search({ archive, streamed, tracker, names, backups }, options, ctx);
  await search.run(window.segments);
  return search.result(window.segments[0]?.lsn ?? 0n);
}

/** Backups of this cluster on the way of the timeline. */
async function listPlaces(repos: readonly Repository[], archive: WalArchive): Promise<BackupPlace[]> {
  const infos = await perRepo(repos, loadBackupInfo);
  return infos.flatMap((info) =>
    !info.ok
      ? []
      : info.value.backups.flatMap(({ archiveStart, dbId, label, lsnStop }): BackupPlace[] => {
          const timeline = archiveStart === null ? null : Number.parseInt(archiveStart.slice(0, 8), 16);
          const isOwn = info.value.history.some(({ id, systemId }) => id === dbId && systemId === archive.systemId);
          // Of another timeline only what ended before the way left it.
          const isOnWay = timeline !== null && lsnStop !== undefined && archive.isOnWay(timeline, parseLsn(lsnStop));
          return isOwn && isOnWay ? [{ label, repoKey: info.repoKey, lsnStop }] : [];
        }),
  );
}

/** The newest that ended before what is read, else the oldest: most names do not change. */
function backupForNames(repos: readonly Repository[], places: readonly BackupPlace[], lsn: bigint): NamesBackup | null {
  const ordered = places.toSorted((left, right) => (stopOf(left) < stopOf(right) ? -1 : 1));
  const place = ordered.findLast((each) => stopOf(each) <= lsn) ?? ordered[0];
  const repo = repos.find(({ key }) => key === place?.repoKey);
  return place === undefined || repo === undefined ? null : { repo, label: place.label };
}

function stopOf({ lsnStop }: BackupPlace): bigint {
  return parseLsn(lsnStop);
}
