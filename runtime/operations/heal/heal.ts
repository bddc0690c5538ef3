/**
 * `heal`: copies missing WAL between repositories until all hold the same, and clears the records of missing WAL.
 *
 * A repository lacks three kinds of files: acknowledged ones (recorded durably), those that another repository has
 * since this one's oldest backup, and gaps: segments that it had and that pg_wal still has. Each file comes from pg_wal
 * if it is still there, else from a repository that has it. It is decrypted, decompressed, checked against its SHA-1,
 * and stored with the target's own compression and keys. If the caller asks for it, files that are not acknowledged yet
 * are sent as archive-push sends them: PostgreSQL itself tries again only up to a minute after a repair. Files whose
 * names carry no checksum are compared too. {@link copyMissingWal} copies the recorded missing WAL of one repository
 * without listing whole archives; an agent calls it repeatedly.
 */
import { parseWalName } from "../../format/wal/walSegment";
import type { Context } from "../../base/context";
import { fail, isError, toBackupError } from "../../base/errors";
import { mapParallel, perRepo, type RepoResult } from "../../base/parallel";
import type { MissingWalStore } from "../../local/missingWal";
import { loadArchiveInfo, loadBackupInfo, requirePresent } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { isSegment, listWal, makeDurable, type StoredWal } from "../../repository/walStore";
import { carefulAges, isTrimmed, planKept, type TrimArchive } from "../expire/archivePlan";
import { newestStart } from "../archivePush/dropWal";
import { PushTarget } from "../archivePush/pushWal";
import type { PreparedWal } from "../archivePush/prepareWal";
import { type Archive, openArchive } from "./openArchive";
import { decide, findDamage, type ServerContent } from "./decide";
import { healNamed } from "./healNamed";
import { type Copy, isAhead, type NewestWal, openCopy, positionOf } from "../shared/carriedWal";
import { archiveIdsOf, checkArchive, type ClusterIdentity, isSameCluster, UNKNOWN_CLUSTER } from "../shared/identity";
import { type LocalWal, withoutFiles } from "../shared/localWal";

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

interface ListedArchive extends Archive {
  readonly stored: ReadonlyMap<string, readonly StoredWal[]>;
  /** The oldest segment that a backup of this repository needs; null without backups. */
  readonly neededFrom: string | null;
  /** What its retention keeps; null keeps all from there on. */
  readonly plan: TrimArchive | null;
}

/** Limits for repeated runs alongside an archiver. */
export interface HealBounds {
  readonly claims: WalClaims;
  /** Maximum of missing files copied into one repository, oldest first; the next run copies the rest. */
  readonly copiesMax: number;
}

export interface HealRequest {
  readonly missingWal: MissingWalStore;
  readonly cluster: ClusterIdentity;
  readonly local: LocalWal;
  /** False when the repositories are only some of the configured ones: another one may hold what these lack. */
  readonly isEvery?: boolean;
  /**
   * With bounds, files without a checksum in their name are copied if missing but not compared, which takes a request
   * each.
   */
  readonly bounds?: HealBounds;
  /** True when this server archives to these repositories: also sends the files that wait for that. */
  readonly sendsPending?: boolean;
}

/** Concurrent copies into one repository: hides an object store's latency. */
const COPIES_AT_ONCE = 4;

