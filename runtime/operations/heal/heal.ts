/**
 * `heal`: copies missing WAL between repositories until all hold the same, and clears the records of missing WAL.
 *
 * A repository lacks two kinds of files: acknowledged ones (recorded durably), and those that another repository has
 * since this one's oldest backup. Each file comes from pg_wal if it is still there, else from a repository that has it.
 * It is decrypted, decompressed, checked against its SHA-1, and stored with the target's own compression and keys.
 * If the caller asks for it, files that are not acknowledged yet are sent as archive-push sends them: PostgreSQL itself
 * tries again only up to a minute after a repair. Files whose names carry no checksum are compared too.
 * {@link copyMissingWal} copies the recorded missing WAL of one repository without listing
 * whole archives; an agent calls it repeatedly.
 */
import type { ByteStream } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail, isError, toBackupError } from "../../base/errors";
import { Measured } from "../../base/hash";
import { mapParallel, perRepo, type RepoResult } from "../../base/parallel";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { compress } from "../../format/codec/compress";
import type { MissingWalStore } from "../../local/missingWal";
import { loadArchiveInfo, loadBackupInfo, requirePresent } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { findWal, isSegment, listWal, makeDurable, openWal, putWal, type StoredWal } from "../../repository/walStore";
import { newestStart } from "../archivePush/dropWal";
import { PushTarget } from "../archivePush/pushWal";
import { healNamed } from "./healNamed";
import { archiveIdsOf, checkArchive, type ClusterIdentity } from "../shared/identity";
import { readNamed } from "../shared/namedWal";
import type { LocalWal } from "../shared/localWal";

export interface Healed {
  readonly copied: number;
  /**
   * Records cleared without a copy: the repository already held the file, or no repository holds it and a newer backup
   * does not need it.
   */
  readonly settled: number;
  /** Names that no repository and no pg_wal holds, with the reason. */
  readonly unhealed: readonly string[];
}

/** Keeps two writers of one process off the same file. */
export interface WalClaims {
  /** False while another writer writes the file into that repository; otherwise reserves it until `release`. */
  claim(repoIndex: number, name: string): boolean;
  release(repoIndex: number, name: string): void;
}

interface Archive {
  readonly repo: Repository;
  readonly archiveId: string;
  readonly pass: string | null;
  find(name: string): Promise<StoredWal | null>;
}

interface ListedArchive extends Archive {
  readonly stored: ReadonlyMap<string, StoredWal>;
  /** The oldest segment that a backup of this repository needs; null without backups. */
  readonly neededFrom: string | null;
}

/** Limits for repeated runs beside an archiver. */
export interface HealBounds {
  readonly claims: WalClaims;
  /** Maximum of missing files copied into one repository, oldest first; the next run copies the rest. */
  readonly copiesMax: number;
}

/** Concurrent copies into one repository: hides an object store's latency. */
const COPIES_AT_ONCE = 4;

export async function heal(
  repos: readonly Repository[],
  missingWal: MissingWalStore,
  cluster: ClusterIdentity,
  local: LocalWal,
  ctx: Context,
  /** False when `repos` are only some of the configured ones: another one may hold what these lack. */
  isEvery = true,
  /**
   * With bounds, files without a checksum in their name are copied if missing but not compared, which takes a request
   * each.
   */
  bounds: HealBounds | null = null,
  /** True when this server archives to these repositories: also sends the files that wait for that. */
  sendsPending = false,
): Promise<RepoResult<Healed>[]> {
  const opened = await perRepo(repos, (repo) => listArchive(repo, cluster));
  // Listed after the repositories: a file seen in a repository is then either still here or acknowledged.
  const pending = new Set(await local.listReady());
  const archives = opened.flatMap((result) => (result.ok ? [result.value] : []));
  const named = bounds === null ? await healNamed(archives, local, pending, ctx) : new Map<number, Healed>();
  return perRepo(repos, async (repo) => {
    const answer = opened.find((result) => result.repoIndex === repo.key);
    if (answer === undefined || !answer.ok) throw answer?.error ?? fail("assert", `${repo.name} was not opened`);
    const target = answer.value;
    const names = new Set([...missingWal.list(repo.key, cluster), ...missingFrom(target, archives)]);
    const sources = archives.filter((archive) => archive !== target);
    const wanted = [...names].filter((name) => !pending.has(name)).sort();
    const now = wanted.slice(0, bounds?.copiesMax ?? wanted.length);
    // An unreachable repository may hold what the others lack.
    const mayLetGo = isEvery && archives.length === repos.length;
    const healed = [
      { copied: 0, settled: 0, unhealed: [], ...named.get(repo.key) },
      ...(sendsPending ? [await sendPending(target, [...pending], { missingWal, cluster, local }, ctx)] : []),
      await copyAll(
        target,
        sources,
        now,
        { missingWal, cluster, local, claims: bounds?.claims ?? null, mayLetGo },
        ctx,
      ),
    ];
    // Former clusters at this location: pg_wal no longer has their files.
    for (const former of missingWal.clusters(repo.key)) {
      if (isSame(former, cluster)) continue;
      healed.push(await copyMissingWal(repo, repos, former, { missingWal, local: null, claims: null, mayLetGo }, ctx));
    }
    return sum(healed);
  });
}

