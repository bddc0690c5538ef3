/**
 * Which repositories show by lacking a WAL file that they never acknowledged it: they have what came before it, and
 * nothing after it. One that was added later, or whose retention removed the file, shows nothing.
 */
import { perRepo } from "../../base/parallel";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { parseWalName, TIMELINE_LENGTH, timelineOf } from "../../format/wal/walSegment";
import { listArchive } from "../../repository/expireStore";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { archiveIdsOf, type ClusterIdentity } from "../shared/identity";
import { segmentsIn } from "../shared/archivedSegments";

export interface AskedWal {
  readonly walName: string;
  readonly cluster: ClusterIdentity;
}

/** Their keys. A repository that cannot be read shows nothing. */
export async function provenWithout(repos: readonly Repository[], asked: AskedWal): Promise<number[]> {
  const results = await perRepo(repos, (repo) => showsAbsence(repo, asked));
  return results.flatMap((result) => (result.ok && result.value ? [result.repoIndex] : []));
}

async function showsAbsence(repo: Repository, { cluster, walName }: AskedWal): Promise<boolean> {
  const archive = await openArchive(repo, cluster);
  const kind = parseWalName(walName)?.kind;
  if (kind === "history") return showsNoHistory(archive, timelineOf(walName));
  if (kind !== "segment") return false;
  const { directories, has } = archive;
  const isAfter = (name: string): boolean => timelineOf(name) === timelineOf(walName) && name > walName;
  const isBefore = (name: string): boolean =>
    timelineOf(name) <= timelineOf(walName) && name.slice(TIMELINE_LENGTH) < walName.slice(TIMELINE_LENGTH);
  // The directory of the file itself is a prefix of its name.
  for (const directory of directories)
    if ((isAfter(directory) || walName.startsWith(directory)) && (await has(directory, isAfter))) return false;
  for (const directory of directories.toReversed())
    if (isBefore(directory) && (await has(directory, isBefore))) return true;
  return false;
}

/** A repository with WAL of this timeline or a later one should have the history. */
async function showsNoHistory({ directories, has, histories }: Archive, timeline: number): Promise<boolean> {
  if ([...directories, ...histories].some((name) => timelineOf(name) >= timeline)) return false;
  for (const directory of directories.toReversed()) if (await has(directory, () => true)) return true;
  return false;
}

interface Archive {
  readonly directories: readonly string[];
  readonly histories: readonly string[];
  /** True if a complete segment in the directory is such a one. */
  readonly has: (directory: string, isWanted: (segment: string) => boolean) => Promise<boolean>;
}

/** All archive ids of the cluster as one. */
async function openArchive(repo: Repository, cluster: ClusterIdentity): Promise<Archive> {
  const ids = archiveIdsOf(await loadArchiveInfo(repo), cluster).map(archiveIdOf);
  const lists = await Promise.all(ids.map((id) => listArchive(repo, id)));
  return {
    directories: [...new Set(lists.flatMap(({ directories }) => directories))].sort(),
    histories: lists.flatMap(({ histories }) => histories),
    has: async (directory, isWanted) => {
      for (const id of ids) if ((await segmentsIn(repo, id, directory)).some(({ name }) => isWanted(name))) return true;
      return false;
    },
  };
}