export async function heal(
  repos: readonly Repository[],
  { missingWal, cluster, local, bounds, isEvery = true, sendsPending = false }: HealRequest,
  ctx: Context,
): Promise<RepoResult<Healed>[]> {
  const opened = await perRepo(repos, (repo) => listArchive(repo, cluster, ctx));
  // Listed after the repositories: a file seen in a repository is then either still here or acknowledged.
  const pending = new Set(await local.listReady());
  const newest = await local.newest();
  const done = await local.listDone();
  const archives = opened.flatMap((result) => (result.ok ? [result.value] : []));
  const named = bounds === undefined ? await healNamed(archives, local, pending, ctx) : new Map<number, Healed>();
  const conflicts = await findConflicts(archives, pending, local, ctx);
  return perRepo(repos, async (repo) => {
    const answer = opened.find((result) => result.repoIndex === repo.key);
    if (answer === undefined || !answer.ok) throw answer?.error ?? fail("assert", `${repo.name} was not opened`);
    const target = answer.value;
    const recorded = recordedNames(missingWal, repo, cluster);
    const names = new Set([
      ...recorded,
      ...missingFrom(target, archives, recorded, newest, ctx),
      ...gapsOf(target, done),
    ]);
    const sources = archives.filter((archive) => archive !== target);
    const wanted = [...names].filter((name) => !pending.has(name)).sort();
    const now = wanted.slice(0, bounds?.copiesMax ?? wanted.length);
    // An unreachable repository may hold what the others lack.
    const mayLetGo = isEvery && archives.length === repos.length;
    const healed = [
      { copied: 0, settled: 0, unhealed: [], ...named.get(repo.key) },
      { copied: 0, settled: 0, unhealed: conflicts.get(repo.key) ?? [] },
      ...(sendsPending ? [await sendPending(target, [...pending], { missingWal, cluster, local }, ctx)] : []),
      await copyAll(
        target,
        sources,
        now,
        { missingWal, cluster, local, claims: bounds?.claims ?? null, mayLetGo },
        ctx,
      ),
    ];
    // Previous clusters at this location: pg_wal no longer has their files.
    for (const former of missingWal.clusters(repo.key)) {
      if (isSameCluster(former, cluster)) continue;
      const parts = { missingWal, local: withoutFiles(local), claims: null, mayLetGo };
      healed.push(await copyFormerWal(repo, repos, { former, present: cluster }, parts, ctx));
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

export interface MissingParts {
  readonly missingWal: MissingWalStore;
  readonly local: LocalWal | null;
  readonly claims: WalClaims | null;
  readonly mayLetGo?: boolean;
}

/**
 * Copies the WAL of one cluster that is recorded as missing in `target`, except files that still wait for the archive.
 * @throws when the repository cannot be opened
 */
export async function copyMissingWal(
  target: Repository,
  repos: readonly Repository[],
  cluster: ClusterIdentity,
  parts: MissingParts,
  ctx: Context,
): Promise<Healed> {
  const archive = await openArchive(target, cluster);
  const pending = new Set(parts.local === null ? [] : await parts.local.listReady());
  const names = [...recordedNames(parts.missingWal, target, cluster)].filter((name) => !pending.has(name));
  const sources = repos.filter((repo) => repo.key !== target.key).map((repo) => lazyArchive(repo, cluster));
  return copyAll(archive, sources, names, { mayLetGo: true, ...parts, cluster }, ctx);
}

/**
 * The same for a cluster that was here before the present one. A repository of the present cluster that does not know
 * the previous one has no backup of it and needs none of its WAL: the records end.
 * @throws archiveMismatch (44) when the repository is another cluster's, and as {@link copyMissingWal}
 */
export async function copyFormerWal(
  target: Repository,
  repos: readonly Repository[],
  { former, present }: { readonly former: ClusterIdentity; readonly present: ClusterIdentity },
  parts: MissingParts,
  ctx: Context,
): Promise<Healed> {
  const info = await loadArchiveInfo(target);
  if (archiveIdsOf(info, former).length > 0) return copyMissingWal(target, repos, former, parts, ctx);
  checkArchive(target, info, present);
  const names = [...recordedNames(parts.missingWal, target, former)].sort();
  // The present cluster may have written these while nothing could read which one it is.
  if (isSameCluster(former, UNKNOWN_CLUSTER))
    return { copied: 0, settled: 0, unhealed: names.map((name) => `${name}: its record names no cluster`) };
  for (const name of names) parts.missingWal.remove(target.key, name, former);
  ctx.log.warn(
    `${target.name}: stopped looking for ${names.length} missing WAL file(s) of version ${former.version}, system-id ${former.systemId}: the repository does not know this cluster, so none of its backups needs them`,
  );
  return { copied: 0, settled: names.length, unhealed: [] };
}

/** Missing files and conflicts: this server has acknowledged them. */
function recordedNames(records: MissingWalStore, { key }: Repository, cluster: ClusterIdentity): ReadonlySet<string> {
  return new Set([...records.list(key, cluster), ...records.listConflicts(key, cluster)]);
}

async function listArchive(repo: Repository, cluster: ClusterIdentity, { clock }: Context): Promise<ListedArchive> {
  const info = await loadArchiveInfo(repo);
  const archiveId = checkArchive(repo, info, cluster);
  const stored = new Map<string, StoredWal[]>();
  for await (const wal of listWal(repo, archiveId)) stored.set(wal.name, [...(stored.get(wal.name) ?? []), wal]);
  const { backups } = await loadBackupInfo(repo);
  const starts = backups.flatMap((entry) => (entry.archiveStart === null ? [] : [entry.archiveStart]));
  const plan = planKept(backups, historyIdOf(archiveId), repo.retention, carefulAges(backups, clock.nowMs()));
  const find = async (name: string): Promise<readonly StoredWal[]> => stored.get(name) ?? [];
  return { repo, archiveId, pass: info.cipherPass ?? null, find, stored, neededFrom: starts.sort()[0] ?? null, plan };
}

/**
 * Files in other repositories since this repository's oldest backup. Without a backup it needs no WAL, so nothing is
 * copied. WAL that the server cannot have written yet is another server's, or forged: here it would make this server's
 * own segment a duplicate.
 */
function missingFrom(
  target: ListedArchive,
  archives: readonly ListedArchive[],
  recorded: ReadonlySet<string>,
  newest: NewestWal | null,
  { log }: Context,
): string[] {
  const { neededFrom, plan } = target;
  if (neededFrom === null) return [];
  const isKept = (name: string): boolean => (name >= neededFrom || name.endsWith(".history")) && !isTrimmed(plan, name);
  const lacked = archives.flatMap((archive) => {
    if (archive === target) return [];
    const names = [...archive.stored.keys()].filter(
      (name) => isKept(name) && !target.stored.has(name) && !recorded.has(name),
    );
    const ahead = names.filter((name) => newest === null || isAhead(name, newest)).sort();
    if (ahead.length > 0)
      log.warn(
        `${target.repo.name}: not copied from ${archive.repo.name}, because this server has not written them: ${ahead.length} WAL file(s), ${ahead[0]} to ${ahead.at(-1)}`,
      );
    return names.filter((name) => !ahead.includes(name));
  });
  return [...new Set(lacked)];
}

/**
 * Those of the server's archived segments that this repository lacks before a later one of their timeline: something
 * else removed them.
 */
function gapsOf({ neededFrom, plan, stored }: ListedArchive, done: readonly string[]): string[] {
  if (neededFrom === null) return [];
  const isWhole = (name: string): boolean => parseWalName(name)?.kind === "segment";
  const segments = [...stored.keys()].filter(isWhole);
  const isLost = (name: string): boolean => name >= neededFrom && !stored.has(name) && !isTrimmed(plan, name);
  const isAfter = (own: string, name: string): boolean =>
    own > name && positionOf(own).timeline === positionOf(name).timeline;
  return done.filter((name) => isWhole(name) && isLost(name) && segments.some((own) => isAfter(own, name)));
}

/**
 * Segments of which the repositories hold different contents, by repository key, also where nothing is missing. Files
 * without a checksum in their names: {@link healNamed}.
 */
async function findConflicts(
  archives: readonly ListedArchive[],
  pending: ReadonlySet<string>,
  local: LocalWal,
  { log }: Context,
): Promise<ReadonlyMap<number, readonly string[]>> {
  const lines = new Map<number, string[]>();
  const names = [...new Set(archives.flatMap(({ stored }) => [...stored.keys()]))].filter(isSegment).sort();
  for (const name of names) {
    const held = archives.flatMap((archive) => (archive.stored.get(name) ?? []).map((stored) => ({ archive, stored })));
    const contents = new Set(held.map(({ stored }) => stored.sha1));
    if (contents.size < 2 || pending.has(name)) continue;
    const server = await local.prepare(name).catch(() => null);
    const copies = await Promise.all(held.map(({ archive, stored }) => openCopy({ ...archive, stored }, null)));
    const { conflict } = await decide(name, copies, serverContent(server, null));
    const line = `${name}: ${conflict}`;
    log.warn(line);
    for (const key of new Set(held.map(({ archive }) => archive.repo.key)))
      lines.set(key, [...(lines.get(key) ?? []), line]);
  }
  return lines;
}

/**
 * WAL that no repository holds (expired elsewhere, or lost with a disk) and that a newer backup of this repository does
 * not need to recover to now. Until such a backup exists the record stays, so that a backup is taken. `verify` reports
 * the lost points in time before that backup.
 */
async function bygone({ repo, archiveId }: Archive, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  const historyId = historyIdOf(archiveId);
  const backups = (await loadBackupInfo(repo)).backups.filter((entry) => entry.dbId === historyId);
  const newest = newestStart(backups.map((entry) => entry.archiveStart));
  return names.filter((name) => name < newest);
}

function historyIdOf(archiveId: string): number {
  return Number(archiveId.slice(archiveId.lastIndexOf("-") + 1));
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
  let known: Promise<NewestWal | null> | undefined;
  const newest = (): Promise<NewestWal | null> => (known ??= local?.newest() ?? Promise.resolve(null));
  let copied = 0;
  let settled = 0;
  await mapParallel([...names].sort(), COPIES_AT_ONCE, async (name) => {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    if (claims?.claim(target.repo.key, name) === false) return;
    try {
      const acknowledged = missingWal.sha1Of(target.repo.key, name, cluster);
      const { lacking, outcome, problem } = await healFile(
        target,
        sources,
        name,
        { local, cluster, acknowledged, newest },
        ctx,
      );
      if (problem !== null) problems.set(name, problem);
      // The record may be of a repository that had this key before: the one that lacks the file has another key now.
      for (const key of lacking) missingWal.add(key, name, cluster, acknowledged ?? undefined);
      if (outcome === "open") return;
      if (outcome === "copied") copied++;
      else settled++;
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

interface FileHealed {
  /** `settled`: the target already held the right content, listed or not. `open`: it still lacks it. */
  readonly outcome: "copied" | "settled" | "open";
  /** Why the file is still missing, or which repositories hold different contents of it. */
  readonly problem: string | null;
  /** If the target already held the file: keys of other repositories that do not, or do not answer. */
  readonly lacking: readonly number[];
}

async function healFile(
  target: Archive,
  sources: readonly Source[],
  name: string,
  parts: Pick<CopyParts, "cluster" | "local"> & {
    readonly acknowledged: string | null;
    readonly newest: () => Promise<NewestWal | null>;
  },
  ctx: Context,
): Promise<FileHealed> {
  const { acknowledged, cluster, local } = parts;
  const problems: string[] = [];
  const note = (where: string, error: unknown): null => {
    problems.push(`${where}: ${toBackupError(error).message}`);
    return null;
  };
  const server = (await local?.prepare(name).catch((error: unknown) => note("pg_wal", error))) ?? null;
  // The server has its own content, which decides: another one waits until it can be read.
  if (problems.length > 0) return { outcome: "open", problem: problems.join("; "), lacking: [] };
  // A server that was reset writes a segment again that a repository lacks: the half of it is nobody's content.
  const isOther = server !== null && acknowledged !== null && server.sha1 !== acknowledged;
  const newest = isOther && isSegment(name) ? await parts.newest() : null;
  if (newest !== null && isAhead(name, newest))
    return { outcome: "open", problem: "PostgreSQL is still writing it", lacking: [] };
  const own = await target.find(name);
  const header = local?.headerCheck === false ? null : cluster;
  const holders = [{ ...target, find: async () => own, open: async () => target }, ...sources];
  const { copies, lacking } = await copiesIn(holders, name, header, note);
  const others = lacking.filter((key) => key !== target.repo.key);
  const open = (problem: string): FileHealed => ({
    outcome: "open",
    problem,
    lacking: own.length === 0 ? [] : others,
  });
  const { conflict, sha1 } = await decide(name, copies, serverContent(server, acknowledged));
  if (own.length > 0) {
    const mine = copies.filter((copy) => copy.repo === target.repo && copy.sha1 === sha1);
    if (mine.length < own.length) return open(conflict ?? problems.join("; "));
    // A name alone, or a damaged file, does not settle what is missing.
    const damage = await findDamage(mine);
    if (damage !== null) return open(`${target.repo.name}: ${damage.message}`);
    for (const { fileName } of own) await makeDurable(target.repo, target.archiveId, fileName);
    return { outcome: "settled", problem: conflict, lacking: others };
  }
  const good = copies.filter((copy) => copy.sha1 === sha1);
  for (const source of server === null ? good : [server, ...good]) {
    try {
      // archive-push may have stored it in the meantime, or the listing lacked it.
      const pushed = await new PushTarget(target.repo, ctx).push(source, target);
      if (pushed === "pushed") return { outcome: "copied", problem: conflict, lacking: [] };
      return { outcome: "settled", problem: conflict, lacking: others };
    } catch (error) {
      note("repo" in source ? source.repo.name : "pg_wal", error);
    }
  }
  if (conflict !== null) problems.push(conflict);
  return open(problems.join("; ") || NOWHERE);
}

async function copiesIn(
  holders: readonly Source[],
  name: string,
  header: ClusterIdentity | null,
  note: (where: string, error: unknown) => null,
): Promise<{ readonly copies: readonly Copy[]; readonly lacking: readonly number[] }> {
  const copies: Copy[] = [];
  const lacking: number[] = [];
  for (const holder of holders) {
    const held = await holder.find(name).catch((error: unknown) => note(holder.repo.name, error) ?? []);
    if (held.length === 0) lacking.push(holder.repo.key);
    try {
      for (const stored of held) copies.push(await openCopy({ ...(await holder.open()), stored }, header));
    } catch (error) {
      note(holder.repo.name, error);
    }
  }
  return { copies, lacking };
}

function serverContent(wal: PreparedWal | null, acknowledged: string | null): ServerContent | null {
  const sha1 = wal?.sha1 ?? acknowledged;
  return sha1 === null ? null : { sha1, isRemembered: wal === null };
}

function sum(parts: readonly Healed[]): Healed {
  return {
    copied: parts.reduce((total, part) => total + part.copied, 0),
    settled: parts.reduce((total, part) => total + part.settled, 0),
    unhealed: [...new Set(parts.flatMap((part) => part.unhealed))],
  };
}
