/**
 * `heal`: copies WAL from repository to repository until all hold the same, and clears the debt.
 *
 * A repository owes what PostgreSQL was told is safe (the durable debt) and what another repository has from its own oldest backup on and it
 * lacks. Each file is taken from pg_wal when it is still there, else from a repository that has it, decrypted and decompressed, checked
 * against its SHA-1, and stored with the receiving repository's own compression and keys. What PostgreSQL has not been told is safe is left
 * alone: archive-push may be writing it at this moment. Files whose names carry no checksum are compared
 * too. {@link payDebts} pays the recorded debt of one repository without listing whole archives, for an agent that does so again and again.
 */
import { createHash } from "node:crypto";
import type { ByteStream } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { mapParallel, perRepo, type RepoResult } from "../../base/parallel";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { compress } from "../../format/codec/compress";
import type { DebtStore } from "../../local/debt";
import { loadArchiveInfo, loadBackupInfo, requirePresent } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { findWal, isSegment, listWal, makeDurable, openWal, putWal, type StoredWal } from "../../repository/walStore";
import { newestStart } from "../archivePush/dropWal";
import { healNamed } from "./healNamed";
import { archiveIdsOf, checkArchive, type ClusterIdentity } from "../shared/identity";
import { readNamed } from "../shared/namedWal";
import type { LocalWal } from "../shared/localWal";

export interface Healed {
  readonly copied: number;
  /** Debts that needed no copy: the repository held the file already, or it is nowhere any more and a newer backup does without it. */
  readonly settled: number;
  /** Names that no repository and no pg_wal has any more, with the reason. */
  readonly unhealed: readonly string[];
}

/** Keeps two writers of one process from the same file. */
export interface WalClaims {
  /** False when somebody else is writing the file into that repository; else it is kept for the caller until `release`. */
  claim(repoKey: number, name: string): boolean;
  release(repoKey: number, name: string): void;
}

interface Archive {
  readonly repo: Repository;
  readonly archiveId: string;
  readonly pass: string | null;
  find(name: string): Promise<StoredWal | null>;
}

interface ListedArchive extends Archive {
  readonly stored: ReadonlyMap<string, StoredWal>;
  /** The oldest segment that a backup here needs; null without backups. */
  readonly neededFrom: string | null;
}

/** Of a run beside an archiver, again and again. */
export interface HealBounds {
  readonly claims: WalClaims;
  /** Missing files that are copied into one repository, the oldest first; the rest is for the next run. */
  readonly copiesMax: number;
}

/** Files that are copied into one repository at the same time: hides the latency of an object store. */
const COPIES_AT_ONCE = 4;

export async function heal(
  repos: readonly Repository[],
  debt: DebtStore,
  cluster: ClusterIdentity,
  local: LocalWal,
  ctx: Context,
  /** False when `repos` are only some of those that are configured: then another one may hold what these do not. */
  isEvery = true,
  /** With bounds, files whose names carry no checksum are copied where they are missing, and not read to be compared: that is a request for each. */
  bounds: HealBounds | null = null,
): Promise<RepoResult<Healed>[]> {
  const opened = await perRepo(repos, (repo) => listArchive(repo, cluster));
  // Asked after the repositories: what one of them was seen to hold is either still here or acknowledged.
  const pending = new Set(await local.listReady());
  const archives = opened.flatMap((result) => (result.ok ? [result.value] : []));
  const named = bounds === null ? await healNamed(archives, local, pending, ctx) : new Map<number, Healed>();
  return perRepo(repos, async (repo) => {
    const answer = opened.find((result) => result.repoKey === repo.key);
    if (answer === undefined || !answer.ok) throw answer?.error ?? fail("assert", `${repo.name} was not opened`);
    const target = answer.value;
    const names = new Set([...debt.list(repo.key, cluster), ...missingFrom(target, archives)]);
    const sources = archives.filter((archive) => archive !== target);
    const wanted = [...names].filter((name) => !pending.has(name)).sort();
    const now = wanted.slice(0, bounds?.copiesMax ?? wanted.length);
    // One that is away may still hold what the others lack.
    const mayLetGo = isEvery && archives.length === repos.length;
    const healed = [
      { copied: 0, settled: 0, unhealed: [], ...named.get(repo.key) },
      await copyAll(target, sources, now, { debt, cluster, local, claims: bounds?.claims ?? null, mayLetGo }, ctx),
    ];
    // Of clusters that this one took the place of: no pg_wal has their files any more.
    for (const former of debt.clusters(repo.key)) {
      if (isSame(former, cluster)) continue;
      healed.push(await payDebts(repo, repos, former, { debt, local: null, claims: null, mayLetGo }, ctx));
    }
    return sum(healed);
  });
}