/**
 * Sends waiting files by archive-push's own rules: present ones are left, other content under a segment's name is error
 * 45, which ends this repository's run. archive-push may send the same file at the same time, as on two hosts: same
 * name, same bytes. PostgreSQL's next call finds them stored.
 */
async function sendPending(
  { archiveId, pass, repo, stored }: ListedArchive,
  pending: readonly string[],
  { missingWal, cluster, local }: { readonly local: LocalWal } & Pick<CopyParts, "missingWal" | "cluster">,
  ctx: Context,
): Promise<Healed> {
  const target = new PushTarget(repo, ctx);
  const unhealed: string[] = [];
  let copied = 0;
  await mapParallel(
    // A stored segment is compared: after a conflict nothing more is written into this archive.
    pending.filter((name) => isSegment(name) || !stored.has(name)),
    COPIES_AT_ONCE,
    async (name) => {
      if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
      try {
        const wal = await local.prepare(name);
        if (wal === null) return;
        if ((await target.push(wal, { archiveId, pass })) === "pushed") copied++;
        missingWal.remove(repo.key, name, cluster);
      } catch (error) {
        if (isError(error, "archiveDuplicate")) throw error;
        unhealed.push(`${name}: ${toBackupError(error).message}`);
      }
    },
  );
  if (copied > 0) ctx.log.info(`${repo.name}: sent ${copied} WAL file(s) that waited for the archive`);
  for (const line of unhealed.sort()) ctx.log.warn(`${repo.name}: unable to send ${line}`);
  return { copied, settled: 0, unhealed };
}

/**
 * Copies the WAL of one cluster that is recorded as missing in `target`, except files that still wait for the archive.
 * @throws when the repository cannot be opened
 */
export async function copyMissingWal(
  target: Repository,
  repos: readonly Repository[],
  cluster: ClusterIdentity,
  parts: {
    readonly missingWal: MissingWalStore;
    readonly local: LocalWal | null;
    readonly claims: WalClaims | null;
    readonly mayLetGo?: boolean;
  },
  ctx: Context,
): Promise<Healed> {
  const archive = await openArchive(target, cluster);
  const pending = new Set(parts.local === null ? [] : await parts.local.listReady());
  const names = parts.missingWal.list(target.key, cluster).filter((name) => !pending.has(name));
  const sources = repos.filter((repo) => repo.key !== target.key).map((repo) => lazyArchive(repo, cluster));
  return copyAll(archive, sources, names, { mayLetGo: true, ...parts, cluster }, ctx);
}

async function openArchive(repo: Repository, cluster: ClusterIdentity): Promise<Archive> {
  const info = await loadArchiveInfo(repo);
  const [entry] = archiveIdsOf(info, cluster);
  // Throws with both identities: WAL of a cluster that the archive does not know must not be stored here.
  const archiveId = entry === undefined ? checkArchive(repo, info, cluster) : archiveIdOf(entry);
  const find = async (name: string): Promise<StoredWal | null> => (await findWal(repo, archiveId, name))[0] ?? null;
  return { repo, archiveId, pass: info.cipherPass ?? null, find };
}

async function listArchive(repo: Repository, cluster: ClusterIdentity): Promise<ListedArchive> {
  const info = await loadArchiveInfo(repo);
  const archiveId = checkArchive(repo, info, cluster);
  const stored = new Map<string, StoredWal>();
  for await (const wal of listWal(repo, archiveId)) stored.set(wal.name, wal);
  const starts = (await loadBackupInfo(repo)).backups.flatMap((entry) =>
    entry.archiveStart === null ? [] : [entry.archiveStart],
  );
  const find = async (name: string): Promise<StoredWal | null> => stored.get(name) ?? null;
  return { repo, archiveId, pass: info.cipherPass ?? null, find, stored, neededFrom: starts.sort()[0] ?? null };
}

