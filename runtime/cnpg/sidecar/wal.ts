/**
 * WAL: the instance manager's files go to every repository, and a recovery gets its files from any of them.
 *
 * CloudNativePG 1.30 ignores the code of an error, and PostgreSQL takes any failed restore for the end of the archive.
 * So a recovery job gets an error only if waiting cannot help. A standby repeats its requests and may be waiting for
 * its promotion, so it gets an answer within seconds. After a silent repository the limit is shorter still: a promotion
 * requests several files in sequence.
 */
import { open, rename, rm, writeFile } from "../../local/nodeFiles";
import { dirname, isAbsolute } from "node:path";
import type { GetService, GetOptions } from "../../archiver/getService";
import type { WalService } from "../../archiver/walService";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { ABSENT_MARK } from "../../base/recoveryExit";
import { lsnOfSegment } from "../../format/wal/walSegment";
import { lacksStanza } from "../../operations/archiveGet/archiveGet";
import { repoErrorLine } from "../../operations/shared/results";
import { callCapabilities } from "../grpc/answers";
import type { WalArchiveRequest, WalRestoreRequest } from "../grpc/messages";
import { NotFound, NotYet, type PluginService } from "../grpc/grpcServer";

export interface WalParts {
  readonly dataDirectory: string;
  /** Null without archiving. */
  readonly push: {
    readonly wal: Pick<WalService, "push" | "walDirectory">;
    prepare(request: WalArchiveRequest, walName: string): Promise<void>;
  } | null;
  /** True alongside a recovery job; a standby repeats its requests. */
  readonly isJob: boolean;
  /** For a drill: newer segments count as missing, since they were written after the disaster. */
  readonly newestWal?: string | null;
  /** Where `newestWal` ended when the drill began. */
  readonly newestLsn?: bigint | null;
  /** The source of a requested file. */
  gets(request: WalRestoreRequest): Pick<GetService, "get" | "getOrLast">;
}

/** For a standby's request: the instance manager gives up later. */
const STANDBY_ANSWER_MS = 10_000;
/** For a standby after a request without an answer, until a repository answers. */
const STANDBY_SILENCE_MS = 2000;
const STANDBY_DOUBT_MS = 3000;
/**
 * The primary creates the stanza with its first WAL; a standby that started with it may ask before. After this time a
 * missing stanza is an error.
 */
const STANZA_MS = 10 * 60_000;
/** For a recovery job: longer than any outage that a user would wait out. */
const RECOVERY_DOUBT_MS = 24 * 3600_000;
const WAL_NAME = /^[0-9A-F]{8}(\.history|[0-9A-F]{16}(\.partial|\.[0-9A-F]{8}\.backup)?)$/;

/** State that requests of one process share. */
interface Experience {
  readonly beganAtMs: number;
  /** No repository answered the last request in time, nor since. */
  isSilent: boolean;
  hasStanza: boolean;
  isReported: boolean;
}

export function walService(parts: WalParts, ctx: Context): PluginService {
  const experience: Experience = {
    beganAtMs: ctx.clock.monotonicMs(),
    isSilent: false,
    hasStanza: false,
    isReported: false,
  };
  return {
    name: "wal",
    methods: {
      GetCapabilities: () => callCapabilities(parts.push === null ? ["RESTORE_WAL"] : ["ARCHIVE_WAL", "RESTORE_WAL"]),
      Archive: (request: WalArchiveRequest) => archive(parts, request, ctx),
      Restore: (request: WalRestoreRequest, signal) =>
        restore(parts, request, experience, signal, ctx).catch((error: unknown) => markAbsent(parts, request, error)),
    },
  };
}

async function archive({ dataDirectory, push }: WalParts, request: WalArchiveRequest, ctx: Context): Promise<object> {
  if (push === null) throw fail("featureNotSupported", "this instance does not archive");
  const path = pathIn(dataDirectory, request.source_file_name);
  const walName = path.slice(path.lastIndexOf("/") + 1);
  if (dirname(path) !== push.wal.walDirectory)
    throw fail("optionInvalidValue", `'${path}' is not in '${push.wal.walDirectory}'`);
  await push.prepare(request, walName);
  const { answer, warnings } = await push.wal.push(walName);
  if (answer.error !== null) throw answer.error;
  for (const warning of warnings) ctx.log.warn(warning);
  for (const result of answer.results) {
    if (result.ok || warnings.length > 0) continue;
    ctx.log.warn(
      `${repoErrorLine(result.repoIndex, result.error)}\nrepo${result.repoIndex} lacks ${walName}, which is copied when the repository is available`,
    );
  }
  ctx.log.info(`archived ${walName}`);
  return {};
}