/** Pays what is recorded as `target`'s debt of one cluster, except what waits for the archive still. @throws when the repository cannot be opened */
export async function payDebts(
  target: Repository,
  repos: readonly Repository[],
  cluster: ClusterIdentity,
  parts: { readonly debt: DebtStore; readonly local: LocalWal | null; readonly claims: WalClaims | null; readonly mayLetGo?: boolean },
  ctx: Context,
): Promise<Healed> {
  const archive = await openArchive(target, cluster);
  const pending = new Set(parts.local === null ? [] : await parts.local.listReady());
  const names = parts.debt.list(target.key, cluster).filter((name) => !pending.has(name));
  const sources = repos.filter((repo) => repo.key !== target.key).map((repo) => lazyArchive(repo, cluster));
  return copyAll(archive, sources, names, { mayLetGo: true, ...parts, cluster }, ctx);
}

async function openArchive(repo: Repository, cluster: ClusterIdentity): Promise<Archive> {
  const info = await loadArchiveInfo(repo);
  const [entry] = archiveIdsOf(info, cluster);
  // Throws with the two identities: WAL of a cluster that the archive never knew has no place here.
  const archiveId = entry === undefined ? checkArchive(repo, info, cluster) : archiveIdOf(entry);
  const find = async (name: string): Promise<StoredWal | null> => (await findWal(repo, archiveId, name))[0] ?? null;
  return { repo, archiveId, pass: info.cipherPass ?? null, find };
}

async function listArchive(repo: Repository, cluster: ClusterIdentity): Promise<ListedArchive> {
  const info = await loadArchiveInfo(repo);
  const archiveId = checkArchive(repo, info, cluster);
  const stored = new Map<string, StoredWal>();
  for await (const wal of listWal(repo, archiveId)) stored.set(wal.name, wal);
  const starts = (await loadBackupInfo(repo)).backups.flatMap((entry) => (entry.archiveStart === null ? [] : [entry.archiveStart]));
  const find = async (name: string): Promise<StoredWal | null> => stored.get(name) ?? null;
  return { repo, archiveId, pass: info.cipherPass ?? null, find, stored, neededFrom: starts.sort()[0] ?? null };
}

/** What the others hold from this repository's oldest backup on. Without a backup nothing here needs WAL, so nothing is fetched. */
function missingFrom(target: ListedArchive, archives: readonly ListedArchive[]): string[] {
  const { neededFrom } = target;
  if (neededFrom === null) return [];
  const names = archives.flatMap((archive) => (archive === target ? [] : [...archive.stored.keys()]));
  return names.filter((name) => (name >= neededFrom || name.endsWith(".history")) && !target.stored.has(name));
}

/**
 * Of names that are nowhere any more (retention of another repository let go of them, or a disk was lost), those that a backup of the
 * repository begins behind: recovery to now does without them. Until there is such a backup the debt is kept, so that somebody takes one; what
 * stays lost, points in time between the older backups and that one, is for `verify` to tell.
 */
async function bygone({ repo, archiveId }: Archive, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  const historyId = Number(archiveId.slice(archiveId.lastIndexOf("-") + 1));
  const backups = (await loadBackupInfo(repo)).backups.filter((entry) => entry.dbId === historyId);
  const newest = newestStart(backups.map((entry) => entry.archiveStart));
  return names.filter((name) => name < newest);
}

/** A repository that is opened when it is first asked for something. */
type Source = Pick<Archive, "repo" | "find"> & { open(): Promise<Archive> };

function lazyArchive(repo: Repository, cluster: ClusterIdentity): Source {
  let opened: Promise<Archive> | undefined;
  const open = (): Promise<Archive> => (opened ??= openArchive(repo, cluster));
  return { repo, open, find: async (name) => (await open()).find(name) };
}

interface CopyParts {
  readonly debt: DebtStore;
  readonly cluster: ClusterIdentity;
  readonly local: LocalWal | null;
  readonly claims?: WalClaims | null;
  /** True when every repository is among the sources, so that what none of them holds is nowhere. */
  readonly mayLetGo: boolean;
}

/** The problem of a file that every place was asked for, and none has. */
const NOWHERE = "no repository and no pg_wal holds it";

