/**
 * WAL: what PostgreSQL hands to the instance manager goes to every repository, and what a recovery asks for comes from whichever has it.
 *
 * CloudNativePG 1.30 does not look at the code of an error, and PostgreSQL takes any failure of a restore for the end of the archive. A
 * recovery job therefore gets an error only for what no waiting mends; a standby, which asks again by itself and may be waiting to be
 * promoted, gets an answer soon whatever the repositories do: sooner still when they were silent the last time, because a promotion asks for
 * several files one after the other.
 */
import { rename, rm } from "node:fs/promises";
import { dirname, isAbsolute } from "node:path";
import type { GetService, GetWish } from "../../archiver/getService";
import type { WalService } from "../../archiver/walService";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { lacksStanza } from "../../operations/archiveGet/archiveGet";
import { repoErrorLine } from "../../operations/shared/results";
import { callCapabilities } from "../grpc/answers";
import type { WalArchiveRequest, WalRestoreRequest } from "../grpc/messages";
import { NotFound, NotYet, type PluginService } from "../grpc/grpcServer";

export interface WalParts {
  readonly dataDirectory: string;
  /** Null where nothing is archived. */
  readonly push: {
    readonly wal: Pick<WalService, "push" | "walDirectory">;
    prepare(request: WalArchiveRequest, walName: string): Promise<void>;
  } | null;
  /** True beside a recovery job; a standby asks again by itself. */
  readonly isJob: boolean;
  /** Of a drill: what is newer counts as not there, since it was written after the disaster. */
  readonly newestWal?: string | null;
  /** Where the file of a request comes from. */
  gets(request: WalRestoreRequest): Pick<GetService, "get">;
}

/** Of a standby's question. The instance manager gives up after more. */
const STANDBY_ANSWER_MS = 10_000;
/** The same after a question that nobody answered, until somebody does. */
const STANDBY_SILENCE_MS = 2000;
const STANDBY_DOUBT_MS = 3000;
/** The primary makes the stanza with its first WAL; a standby that began with it may ask before. Later, a stanza that is missing is told. */
const STANZA_MS = 10 * 60_000;
/** Of a recovery job's: longer than any outage that somebody would sit out. */
const RECOVERY_DOUBT_MS = 24 * 3600_000;
const WAL_NAME = /^[0-9A-F]{8}(\.history|[0-9A-F]{16}(\.partial|\.[0-9A-F]{8}\.backup)?)$/;

/** What the questions of one process have shown. */
interface Experience {
  readonly beganAtMs: number;
  /** Nobody answered the last question in time, and nobody has since. */
  isSilent: boolean;
  hasStanza: boolean;
  isTold: boolean;
}

export function walService(parts: WalParts, ctx: Context): PluginService {
  const experience: Experience = { beganAtMs: ctx.clock.monotonicMs(), isSilent: false, hasStanza: false, isTold: false };
  return {
    name: "wal",
    methods: {
      GetCapabilities: () => callCapabilities(parts.push === null ? ["RESTORE_WAL"] : ["ARCHIVE_WAL", "RESTORE_WAL"]),
      Archive: (request: WalArchiveRequest) => archive(parts, request, ctx),
      Restore: (request: WalRestoreRequest, signal) => restore(parts, request, experience, signal, ctx),
    },
  };
}

async function archive({ dataDirectory, push }: WalParts, request: WalArchiveRequest, ctx: Context): Promise<object> {
  if (push === null) throw fail("featureNotSupported", "nothing is archived from here");
  const path = pathIn(dataDirectory, request.source_file_name);
  const walName = path.slice(path.lastIndexOf("/") + 1);
  if (dirname(path) !== push.wal.walDirectory) throw fail("optionInvalidValue", `'${path}' is not in '${push.wal.walDirectory}'`);
  await push.prepare(request, walName);
  const { answer, warnings } = await push.wal.push(walName);
  if (answer.error !== null) throw answer.error;
  for (const warning of warnings) ctx.log.warn(warning);
  for (const result of answer.results) {
    if (result.ok || warnings.length > 0) continue;
    ctx.log.warn(
      `${repoErrorLine(result.repoKey, result.error)}\n${walName} is owed to repo${result.repoKey}: it follows when the repository is back`,
    );
  }
  ctx.log.info(`archived ${walName}`);
  return {};
}

