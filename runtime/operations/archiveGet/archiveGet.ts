/**
 * `archive-get`: fetches one WAL file from any repository that has it.
 *
 * It asks every repository and every archive id of this cluster, newest id first; the first complete copy wins. A
 * hanging repository does not hold up recovery: after the first copy the others have two seconds to offer theirs, and
 * the next copy is fetched while one is slow. "Not found" is the answer only when every repository said so. PostgreSQL
 * takes it for the end of the archive, and a recovery that ends early on a network fault would lose data
 * ("pgbackrest-format" 8.4; stricter than stock, which answers "not found" past an unreadable repository).
 */
import { basename, dirname, join } from "node:path";
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, nullOn } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { findFinalName } from "../../base/temporaryName";
import { readdir, rm } from "../../local/nodeFiles";
import { perRepo, type RepoResult } from "../../base/parallel";
import { loadArchiveInfo, requirePresent } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { findWal } from "../../repository/walStore";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { decide, findDamage } from "../heal/decide";
import { provenWithout } from "./absence";
import { type Candidate, copyHere, type CopyWal } from "./fetchCopy";
import { fetchFirst } from "./fetchFirst";
import { openCopy } from "../shared/carriedWal";
import { archiveIdsOf, type ClusterIdentity } from "../shared/identity";
import { readNamed } from "../shared/namedWal";
import { repoErrorLine } from "../shared/results";

export interface ArchiveGetOptions {
  readonly walName: string;
  /** Absolute path of the destination. */
  readonly destination: string;
  readonly cluster: ClusterIdentity;
  /** Nothing larger is fetched; default is PostgreSQL's largest segment. */
  readonly segmentSizeBytes?: number;
  /** Copies one candidate; default {@link copyHere}. */
  readonly fetch?: CopyWal;
  /** True while a repository may lack a stanza: no warning for it. */
  readonly mayLackStanza?: boolean;
}

/** {@link archiveGet} {@link inTime}. */
export async function archiveGetInTime(
  repos: readonly Repository[],
  options: ArchiveGetOptions,
  timeoutMs: number,
  ctx: Context,
): Promise<boolean> {
  return inTime(() => archiveGet(repos, options, ctx), timeoutMs, ctx);
}

/**
 * Repeats `attempt` while its error may pass: a short outage of a store must not end a recovery.
 * @throws the last error when the time is over
 */
export async function inTime<T>(attempt: () => Promise<T>, timeoutMs: number, ctx: Context): Promise<T> {
  const deadlineMs = ctx.clock.monotonicMs() + timeoutMs;
  for (let pauseMs = RETRY_MS; ; pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX)) {
    try {
      return await attempt();
    } catch (error) {
      if (!isError(error) || !error.retryable || ctx.clock.monotonicMs() + pauseMs >= deadlineMs) throw error;
      await ctx.clock.sleep(pauseMs, ctx.signal);
    }
  }
}

const RETRY_MS = 1000;
const RETRY_MS_MAX = 10_000;

/**
 * True when the file was fetched, false when no repository has it.
 * @throws repoInvalid, archiveDuplicate, and the last copy's error when no copy could be read
 */
export async function archiveGet(
  repos: readonly Repository[],
  options: ArchiveGetOptions,
  ctx: Context,
): Promise<boolean> {
  const answers = await askAll(repos, options, ctx);
  const offers = answers.flatMap((answer) => (answer.ok ? answer.value : []));
  for (const answer of answers) {
    if (answer.ok) continue;
    const line = repoErrorLine(answer.repoIndex, answer.error);
    if (options.mayLackStanza === true && isStanzaMissing(answer.error)) ctx.log.debug(line);
    else ctx.log.warn(line);
  }
  const candidates = await withOneContent(offers, options, ctx);
  await removeLeft(options.destination);

  const damaged: string[] = [];
  let last = null as BackupError | null;
  // A silent repository may have a good copy.
  let mayPass = answers.some((answer) => !answer.ok && answer.error.retryable);
  const failed = (candidate: Candidate, error: BackupError): void => {
    last = error;
    mayPass ||= error.retryable;
    damaged.push(`${repoErrorLine(candidate.repo.key, error)} (${candidate.stored.fileName})`);
    ctx.log.warn(damaged.at(-1) ?? "");
  };
  const source = await fetchFirst(candidates, options.destination, options.fetch ?? copyHere(ctx), failed, ctx);
  if (source !== null) {
    ctx.log.info(`found ${options.walName} in the ${source.repo.name}: ${source.archiveId} archive`);
    return true;
  }
  if (last !== null) {
    const { kind, hints: hint } = last;
    throw fail(kind, [`unable to get ${options.walName}: no repository has a readable copy`, ...damaged].join("\n"), {
      hint,
      retryable: mayPass,
      cause: last,
    });
  }
  const doubts = answers.flatMap((answer) => (answer.ok ? [] : [answer]));
  if (doubts.length > 0) {
    const readable = repos.filter(({ key }) => answers.some((answer) => answer.ok && answer.repoIndex === key));
    throw inDoubt(`${options.walName} is in the archive`, doubts, () => provenWithout(readable, options));
  }
  ctx.log.info(`unable to find ${options.walName} in the archive`);
  return false;
}

