/**
 * `heal`: copies WAL from repository to repository until all hold the same, and clears the debt.
 *
 * A repository owes what PostgreSQL was told is safe (the durable debt) and what another repository has from its own oldest backup on and it
 * lacks. Each file is taken from pg_wal when it is still there, else from a repository that has it, decrypted and decompressed, checked
 * against its SHA-1, and stored with the receiving repository's own compression and keys. What PostgreSQL has not been told is safe is left
 * alone: archive-push may be writing it at this moment, under the same temporary name.
 */
import type { Context } from "../base/context";
import { collect, streamOf } from "../base/bytes";
import { fail, toBackupError } from "../base/errors";
import { sha1Hex } from "../base/hash";
import { LIMITS } from "../base/limits";
import { perRepo, type RepoResult } from "../base/parallel";
import { compressBytes } from "../format/compress";
import { loadArchiveInfo, loadBackupInfo } from "../repository/infoStore";
import type { Repository } from "../repository/repository";
import { findWal, isSegment, listWal, openWal, putWal, type StoredWal } from "../repository/walStore";
import type { DebtStore } from "../local/debt";
import { checkArchive, type ClusterIdentity } from "./identity";

export interface Healed {
  readonly copied: number;
  /** Debts that needed no copy: the repository held the file already. */
  readonly settled: number;
  /** Names that no repository and no pg_wal has any more, with the reason. */
  readonly unhealed: readonly string[];
}

interface OpenArchive {
  readonly repo: Repository;
  readonly archiveId: string;
  readonly pass: string | null;
  readonly stored: ReadonlyMap<string, StoredWal>;
  /** The oldest segment that a backup here needs; null without backups. */
  readonly neededFrom: string | null;
}

/** `pg_wal` as heal needs it. */
export interface LocalWal {
  /** A WAL file, or null when PostgreSQL has removed it. */
  read(name: string): Promise<Uint8Array | null>;
  /** Names that still wait for the archive. */
  listReady(): Promise<readonly string[]>;
}

export async function heal(
  repos: readonly Repository[],
  debt: DebtStore,
  cluster: ClusterIdentity,
  local: LocalWal,
  ctx: Context,
): Promise<RepoResult<Healed>[]> {
  const opened = await perRepo(repos, (repo) => openArchive(repo, cluster));
  // Asked after the repositories: what one of them was seen to hold is either still here or acknowledged.
  const pending = new Set(await local.listReady());
  const archives = opened.flatMap((result) => (result.ok ? [result.value] : []));
  return perRepo(repos, async (repo) => {
    const answer = opened.find((result) => result.repoKey === repo.key);
    if (answer === undefined || !answer.ok) throw answer?.error ?? fail("assert", `${repo.name} was not opened`);
    return healOne(answer.value, archives, { debt, local, pending }, ctx);
  });
}

async function openArchive(repo: Repository, cluster: ClusterIdentity): Promise<OpenArchive> {
  const info = await loadArchiveInfo(repo);
  const archiveId = checkArchive(repo, info, cluster);
  const stored = new Map<string, StoredWal>();
  for await (const wal of listWal(repo, archiveId)) stored.set(wal.name, wal);
  const starts = (await loadBackupInfo(repo)).backups.flatMap((entry) => (entry.archiveStart === null ? [] : [entry.archiveStart]));
  return { repo, archiveId, pass: info.cipherPass ?? null, stored, neededFrom: starts.sort()[0] ?? null };
}

async function healOne(
  target: OpenArchive,
  archives: readonly OpenArchive[],
  { debt, local, pending }: { readonly debt: DebtStore; readonly local: LocalWal; readonly pending: ReadonlySet<string> },
  ctx: Context,
): Promise<Healed> {
  const owed = debt.list(target.repo.key);
  const wanted = new Set([...owed, ...missingFrom(target, archives)]);
  const unhealed: string[] = [];
  let copied = 0;
  let settled = 0;
  for (const name of [...wanted].filter((candidate) => !pending.has(candidate)).sort()) {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    if (target.stored.has(name)) {
      settled++;
    } else {
      const problem = await copyOne(target, archives, name, local, ctx);
      if (problem !== null) {
        unhealed.push(`${name}: ${problem}`);
        continue;
      }
      copied++;
    }
    debt.remove(target.repo.key, name);
  }
  if (copied > 0) ctx.log.info(`${target.repo.name}: copied ${copied} WAL file(s) that it lacked`);
  for (const line of unhealed) ctx.log.warn(`${target.repo.name}: cannot heal ${line}`);
  return { copied, settled, unhealed };
}

/** What the others hold from this repository's oldest backup on. Without a backup nothing here needs WAL, so nothing is fetched. */
function missingFrom(target: OpenArchive, archives: readonly OpenArchive[]): string[] {
  const { neededFrom } = target;
  if (neededFrom === null) return [];
  const names = archives.flatMap((archive) => (archive === target ? [] : [...archive.stored.keys()]));
  return names.filter((name) => (name >= neededFrom || name.endsWith(".history")) && !target.stored.has(name));
}

async function copyOne(target: OpenArchive, archives: readonly OpenArchive[], name: string, pgWal: LocalWal, ctx: Context): Promise<string | null> {
  const sources = archives.filter((archive) => archive !== target && archive.stored.has(name));
  const expected = sources.map((archive) => archive.stored.get(name)?.sha1).find((sha1) => typeof sha1 === "string") ?? null;
  const problems: string[] = [];
  const store = async (bytes: Uint8Array): Promise<void> => {
    const sha1 = sha1Hex(bytes);
    if (expected !== null && sha1 !== expected) throw fail("checksum", `content has checksum ${sha1} but ${expected} is expected`);
    if (isSegment(name) && (await findWal(target.repo, target.archiveId, name)).length > 0) return;
    const compressType = isSegment(name) ? target.repo.compress.type : "none";
    const packed = compressBytes(bytes, { type: compressType, level: target.repo.compress.level });
    await putWal(target.repo, { archiveId: target.archiveId, name, sha1, compressType, open: () => streamOf(packed) }, target.pass, () =>
      ctx.random.bytes(8),
    );
  };
  const local = await pgWal.read(name);
  if (local !== null) {
    try {
      await store(local);
      return null;
    } catch (error) {
      problems.push(`pg_wal: ${toBackupError(error).message}`);
    }
  }
  for (const source of sources) {
    try {
      const content = await openWal(source.repo, source.archiveId, source.stored.get(name) as StoredWal, source.pass);
      await store(await collect(content, LIMITS.wholeFileSizeBytesMax));
      return null;
    } catch (error) {
      problems.push(`${source.repo.name}: ${toBackupError(error).message}`);
    }
  }
  return problems.length > 0 ? problems.join("; ") : "no repository and no pg_wal holds it";
}