/** @throws NotFound when every repository has said that it does not have the file; NotYet when nobody has made the stanza */
async function restore(parts: WalParts, request: WalRestoreRequest, experience: Experience, signal: AbortSignal, ctx: Context): Promise<object> {
  const { source_wal_name: walName } = request;
  if (!WAL_NAME.test(walName)) throw fail("optionInvalidValue", `'${walName}' is no name of a WAL file`);
  const { newestWal = null } = parts;
  if (newestWal !== null && walName > newestWal) throw new NotFound(`${walName} is newer than ${newestWal}, where this recovery ends`);
  const destination = pathIn(parts.dataDirectory, request.destination_file_name);
  // Under a name of its own until it is whole and still wanted: the caller may ask for another file at the same place meanwhile.
  const fetched = `${destination}.pgbackstop-${Buffer.from(ctx.random.bytes(4)).toString("hex")}`;
  const { isJob } = parts;
  const mayLackStanza = !isJob && !experience.hasStanza && ctx.clock.monotonicMs() - experience.beganAtMs < STANZA_MS;
  const wish: GetWish = { ahead: request.mode !== "MODE_REWIND", timeoutMs: isJob ? RECOVERY_DOUBT_MS : STANDBY_DOUBT_MS, mayLackStanza };
  const get = parts.gets(request).get(walName, fetched, wish);
  noteAnswer(get, experience);
  const answerMs = isJob ? RECOVERY_DOUBT_MS : experience.isSilent ? STANDBY_SILENCE_MS : STANDBY_ANSWER_MS;
  const late = (): void => void (experience.isSilent = true);
  try {
    const isFound = await before(get, answerMs, late, signal, walName, ctx);
    if (!isFound) throw new NotFound(`${walName} is in no repository`);
    await rename(fetched, destination);
    return {};
  } catch (error) {
    void removeWhenDone(get, fetched);
    if (!mayLackStanza || !lacksStanza(error)) throw error;
    if (!experience.isTold) ctx.log.info("the archive is not there yet: the primary makes it with its first WAL");
    experience.isTold = true;
    throw new NotYet(`${walName}: the archive is not there yet`);
  }
}

/** Also of an answer that came too late. */
function noteAnswer(get: Promise<boolean>, experience: Experience): void {
  get.then(
    () => {
      experience.isSilent = false;
      experience.hasStanza = true;
    },
    () => {},
  );
}

/** What still comes is no longer wanted. */
async function removeWhenDone(fetching: Promise<boolean>, path: string): Promise<void> {
  await fetching.catch(() => false);
  await rm(path, { force: true }).catch(() => {});
}

/** What `promise` gives, unless the time is over or the caller gone. @throws archiveTimeout (82), retryable; term (63) */
async function before<T>(promise: Promise<T>, timeoutMs: number, onLate: () => void, gone: AbortSignal, walName: string, ctx: Context): Promise<T> {
  const done = new AbortController();
  const watch = AbortSignal.any([gone, done.signal]);
  const late = ctx.clock.sleep(timeoutMs, watch).then((): never => {
    onLate();
    throw fail("archiveTimeout", `no repository gave ${walName} within ${timeoutMs}ms`, { retryable: true });
  });
  try {
    return await Promise.race([promise, late]);
  } catch (error) {
    throw gone.aborted ? toBackupError(gone.reason, "term") : error;
  } finally {
    done.abort();
    late.catch(() => {});
  }
}

/** PostgreSQL's paths are relative to its data directory. @throws optionInvalidValue (32) */
function pathIn(dataDirectory: string, path: string): string {
  const full = isAbsolute(path) ? path : `${dataDirectory}/${path}`;
  if (full.startsWith(`${dataDirectory}/`) && !full.split("/").includes("..")) return full;
  throw fail("optionInvalidValue", `'${path}' is not in the data directory '${dataDirectory}'`);
}