/** @throws NotFound if every repository answered that it lacks the file; NotYet if the stanza does not exist yet */
async function restore(
  parts: WalParts,
  request: WalRestoreRequest,
  experience: Experience,
  signal: AbortSignal,
  ctx: Context,
): Promise<object> {
  const { source_wal_name: walName } = request;
  if (!WAL_NAME.test(walName)) throw fail("optionInvalidValue", `'${walName}' is not the name of a WAL file`);
  const { newestLsn = null, newestWal = null } = parts;
  if (newestWal !== null && walName > newestWal)
    throw new NotFound(`${walName} is newer than ${newestWal}, where this recovery ends`);
  const destination = pathIn(parts.dataDirectory, request.destination_file_name);
  // Uses its own name until the file is complete and still wanted: the caller may request another file at the same
  // path.
  const fetched = `${destination}.pgbackstop-${Buffer.from(ctx.random.bytes(4)).toString("hex")}`;
  const { isJob } = parts;
  const mayLackStanza = !isJob && !experience.hasStanza && ctx.clock.monotonicMs() - experience.beganAtMs < STANZA_MS;
  const options: GetOptions = {
    ahead: request.mode !== "MODE_REWIND",
    timeoutMs: isJob ? RECOVERY_DOUBT_MS : STANDBY_DOUBT_MS,
    mayLackStanza,
  };
  const source = parts.gets(request);
  // Only a recovery that will end may get the streamed part of a segment: a standby or pg_rewind would take it for the
  // complete one.
  const mayEnd = isJob && request.mode !== "MODE_REWIND";
  const get = mayEnd ? source.getOrLast(walName, fetched, options) : source.get(walName, fetched, options);
  noteAnswer(get, experience);
  const answerMs = isJob ? RECOVERY_DOUBT_MS : experience.isSilent ? STANDBY_SILENCE_MS : STANDBY_ANSWER_MS;
  const setSilent = (): void => void (experience.isSilent = true);
  try {
    const isFetched = await before(get, answerMs, setSilent, signal, walName, ctx);
    if (!isFetched) throw new NotFound(`${walName} is in no repository`);
    if (newestLsn !== null && walName === newestWal) await endAt(fetched, walName, newestLsn);
    await rename(fetched, destination);
    return {};
  } catch (error) {
    void removeWhenDone(get, fetched);
    if (!mayLackStanza || !lacksStanza(error)) throw error;
    if (!experience.isReported)
      ctx.log.info("the archive does not exist yet: the primary creates it with its first WAL");
    experience.isReported = true;
    throw new NotYet(`${walName}: the archive does not exist yet`);
  }
}

/** For a recovery that will end: its restore_command believes nothing else. @throws the error */
async function markAbsent(
  { dataDirectory, isJob }: WalParts,
  request: WalRestoreRequest,
  error: unknown,
): Promise<never> {
  if (isJob && error instanceof NotFound)
    await writeFile(`${pathIn(dataDirectory, request.destination_file_name)}${ABSENT_MARK}`, "");
  throw error;
}

/** Fills a segment with zeros from this position on, as PostgreSQL has one that it is writing. */
async function endAt(path: string, walName: string, lsn: bigint): Promise<void> {
  const handle = await open(path, "r+");
  try {
    const { size } = await handle.stat();
    const kept = Number(lsn - lsnOfSegment(walName, size));
    if (kept >= size) return;
    await handle.truncate(Math.max(kept, 0));
    await handle.truncate(size);
  } finally {
    await handle.close();
  }
}

/** Also counts an answer after the deadline. */
function noteAnswer(get: Promise<boolean>, experience: Experience): void {
  get.then(
    () => {
      experience.isSilent = false;
      experience.hasStanza = true;
    },
    () => {},
  );
}

/** Removes a file that arrives after the deadline. */
async function removeWhenDone(fetching: Promise<boolean>, path: string): Promise<void> {
  await fetching.catch(() => false);
  await rm(path, { force: true }).catch(() => {});
}

/**
 * The result of `promise`, if it comes in time and the caller still waits.
 * @throws archiveTimeout (82), retryable; term (63)
 */
async function before<T>(
  promise: Promise<T>,
  timeoutMs: number,
  onTimeout: () => void,
  gone: AbortSignal,
  walName: string,
  ctx: Context,
): Promise<T> {
  const done = new AbortController();
  const watch = AbortSignal.any([gone, done.signal]);
  const timeout = ctx.clock.sleep(timeoutMs, watch).then((): never => {
    onTimeout();
    throw fail("archiveTimeout", `no repository returned ${walName} within ${timeoutMs}ms`, { retryable: true });
  });
  try {
    return await Promise.race([promise, timeout]);
  } catch (error) {
    throw gone.aborted ? toBackupError(gone.reason, "term") : error;
  } finally {
    done.abort();
    timeout.catch(() => {});
  }
}

/** PostgreSQL's paths are relative to its data directory. @throws optionInvalidValue (32) */
function pathIn(dataDirectory: string, path: string): string {
  const full = isAbsolute(path) ? path : `${dataDirectory}/${path}`;
  if (full.startsWith(`${dataDirectory}/`) && !full.split("/").includes("..")) return full;
  throw fail("optionInvalidValue", `'${path}' is not in the data directory '${dataDirectory}'`);
}