/**
 * Removes what killed calls left of this file: PostgreSQL never does. It runs one call at a time, so nobody waits for a
 * call that still writes here: it does not find its file any more, and fails without replacing this one's.
 */
async function removeLeft(destination: string): Promise<void> {
  const [directory, name] = [dirname(destination), basename(destination)];
  const left = (await readdir(directory).catch(() => [])).filter((entry) => findFinalName(entry) === name);
  for (const entry of left) await rm(join(directory, entry), { force: true }).catch(() => {});
}

/**
 * Errors that waiting does not fix: another key, another cluster, an unknown format. Any other may be a mount or a
 * network that returns.
 */
const PERMANENT = [
  "archiveMismatch",
  "checksum",
  "crypto",
  "featureNotSupported",
  "format",
  "optionInvalidValue",
  "versionNotSupported",
] as const;

export interface Doubt {
  readonly repoIndex: number;
  readonly error: BackupError;
}

/**
 * Retryable unless all errors are permanent; if they agree, it keeps their code.
 * @param prove gives the keys of repositories that would have the file if they had ever acknowledged it
 */
export function inDoubt(whether: string, doubts: readonly Doubt[], prove: Prove): BackupError {
  const isForGood = doubts.every(({ error }) => isError(error, ...PERMANENT) && !error.retryable);
  const kinds = new Set(doubts.map(({ error }) => error.kind));
  const [first] = kinds;
  const own = isForGood ? doubts.flatMap(({ error }) => error.hints) : [];
  const lines = new Set(doubts.map(({ repoIndex, error }) => repoErrorLine(repoIndex, error)));
  return fail(
    isForGood && first !== undefined && kinds.size === 1 ? first : "repoInvalid",
    [`unable to determine whether ${whether}`, ...lines].join("\n"),
    {
      hint: [...new Set(own), "This is not the end of the archive. Make the repositories readable, then try again."],
      cause: new Unreadable(
        [...new Set(doubts.map(({ repoIndex }) => repoIndex))],
        prove,
        doubts.every(({ error }) => isStanzaMissing(error)),
      ),
      retryable: !isForGood,
    },
  );
}

type Prove = () => Promise<readonly number[]>;

/** Why the existence of a file is unknown. */
class Unreadable extends Error {
  readonly repoIndexes: readonly number[];
  readonly prove: Prove;
  /** True when each unreadable one lacks its archive.info. */
  readonly isForStanza: boolean;

  constructor(repoIndexes: readonly number[], prove: Prove, isForStanza: boolean) {
    super(`repositories that could not be read: ${repoIndexes.join(", ")}`);
    this.repoIndexes = repoIndexes;
    this.prove = prove;
    this.isForStanza = isForStanza;
  }
}

function isStanzaMissing(error: BackupError): boolean {
  return isError(error, "fileMissing");
}

/** The repositories of an {@link inDoubt} error. Null for every other error: then the file exists. */
export function unreadableKeys(error: BackupError): readonly number[] | null {
  return error.cause instanceof Unreadable ? error.cause.repoIndexes : null;
}

/** The repositories of an {@link inDoubt} error that never acknowledged the file. Looks into the others. */
export async function provenKeys(error: BackupError): Promise<readonly number[]> {
  return error.cause instanceof Unreadable ? error.cause.prove() : [];
}

/**
 * True when {@link archiveGet} could not decide only because repositories lack archive.info: the stanza was never
 * created there, or is gone.
 */
export function lacksStanza(error: unknown): boolean {
  return isError(error) && error.cause instanceof Unreadable && error.cause.isForStanza;
}

/** How long the other repositories may take after the first copy was offered. */
const OFFER_GRACE_MS = 2000;