async function copyAll(
  target: Archive,
  archives: readonly (Archive | Source)[],
  names: readonly string[],
  { debt, cluster, local, claims, mayLetGo }: CopyParts,
  ctx: Context,
): Promise<Healed> {
  const sources = archives.map((archive): Source => ("open" in archive ? archive : { ...archive, open: async () => archive }));
  const problems = new Map<string, string>();
  let copied = 0;
  let settled = 0;
  await mapParallel([...names].sort(), COPIES_AT_ONCE, async (name) => {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    if (claims?.claim(target.repo.key, name) === false) return;
    try {
      const stored = await target.find(name);
      if (stored !== null) {
        await makeDurable(target.repo, target.archiveId, stored.fileName);
        settled++;
      } else {
        const problem = await copyOne(target, sources, name, local, ctx);
        if (problem !== null) return void problems.set(name, problem);
        copied++;
      }
      debt.remove(target.repo.key, name, cluster);
    } finally {
      claims?.release(target.repo.key, name);
    }
  });
  const nowhere = [...problems].filter(([, problem]) => mayLetGo && problem === NOWHERE).map(([name]) => name);
  // A mount that went away holds nothing either.
  if (nowhere.length > 0) for (const { repo } of [target, ...sources]) await requirePresent(repo);
  for (const name of (await bygone(target, nowhere)).sort()) {
    const why = "no repository has it any more, and a newer backup does without it; recovery from older ones ends before it";
    ctx.log.warn(`${target.repo.name}: ${name} is owed no longer: ${why}`);
    debt.remove(target.repo.key, name, cluster);
    problems.delete(name);
    settled++;
  }
  const unhealed = [...problems].map(([name, problem]) => `${name}: ${problem}`).sort();
  if (copied > 0) ctx.log.info(`${target.repo.name}: copied ${copied} WAL file(s) that it lacked`);
  for (const line of unhealed) ctx.log.warn(`${target.repo.name}: cannot heal ${line}`);
  return { copied, settled, unhealed };
}

/** Null when it is stored; else why no place could give it. */
async function copyOne(target: Archive, sources: readonly Source[], name: string, local: LocalWal | null, ctx: Context): Promise<string | null> {
  const problems: string[] = [];
  const offers: { readonly source: Source; readonly stored: StoredWal }[] = [];
  for (const source of sources) {
    try {
      const stored = await source.find(name);
      if (stored !== null) offers.push({ source, stored });
    } catch (error) {
      problems.push(`${source.repo.name}: ${toBackupError(error).message}`);
    }
  }
  const expected = offers.map((offer) => offer.stored.sha1).find((sha1) => typeof sha1 === "string") ?? null;
  const store = async (sha1: string, open: () => ByteStream): Promise<void> => {
    // Asked again: archive-push may have come first.
    const [stored] = isSegment(name) ? await findWal(target.repo, target.archiveId, name) : [];
    if (stored !== undefined) return makeDurable(target.repo, target.archiveId, stored.fileName);
    const wal = { archiveId: target.archiveId, name, sha1, compressType: compressOf(target, name).type, open };
    await putWal(target.repo, wal, target.pass, () => ctx.random.bytes(8));
  };
  try {
    const wal = (await local?.prepare(name)) ?? null;
    if (wal !== null) {
      if (expected !== null && wal.sha1 !== expected) throw wrongContent(wal.sha1, expected);
      await store(wal.sha1, await wal.packed(compressOf(target, name)));
      return null;
    }
  } catch (error) {
    problems.push(`pg_wal: ${toBackupError(error).message}`);
  }
  for (const { source, stored } of offers) {
    try {
      const archive = await source.open();
      if (stored.sha1 === null) {
        const { problem } = await readNamed(archive.repo, archive.archiveId, stored, archive.pass);
        if (problem !== null) throw fail("checksum", problem);
      }
      const open = (): ByteStream => compress(checkedContent(archive, stored, expected), compressOf(target, name));
      await store(expected ?? "", open);
      return null;
    } catch (error) {
      problems.push(`${source.repo.name}: ${toBackupError(error).message}`);
    }
  }
  return problems.length > 0 ? problems.join("; ") : NOWHERE;
}

function compressOf({ repo }: Archive, name: string): Repository["compress"] {
  return isSegment(name) ? repo.compress : { type: "none", level: 0 };
}

/** The plain content; throws at its end, before the copy is complete, when it is not what its name says. */
async function* checkedContent(archive: Archive, stored: StoredWal, expected: string | null): ByteStream {
  const hash = createHash("sha1");
  for await (const chunk of await openWal(archive.repo, archive.archiveId, stored, archive.pass)) {
    hash.update(chunk);
    yield chunk;
  }
  const sha1 = hash.digest("hex");
  if (expected !== null && sha1 !== expected) throw wrongContent(sha1, expected);
}

function wrongContent(sha1: string, expected: string): Error {
  return fail("checksum", `content has checksum ${sha1} but ${expected} is expected`);
}

function isSame(left: ClusterIdentity, right: ClusterIdentity): boolean {
  return left.version === right.version && left.systemId === right.systemId;
}

function sum(parts: readonly Healed[]): Healed {
  return {
    copied: parts.reduce((total, part) => total + part.copied, 0),
    settled: parts.reduce((total, part) => total + part.settled, 0),
    unhealed: parts.flatMap((part) => part.unhealed),
  };
}
