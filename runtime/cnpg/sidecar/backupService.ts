/**
 * Backup: one pass into every repository, requested by a Backup object. With parameter `repositories` it is one run
 * into each of those.
 *
 * A child process runs this program's `backup`: it may take hours and a core, WAL calls must be answered in the
 * meantime, and its memory is freed at the end. The Backup's uid is kept as a note next to the backup, so that two
 * requests for one object take one backup: a request during the run waits for it, and a later one gets the result. The
 * process ends when no request waits for it. While another pod backs up into a repository it retries, for six hours at
 * most.
 *
 * The service outlives a changed configuration. A running backup keeps the keys that it began with; each attempt, and
 * each look at the repositories, takes the present ones.
 */
import { STANDBY_MARGIN_S } from "../../archiver/gapBackup";
import type { Context } from "../../base/context";
import { ERRORS, fail, stockErrorName, toBackupError } from "../../base/errors";
import type { RepoResult } from "../../base/parallel";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { listCurrentBackups, newestFullOf } from "../../operations/info/destinations";
import { combinedError } from "../../operations/shared/results";
import type { Repository } from "../../repository/repository";
import { callCapabilities } from "../grpc/answers";
import { findOwnParameters, parseObject, textAt } from "../kubernetes/clusterObject";
import type { BackupRequest, BackupResult } from "../grpc/messages";
import { BACKUP_UID_NOTE } from "../names";
import { type RequestedBackupType, backupTypeOf, readParameters } from "../operator/parameters";
import type { PluginService } from "../grpc/grpcServer";

export interface BackupParts {
  /** Name of the pod. */
  readonly instanceId: string;
  /** Runs `work` with the present configuration. */
  present<T>(work: (present: PresentConfiguration) => Promise<T>): Promise<T>;
  /** Runs the program's `backup` with these additional arguments; the callback gets its errors. */
  run(args: readonly string[], signal: AbortSignal, onOutput: (text: string) => void): Promise<number>;
  isStandby(): Promise<boolean>;
  /** Resolves when no backup runs in this pod, or `signal` aborts. */
  settled(signal: AbortSignal): Promise<void>;
}

interface PresentConfiguration {
  readonly repos: readonly Repository[];
  /** `archive-timeout` */
  readonly archiveTimeoutMs: number;
}

interface Running {
  readonly result: Promise<BackupResult>;
  readonly abort: AbortController;
  callerCount: number;
}

/** A daily schedule varies: a full backup slightly younger than the limit counts as old. */
const AGE_SLACK_S = 2 * 3600;
const DAY_S = 86_400;
const ERROR_LENGTH_MAX = 4000;
/** Another pod may be taking the first full backup of a large cluster. */
const BUSY_MS_MAX = 6 * 3600_000;
const BUSY_PAUSE_MS = 30_000;
const PARAMETERS = ["type", "repositories"];

export function backupService(parts: BackupParts, ctx: Context): PluginService & { isBusy(): boolean } {
  const running = new Map<string, Running>();
  return {
    isBusy: () => running.size > 0,
    name: "backup",
    methods: {
      GetCapabilities: () => callCapabilities(["BACKUP"]),
      Backup: async (request: BackupRequest, gone): Promise<BackupResult> => {
        const uid = textAt(parseObject(request.backup_definition, "backup"), "metadata", "uid");
        if (uid === undefined) throw fail("format", "the received backup has no uid");
        const ongoing = running.get(uid) ?? begin(parts, request, uid, ctx);
        running.set(uid, ongoing);
        ongoing.callerCount++;
        const leave = (): void => {
          if (--ongoing.callerCount === 0)
            ongoing.abort.abort(fail("term", "the caller no longer waits for this backup"));
        };
        gone.addEventListener("abort", leave, { once: true });
        try {
          return await ongoing.result;
        } finally {
          gone.removeEventListener("abort", leave);
          running.delete(uid);
        }
      },
    },
  };
}

function begin(parts: BackupParts, request: BackupRequest, uid: string, ctx: Context): Running {
  const abort = new AbortController();
  const signal = AbortSignal.any([ctx.signal, abort.signal]);
  const result = takeBackup(parts, request, uid, { ...ctx, signal });
  // Its caller may have disconnected before it fails.
  result.catch(() => {});
  return { result, abort, callerCount: 0 };
}