/**
 * Files in other repositories since this repository's oldest backup. Without a backup it needs no WAL, so nothing is
 * copied.
 */
function missingFrom(target: ListedArchive, archives: readonly ListedArchive[]): string[] {
  const { neededFrom } = target;
  if (neededFrom === null) return [];
  const names = archives.flatMap((archive) => (archive === target ? [] : [...archive.stored.keys()]));
  return names.filter((name) => (name >= neededFrom || name.endsWith(".history")) && !target.stored.has(name));
}

/**
 * WAL that no repository holds (expired elsewhere, or lost with a disk) and that a newer backup of this repository does
 * not need to recover to now. Until such a backup exists the record stays, so that a backup is taken. `verify` reports
 * the lost points in time before that backup.
 */
async function bygone({ repo, archiveId }: Archive, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  const historyId = Number(archiveId.slice(archiveId.lastIndexOf("-") + 1));
  const backups = (await loadBackupInfo(repo)).backups.filter((entry) => entry.dbId === historyId);
  const newest = newestStart(backups.map((entry) => entry.archiveStart));
  return names.filter((name) => name < newest);
}

/** A repository that is opened on first use. */
type Source = Pick<Archive, "repo" | "find"> & { open(): Promise<Archive> };

function lazyArchive(repo: Repository, cluster: ClusterIdentity): Source {
  let opened: Promise<Archive> | undefined;
  const open = (): Promise<Archive> => (opened ??= openArchive(repo, cluster));
  return { repo, open, find: async (name) => (await open()).find(name) };
}

interface CopyParts {
  readonly missingWal: MissingWalStore;
  readonly cluster: ClusterIdentity;
  readonly local: LocalWal | null;
  readonly claims?: WalClaims | null;
  /** True when every repository is among the sources: a file that none of them holds is lost. */
  readonly mayLetGo: boolean;
}

/** The problem of a file that no location holds. */
const NOWHERE = "neither a repository nor pg_wal has it";

async function copyAll(
  target: Archive,
  archives: readonly (Archive | Source)[],
  names: readonly string[],
  { missingWal, cluster, local, claims, mayLetGo }: CopyParts,
  ctx: Context,
): Promise<Healed> {
  const sources = archives.map(
    (archive): Source => ("open" in archive ? archive : { ...archive, open: async () => archive }),
  );
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
      missingWal.remove(target.repo.key, name, cluster);
    } finally {
      claims?.release(target.repo.key, name);
    }
  });
  const nowhere = [...problems].filter(([, problem]) => mayLetGo && problem === NOWHERE).map(([name]) => name);
  // An unmounted repository seems to hold nothing.
  if (nowhere.length > 0) for (const { repo } of [target, ...sources]) await requirePresent(repo);
  for (const name of (await bygone(target, nowhere)).sort()) {
    const why =
      "no repository has it, and a newer backup does not need it. Recovery from older backups ends before it.";
    ctx.log.warn(`${target.repo.name}: stopped looking for missing ${name}: ${why}`);
    missingWal.remove(target.repo.key, name, cluster);
    problems.delete(name);
    settled++;
  }
  const unhealed = [...problems].map(([name, problem]) => `${name}: ${problem}`).sort();
  if (copied > 0) ctx.log.info(`${target.repo.name}: copied ${copied} missing WAL file(s)`);
  for (const line of unhealed) ctx.log.warn(`${target.repo.name}: unable to copy ${line}`);
  return { copied, settled, unhealed };
}

/** Null when it is stored; else why no source could provide it. */
async function copyOne(
  target: Archive,
  sources: readonly Source[],
  name: string,
  local: LocalWal | null,
  ctx: Context,
): Promise<string | null> {
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
    // Checked again: archive-push may have stored it first.
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

/** The plain content; throws at its end, before the copy is complete, if it does not match its name. */
async function* checkedContent(archive: Archive, stored: StoredWal, expected: string | null): ByteStream {
  const measured = new Measured();
  yield* measured.through(await openWal(archive.repo, archive.archiveId, stored, archive.pass));
  const { sha1 } = measured.result();
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