async function askAll(
  repos: readonly Repository[],
  options: ArchiveGetOptions,
  ctx: Context,
): Promise<RepoResult<Candidate[]>[]> {
  const answers = new Map<number, RepoResult<Candidate[]>>();
  const done = new AbortController();
  let offered: (() => void) | undefined;
  const offer = new Promise<void>((resolve) => {
    offered = resolve;
  });
  const all = Promise.all(
    repos.map(async (repo) => {
      const [answer] = await perRepo([repo], (asked) => findCandidates(asked, options));
      if (answer === undefined) return;
      answers.set(repo.key, answer);
      if (answer.ok && answer.value.length > 0) offered?.();
    }),
  );
  const grace = offer.then(() => ctx.clock.sleep(OFFER_GRACE_MS, AbortSignal.any([ctx.signal, done.signal])));
  try {
    await Promise.race([all, grace]);
  } finally {
    done.abort();
    grace.catch(() => {});
  }
  return repos.map(
    (repo) =>
      answers.get(repo.key) ?? {
        repoIndex: repo.key,
        ok: false,
        error: fail("hostConnect", `no answer ${OFFER_GRACE_MS}ms after another repository had the file`, {
          repoIndex: repo.key,
          retryable: true,
        }),
      },
  );
}

async function findCandidates(repo: Repository, options: ArchiveGetOptions): Promise<Candidate[]> {
  const info = await loadArchiveInfo(repo);
  const ids = archiveIdsOf(info, options.cluster);
  if (ids.length === 0) {
    throw fail(
      "archiveMismatch",
      `unable to retrieve the archive id for database version '${options.cluster.version}' and system-id '${options.cluster.systemId}'`,
      { hint: "is this the correct stanza?", repoIndex: repo.key },
    );
  }
  const candidates: Candidate[] = [];
  const { segmentSizeBytes = LIMITS.walSegmentSizeBytesMax } = options;
  for (const id of ids) {
    const archiveId = archiveIdOf(id);
    for (const stored of await findWal(repo, archiveId, options.walName)) {
      const candidate = { repo, archiveId, pass: info.cipherPass ?? null, stored, segmentSizeBytes };
      if (stored.sha1 !== null) candidates.push(candidate);
      else {
        const content = await nullOn(readNamed(repo, archiveId, stored, candidate.pass), "fileMissing");
        if (content !== null)
          candidates.push({ ...candidate, content: { sha1: content.sha1, problem: content.problem } });
      }
    }
  }
  // A lost mount also lists no directories: that does not prove that the archive lacks the file.
  if (candidates.length === 0) await requirePresent(repo);
  return candidates;
}

/**
 * The candidates with the content that counts, by `heal`'s rules: a history or label that does not fit its name, a
 * damaged segment, and one with another header lose against others; then the majority decides. Nothing is read unless
 * contents differ, except histories and labels.
 * @throws archiveDuplicate (45) when no content counts; the storage's errors
 */
async function withOneContent(
  offers: readonly Candidate[],
  { cluster, walName }: ArchiveGetOptions,
  ctx: Context,
): Promise<readonly Candidate[]> {
  if (contentsOf(offers).size < 2) return offers;
  const valid: Candidate[] = [];
  for (const candidate of offers) {
    const problem =
      candidate.content === undefined
        ? ((await findDamage([await openCopy(candidate, cluster)]))?.message ?? null)
        : candidate.content.problem;
    if (problem === null) valid.push(candidate);
    else ctx.log.warn(`${candidate.repo.name}: ${candidate.stored.fileName} is not used: ${problem}`);
  }
  const copies = await Promise.all(valid.map((candidate) => openCopy(candidate, cluster)));
  const { sha1, trouble } = await decide(walName, copies, null);
  if (trouble !== null) throw trouble;
  if (sha1 === null) requireOneContent(offers, walName);
  return valid.filter((candidate) => contentOf(candidate) === sha1);
}

function contentOf({ content, stored }: Candidate): string | null {
  return stored.sha1 ?? content?.sha1 ?? null;
}

function contentsOf(candidates: readonly Candidate[]): ReadonlySet<string | null> {
  return new Set(candidates.map(contentOf));
}

/** @throws archiveDuplicate (45) when the copies differ in content */
export function requireOneContent(candidates: readonly Candidate[], walName: string): void {
  if (contentsOf(candidates).size < 2) return;
  const where = candidates.map(
    (candidate) => `${candidate.repo.name}: ${candidate.archiveId}/${candidate.stored.fileName}`,
  );
  throw fail("archiveDuplicate", `duplicates found in archive for WAL segment ${walName}:\n${where.join("\n")}`, {
    hint: [
      "are multiple primaries archiving to this stanza?",
      "Decide which content is right: --repo=N recovers from repository N alone, 'heal --segment' on the server's host ends the conflict.",
    ],
  });
}