async function takeBackup(
  parts: BackupParts,
  request: BackupRequest,
  uid: string,
  ctx: Context,
): Promise<BackupResult> {
  // Wrong parameters fail before any wait.
  await parts.present(async ({ repos }) => wantedBackup(request, repos));
  await parts.settled(ctx.signal);
  const isStandby = await parts.isStandby();
  const endMs = ctx.clock.monotonicMs() + BUSY_MS_MAX;
  for (let attempt = 1; ; attempt++) {
    // Read for each attempt: this backup may build on the other pod's.
    const step = await parts.present((present) => nextStep(parts, present, { request, uid, attempt, isStandby }, ctx));
    if ("done" in step) return step.done;
    const { exitCode, output } = await runInto(parts, step.repoIndexes, step.args, ctx);
    if (exitCode === 0) break;
    if (!isBusyElsewhere(exitCode, output) || ctx.clock.monotonicMs() >= endMs)
      throw fail("command", messageOf(output) || `the backup ended with code ${exitCode}`);
    ctx.log.info(
      `backup ${uid}: another process uses a repository, retrying in ${BUSY_PAUSE_MS / 1000} s: ${messageOf(output)}`,
    );
    await ctx.clock.sleep(BUSY_PAUSE_MS, ctx.signal);
  }
  const result = await parts.present(async ({ repos }) => {
    const { repoIndexes } = wantedBackup(request, repos);
    return resultOf(await listCurrentBackups(chosenFrom(repos, repoIndexes)), uid, parts);
  });
  if (result === null) throw fail("backupSetInvalid", "the backup succeeded, but not in every repository");
  return result;
}

interface Attempt {
  readonly request: BackupRequest;
  readonly uid: string;
  /** From 1. */
  readonly attempt: number;
  readonly isStandby: boolean;
}

/** The result of an earlier run, or the next run; null as `repoIndexes` for all repositories. */
async function nextStep(
  parts: BackupParts,
  { repos, archiveTimeoutMs }: PresentConfiguration,
  { request, uid, attempt, isStandby }: Attempt,
  ctx: Context,
): Promise<
  { readonly done: BackupResult } | { readonly repoIndexes: readonly number[] | null; readonly args: readonly string[] }
> {
  const wanted = wantedBackup(request, repos);
  const before = await listCurrentBackups(chosenFrom(repos, wanted.repoIndexes));
  const done = resultOf(before, uid, parts);
  if (done !== null) return { done };
  const isAuto = wanted.type === "auto";
  const type = isAuto ? typeByPolicy(before, wanted.fullEveryDays, ctx.clock.nowMs() / 1000) : wanted.type;
  ctx.log.info(
    `backup ${uid}: ${type}${isAuto ? " by policy" : ""}, from ${isStandby ? "this standby" : "the primary"}`,
  );
  const args = [
    `--type=${type}`,
    `--backup-standby=${isStandby ? "y" : "n"}`,
    ...(isStandby ? [`--archive-timeout=${standbyTimeoutS(request, archiveTimeoutMs)}`] : []),
    `--annotation=${BACKUP_UID_NOTE}=${uid}`,
  ];
  const lacking = attempt === 1 ? null : lackingOf(before, uid);
  return { repoIndexes: lacking ?? wanted.repoIndexes, args };
}

function chosenFrom(repos: readonly Repository[], repoIndexes: readonly number[] | null): readonly Repository[] {
  return repos.filter(({ key }) => repoIndexes?.includes(key) !== false);
}

/** One run into all repositories, or with keys one run each; returns the worst exit code. */
async function runInto(
  { run }: BackupParts,
  repoIndexes: readonly number[] | null,
  args: readonly string[],
  ctx: Context,
): Promise<{ readonly exitCode: number; readonly output: string }> {
  let exitCode = 0;
  let output = "";
  const runs = repoIndexes === null ? [[]] : repoIndexes.map((key) => [`--repo=${key}`]);
  for (const more of runs) {
    const code = await run(["backup", ...args, ...more], ctx.signal, (text) => {
      output = `${output}${text}`.slice(-ERROR_LENGTH_MAX);
    });
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    exitCode = Math.max(exitCode, code);
  }
  return { exitCode, output };
}

/** Repositories that an earlier attempt skipped; null for all of them. */
function lackingOf(backups: readonly Backups[], uid: string): readonly number[] | null {
  const lacking = backups.filter(
    (result) => !result.ok || !result.value.some((entry) => entry.annotations?.[BACKUP_UID_NOTE] === uid),
  );
  return lacking.length === backups.length ? null : lacking.map((result) => result.repoIndex);
}

/** Another pod holds the lease of a repository, or another process the lock of this pod. */
function isBusyElsewhere(exitCode: number, output: string): boolean {
  return exitCode === ERRORS.lockAcquire || output.includes(`[${stockErrorName("lockAcquire")}]`);
}

