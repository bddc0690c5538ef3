/**
 * Brings the WAL of a recovery into the restored pg_wal, for a server in a container: no restore_command of this
 * program could run there. PostgreSQL takes from pg_wal what `restore_command = 'false'` does not give it. Histories of
 * all timelines come too, so that the new timeline gets a free number.
 */
import { chown, mkdir, readdir } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { mapParallel, perRepo } from "../../base/parallel";
import { formatSize } from "../../base/units";
import type { Manifest } from "../../format/repository/manifest";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { parseLsn, segmentOfLsn, segmentSizeOf } from "../../format/wal/walSegment";
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import { syncDirectory } from "../../local/atomicWrite";
import type { Repository } from "../../repository/repository";
import { loadArchiveInfo } from "../../repository/infoStore";
import { listArchive } from "../../repository/expireStore";
import { archiveIdsOf, type ClusterIdentity } from "../shared/identity";
import { archiveGetInTime } from "../archiveGet/archiveGet";
import { findReplayPath } from "../recover/recoverSource";
import { replayNames } from "../recover/replayPath";
import { getLast } from "../stream/partial";
import type { ChooseOptions } from "./openSources";
import type { Owner } from "./owners";

export interface BringOptions extends ChooseOptions {
  readonly dataDirectory: string;
  /** On this machine. */
  readonly walDirectory: string;
  /** Null does not change the owner. */
  readonly owner: Owner | null;
  /** How long a repository that does not answer is asked again. */
  readonly timeoutMs: number;
}

const FETCHED_AT_ONCE = 4;

/** @throws backupSetInvalid (75) when WAL is missing that makes the backup consistent */
export async function bringWal(
  repos: readonly Repository[],
  manifest: Manifest,
  options: BringOptions,
  ctx: Context,
): Promise<void> {
  if (manifest.archiveStart === undefined) return;
  const { walDirectory, recovery } = options;
  const segmentSizeBytes = segmentSizeOf([manifest]) ?? WAL_SEGMENT_SIZE_BYTES;
  const { followed, path } = await findReplayPath(repos, manifest, options, ctx);
  const { archiveStop } = manifest;
  if (archiveStop !== undefined && (path.last === null || path.last.slice(8) < archiveStop.slice(8)))
    throw fail("backupSetInvalid", `backup ${manifest.label} needs WAL up to ${archiveStop}, and none has it`, {
      hint: "Choose an older backup with --set, or another repository with --repo.",
    });
  const end = lastPosition(recovery, archiveStop, segmentSizeBytes);
  const all = [...replayNames(path, followed, segmentSizeBytes)];
  const names = end === null ? all : all.filter((name) => name.slice(8) <= end);
  const cluster = { version: manifest.pg.version, systemId: manifest.pg.systemId };
  const get = (walName: string): Promise<boolean> => {
    const destination = `${walDirectory}/${walName}`;
    return archiveGetInTime(repos, { walName, destination, cluster, segmentSizeBytes }, options.timeoutMs, ctx);
  };
  ctx.log.info(
    `bring ${names.length} WAL segment(s) (${formatSize(names.length * segmentSizeBytes)}) to '${walDirectory}'`,
  );
  await mkdir(walDirectory, { recursive: true, mode: 0o700 });
  await mapParallel([...names, ...(await findHistories(repos, manifest))], FETCHED_AT_ONCE, async (name) => {
    if (!(await get(name))) throw fail("fileMissing", `WAL file ${name} was listed and is gone`);
  });
  const beyond = { ...path, segmentCount: path.segmentCount + 1 };
  const next = [...replayNames(beyond, followed, segmentSizeBytes)].at(-1);
  if (end === null && next !== undefined && path.missing === null) {
    const { timeoutMs } = options;
    const last = { walName: next, destination: `${walDirectory}/${next}`, cluster, segmentSizeBytes, timeoutMs };
    const server = { dataDirectory: options.dataDirectory, exists: async (file: string) => file === "recovery.signal" };
    if (await getLast(repos, last, server, () => get(next), ctx)) ctx.log.info(`the start of ${next} was streamed`);
  }
  if (options.owner !== null) {
    const { gid, uid } = options.owner;
    for (const name of await readdir(walDirectory)) await chown(`${walDirectory}/${name}`, uid, gid);
  }
  await syncDirectory(walDirectory);
}

/** Brings the histories of all timelines alone. */
export async function bringHistories(
  repos: readonly Repository[],
  cluster: ClusterIdentity,
  { owner, timeoutMs, walDirectory }: Pick<BringOptions, "walDirectory" | "owner" | "timeoutMs">,
  ctx: Context,
): Promise<void> {
  const results = await perRepo(repos, async (repo) => {
    const ids = archiveIdsOf(await loadArchiveInfo(repo), cluster).map(archiveIdOf);
    return (await Promise.all(ids.map((id) => listArchive(repo, id)))).flatMap(({ histories }) => histories);
  });
  const lost = results.find((result) => !result.ok);
  // A timeline that only this repository knows would be used again.
  if (lost !== undefined && !lost.ok) throw lost.error;
  for (const walName of new Set(results.flatMap((result) => (result.ok ? result.value : [])))) {
    const destination = `${walDirectory}/${walName}`;
    if (await archiveGetInTime(repos, { walName, destination, cluster }, timeoutMs, ctx))
      if (owner !== null) await chown(destination, owner.uid, owner.gid);
  }
  await syncDirectory(walDirectory);
}

/** The position in segment names after which nothing is needed; null for targets whose position only WAL shows. */
function lastPosition(
  { target, type }: ChooseOptions["recovery"],
  archiveStop: string | undefined,
  segmentSizeBytes: number,
): string | null {
  if (type === "immediate" && archiveStop !== undefined) return archiveStop.slice(8);
  if (type === "lsn" && target !== undefined) return segmentOfLsn(0, parseLsn(target), segmentSizeBytes).slice(8);
  return null;
}

async function findHistories(repos: readonly Repository[], manifest: Manifest): Promise<string[]> {
  const archiveId = archiveIdOf({ id: manifest.pg.id, pgVersion: manifest.pg.version });
  // The segments' listing has reported repositories that do not answer.
  const results = await perRepo(repos, async (repo) => (await listArchive(repo, archiveId)).histories);
  return [...new Set(results.flatMap((result) => (result.ok ? result.value : [])))].sort();
}