/** @throws optionInvalid, optionInvalidValue */
function wantedBackup(
  { cluster_definition, parameters }: BackupRequest,
  configured: readonly Pick<Repository, "key">[],
): {
  readonly type: RequestedBackupType;
  /** Null for all, in one pass. */
  readonly repoIndexes: readonly number[] | null;
  readonly fullEveryDays: number;
} {
  const unknown = Object.keys(parameters).find((name) => !PARAMETERS.includes(name));
  if (unknown !== undefined)
    throw fail("optionInvalid", `backup parameter '${unknown}' is unknown`, {
      hint: `parameters are ${PARAMETERS.join(", ")}.`,
    });
  const cluster = parseObject(cluster_definition, "cluster");
  const own = readParameters(findOwnParameters(cluster) ?? {}, {
    clusterName: textAt(cluster, "metadata", "name") ?? "",
    image: "-",
  });
  const type = parameters["type"];
  return {
    type: type === undefined ? own.backupType : backupTypeOf("type", type),
    repoIndexes: repoIndexesOf(parameters["repositories"], configured),
    fullEveryDays: own.fullEveryDays,
  };
}

/** `repo1,repo3` */
function repoIndexesOf(
  text: string | undefined,
  configured: readonly Pick<Repository, "key">[],
): readonly number[] | null {
  if (text === undefined) return null;
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !configured.some(({ key }) => name === `repo${key}`));
  if (unknown !== undefined)
    throw fail("optionInvalidValue", `backup parameter 'repositories' names '${unknown}', which is not configured`, {
      hint: `repositories are ${configured.map(({ key }) => `repo${key}`).join(",")}.`,
    });
  return configured.map(({ key }) => key).filter((key) => names.includes(`repo${key}`));
}

/**
 * A standby cannot make the primary switch WAL: its last segment arrives after the server's `archive_timeout`, which is
 * five minutes here.
 */
function standbyTimeoutS({ cluster_definition }: BackupRequest, archiveTimeoutMs: number): number {
  const setting =
    textAt(parseObject(cluster_definition, "cluster"), "spec", "postgresql", "parameters", "archive_timeout") ?? "5min";
  const [, count = "5", unit = "s"] = /^(\d+)\s*(ms|s|min|h|d)?$/.exec(setting.trim()) ?? ["", "5", "min"];
  return Math.max(
    Math.ceil(archiveTimeoutMs / 1000),
    Math.ceil(Number(count) * (UNITS_S[unit] ?? 1)) + STANDBY_MARGIN_S,
  );
}

/** Units of time in PostgreSQL's configuration. */
const UNITS_S: Readonly<Record<string, number>> = { ms: 0.001, s: 1, min: 60, h: 3600, d: 86_400 };

type Backups = RepoResult<readonly BackupInfoEntry[]>;

/** Full if one repository has no recent one; other missing backups are left to `backup`. */
export function typeByPolicy(backups: readonly Backups[], fullEveryDays: number, nowS: number): "full" | "incr" {
  const isDue = (entries: readonly BackupInfoEntry[]): boolean => {
    const newest = newestFullOf(entries);
    return newest === null || nowS - newest.stoppedAtS >= fullEveryDays * DAY_S - AGE_SLACK_S;
  };
  return backups.some((result) => result.ok && isDue(result.value)) ? "full" : "incr";
}

/** Null while a repository lacks the backup of this uid. @throws the error of an unreadable repository */
function resultOf(backups: readonly Backups[], uid: string, { instanceId }: BackupParts): BackupResult | null {
  const error = combinedError("backup", backups);
  const entries = backups.flatMap((result) => {
    const entry = result.ok
      ? result.value.find((candidate) => candidate.annotations?.[BACKUP_UID_NOTE] === uid)
      : undefined;
    return entry === undefined ? [] : [{ repoIndex: result.repoIndex, entry }];
  });
  if (entries.length < backups.length) {
    if (error !== null && entries.length > 0) throw error;
    return null;
  }
  const [first] = entries;
  if (first === undefined) return null;
  const { label, startedAtS, stoppedAtS, archiveStart, archiveStop, lsnStart, lsnStop, type } = first.entry;
  return {
    backup_id: label,
    backup_name: label,
    started_at: startedAtS,
    stopped_at: stoppedAtS,
    begin_wal: archiveStart ?? "",
    end_wal: archiveStop ?? "",
    begin_lsn: lsnStart ?? "",
    end_lsn: lsnStop ?? "",
    backup_label_file: new Uint8Array(),
    tablespace_map_file: new Uint8Array(),
    instance_id: instanceId,
    online: true,
    metadata: { type, ...Object.fromEntries(entries.map(({ repoIndex, entry }) => [`repo${repoIndex}`, entry.label])) },
  };
}

/** The process' error lines without log prefixes. */
function messageOf(output: string): string {
  return output
    .split("\n")
    .map((line) => line.replace(/^.*?ERROR: (\[\d+\]: )?/, "").trim())
    .filter((line) => line !== "")
    .join("\n");
}
