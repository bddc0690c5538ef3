/**
 * The simulation's verbs. Each takes what its command takes first, such as leases, and calls the same operation.
 */
import { verifyCommand } from "../../runtime/commands/backups/verify";
import { archiveGet } from "../../runtime/operations/archiveGet/archiveGet";
import type { AcknowledgePolicy } from "../../runtime/config/types";
import { annotate } from "../../runtime/operations/shared/annotate";
import { archivePush } from "../../runtime/operations/archivePush/archivePush";
import { backup } from "../../runtime/operations/backup/backup";
import { collectStatus } from "../../runtime/operations/info/status";
import { setHold } from "../../runtime/operations/expire/holdRecord";
import { expireRepository } from "../../runtime/operations/expire/expire";
import { copyMissingWal, type Healed, heal } from "../../runtime/operations/heal/heal";
import { positionOf } from "../../runtime/operations/shared/carriedWal";
import { inlinePool, type Job, type JobPool, runJob } from "../../runtime/operations/shared/jobs";
import { type LocalWal, openLocalWal } from "../../runtime/operations/shared/localWal";
import { combinedError } from "../../runtime/operations/shared/results";
import { stanzaCreate } from "../../runtime/operations/stanza/stanzaCreate";
import { stanzaUpgrade } from "../../runtime/operations/stanza/stanzaUpgrade";
import { type PushAnswer, PushQueue } from "../../runtime/operations/archivePush/pushQueue";
import { sync } from "../../runtime/operations/sync/sync";
import { type Lease, type LeaseDomain, NO_LEASE } from "../../runtime/repository/lease";
import { Leases } from "../../runtime/repository/leases";
import type { Context } from "../../runtime/base/context";
import { fail, isError, toBackupError } from "../../runtime/base/errors";
import { perRepo, type RepoResult } from "../../runtime/base/parallel";
import type { BackupType } from "../../runtime/format/repository/label";
import type { MissingWalStore } from "../../runtime/local/missingWal";
import { factsOf } from "../../runtime/recoverability/facts";
import { loadBackupInfo } from "../../runtime/repository/infoStore";
import type { Repository } from "../../runtime/repository/repository";
import { SimStorage, sha1Of } from "./bucket";
import { copyDumps, dump, type DumpStage } from "./dumps";
import { contentOf, ROOT } from "./files";
import { type Harm, harmFile, plant, rewind } from "./thief";
import { stream } from "./streams";
import { isOff } from "./weak";
import { testDomain } from "../harness/leases";
import { STANZA, walName as nameOfWal } from "../runtime/repository/support";
import { KEEP_ALL } from "../harness/madeRepository";
import { BACKUP_OPTIONS, FACTS, type Stage as BareStage, WAL_SIZE_BYTES } from "./host";

const MINUTES_10_MS = 600_000;
const SEGMENT_SIZE_BYTES = FACTS.control.walSegmentSizeBytes;
const DAY_MS = 86_400_000;
const GRACE_MS = 5000;
const SEGMENTS = { headerCheck: true, segmentSizeBytes: WAL_SIZE_BYTES };
/** The agent trusts what it stored itself this long. */
const BELIEVED_MS = 10_000;
/** How long a silent or slow repository may delay an answer to PostgreSQL. */
const PATIENCE_MS = 30_000;
/** How long it may delay a recovery: a copy that stops in the middle is given up by its driver. */
const GET_PATIENCE_MS = 90_000;
/** How long it may delay another verb. */
const LONG_MS = 1_800_000;
const ACKNOWLEDGE: AcknowledgePolicy = { mode: "any", repoIndexes: [] };

/**
 * `full`, `diff`, `incr`, `full@1` (one repository), `full+expire 1` (as with expire-auto), `expire 1`, `sync 1 2`,
 * `push`, `push 60` (PostgreSQL requests the segment this many seconds after it is ready), `push!2` (repo2 cannot be
 * reached), `archive` (PostgreSQL requests every waiting segment, until one fails), `agent 60` (a push by the agent,
 * with the same pause), `recreate@1` (the repository is lost and created again), `recycle` (acknowledged segments leave
 * pg_wal), `heal`, `copy` (of recorded WAL, by the agent), `upgrade`, `annotate`, `hold` (the oldest backup), `change`,
 * `wait 60`, `again` (PostgreSQL requests its newest segment again), `unheard` (pushes that answer nobody), `twin 40`
 * (this server's own segment of that number), `get` (fetches every acknowledged segment), `verify`, `status`,
 * `expire-days 7`, `clock 400` (the host's clock is days ahead), `spoil@2 empty` and `spoil@2 empty data` (see {@link
 * harmFile}), `plant@2` and `plant@2 far`, `snapshot@2` and `rewind@2`, `exchange` (the configuration gives each
 * repository the other one's key; the records of missing WAL stay), `dump`, `copy-dumps 1 2` (as sync does), `stream
 * 40` (the server writes for so many seconds, and its agent streams), `stream 40 2` (it writes 2 bytes a second), and
 * `stream-twin 40` (the same, with this server's own bytes from some place on). Returns the text of the result.
 */
export async function verbs(text: string, bare: BareStage): Promise<string> {
  const { host, ctx } = bare;
  const parts = {
    domain: domainOf(bare),
    holder: { host: host.name, pid: 1, verb: text },
    storageAfterAbort: () => undefined,
  };
  const leases = new Leases(() => parts, ctx);
  const dumpLeases = new Leases(() => ({ ...parts, work: "dumps" }), ctx);
  const ofAll =
    (taken: Leases) =>
    async (repo: Repository): Promise<Lease> =>
      isOff("lease") ? ownToken(ctx) : taken.take(repo);
  try {
    return await run(text, { ...bare, leaseOf: ofAll(leases), dumpLeaseOf: ofAll(dumpLeases) });
  } finally {
    for (const taken of [leases, dumpLeases]) await taken.releaseAll();
  }
}

/** A process sees which processes of its host have ended. The weak one believes that all have, as lock files say. */
function domainOf({ host, life, world }: BareStage): LeaseDomain {
  if (isOff("source")) return testDomain("everywhere");
  if (isOff("process")) return testDomain(host.domain);
  const text = `${host.domain}/${life.process.name}/${life.process.incarnation}`;
  const stateOf: LeaseDomain["stateOf"] = (other) => {
    if (other === text) return "ended";
    const [domain, process = "", incarnation] = other.split("/");
    return domain !== host.domain ? "unknown" : world.isRunning(process, Number(incarnation)) ? "alive" : "ended";
  };
  return { text, stateOf };
}

/** A lease that everybody gets. */
function ownToken({ random }: Pick<Context, "random">): Lease {
  return {
    ...NO_LEASE,
    token: Buffer.from(random.bytes(16)).toString("hex"),
    domain: "everywhere",
    isOver: (domain) => domain === "everywhere",
  };
}

type Stage = DumpStage & { leaseOf(repo: Repository): Promise<Lease> };

async function run(text: string, stage: Stage): Promise<string> {
  const [arg = "", ...rest] = text.split(" ");
  const [called = "", only] = arg.split("@");
  const [verb = "", away] = called.split("!");
  const keys = only === undefined ? stage.world.buckets.map(({ key }) => key) : [Number(only)];
  const repos = stage.repositories(keys, away === undefined ? undefined : Number(away));
  switch (verb) {
    case "create":
      return throwFirst(await stanzaCreate(repos, FACTS.control, stage.ctx));
    case "full":
    case "diff":
    case "incr":
      return takeBackup(stage, repos, verb, null);
    case "full+expire":
    case "incr+expire":
      return takeBackup(stage, repos, verb.slice(0, 4) as BackupType, Number(rest[0]));
    case "expire":
      return expireAll(stage, repos, Number(rest[0]));
    case "sync":
      return syncAll(stage, Number(rest[0]), Number(rest[1]));
    case "push":
      return push(stage, repos, Number(rest[0] ?? 0));
    case "archive":
      return archiveAll(stage, repos);
    case "agent":
      return pushByAgent(stage, repos, Number(rest[0]));
    case "recreate":
      return recreate(stage, repos, keys);
    case "recycle":
      stage.host.recycle();
      return "";
    case "heal":
      return healAll(stage, repos);
    case "copy":
      return healRecorded(stage, repos);
    case "upgrade":
      for (const repo of repos) await stage.leaseOf(repo);
      return throwFirst(await stanzaUpgrade(repos, FACTS.otherControl, stage.ctx));
    case "unheard":
      return pushUnheard(stage, repos);
    case "again":
      return request(stage, repos, stage.host.newestWal);
    case "twin":
      return request(stage, repos, stage.host.finishSegment(Number(rest[0]), true));
    case "get":
      return getAll(stage, repos);
    case "verify":
      return verifyAll(stage, repos);
    case "status":
      return statusAll(stage, repos);
    case "expire-days":
      for (const repo of repos) await expireOne(stage, repo, Number(rest[0]), "time");
      return "";
    case "clock":
      stage.life.process.skewMs += Number(rest[0]) * DAY_MS;
      stage.life.process.skewMsMax = Math.max(stage.life.process.skewMsMax, stage.life.process.skewMs);
      return "";
    case "spoil":
    case "plant":
    case "snapshot":
    case "rewind":
      return steal(stage, verb, keys, rest);
    case "exchange":
      return exchange(stage);
    case "annotate":
      for (const repo of repos) {
        const lease = await stage.leaseOf(repo);
        await annotate(repo, await stage.world.newestLabel(repo), { by: stage.host.name }, lease, stage.ctx);
      }
      return "";
    case "stream":
    case "stream-twin":
      return stream(stage, repos, rest, verb === "stream-twin");
    case "dump":
      return dump(stage, repos);
    case "copy-dumps":
      return copyDumps(stage, Number(rest[0]), Number(rest[1]));
    case "hold":
      for (const repo of repos) await holdOldest(stage, repo);
      return "";
    case "change":
      stage.host.change(stage.ctx.clock.nowMs());
      return "";
    case "wait":
      await stage.ctx.clock.sleep(Number(rest[0]) * 1000, stage.ctx.signal);
      return "";
    default:
      throw new Error(`no verb '${text}'`);
  }
}

async function takeBackup(
  stage: Stage,
  repos: readonly Repository[],
  type: BackupType,
  fullCount: number | null,
): Promise<string> {
  const { ctx, host, world, leaseOf } = stage;
  const deps = {
    lease: leaseOf,
    servers: [host.candidate(ctx)],
    pool: poolOf(repos, ctx),
    users: FACTS.users,
    onProgress: () => {},
  };
  const blame = progressOf(stage, repos);
  const { results } = await backup(repos, deps, { ...BACKUP_OPTIONS, type }, ctx);
  blame("backup", results, LONG_MS);
  for (const result of results) if (result.ok) world.done(result.repoIndex, result.value.label);
  if (fullCount !== null)
    for (const repo of repos)
      await expireOne({ ctx, leaseOf }, repo, fullCount).catch((error: Error) => ctx.log.warn(error.message));
  const error = combinedError("backup", results);
  if (error !== null) throw error;
  return results.map((result) => (result.ok ? result.value.label : "")).join(" ");
}

async function expireAll(stage: Stage, repos: readonly Repository[], fullCount: number): Promise<string> {
  for (const repo of repos) await expireOne(stage, repo, fullCount);
  return "";
}

async function expireOne(
  { ctx, leaseOf }: Pick<Stage, "ctx" | "leaseOf">,
  repo: Repository,
  full: number,
  fullType: "count" | "time" = "count",
): Promise<void> {
  const retention = { full, fullType, archiveType: "full" as const };
  await expireRepository(
    repo,
    retention,
    { oldest: false, refusePageErrors: true, dryRun: false },
    await leaseOf(repo),
    ctx,
  );
}

async function holdOldest({ ctx, leaseOf, world }: Stage, repo: Repository): Promise<void> {
  const [oldest] = (await loadBackupInfo(repo)).backups;
  const hold = { reason: "audit", untilS: null };
  if (oldest !== undefined && (await setHold(repo, oldest.label, hold, await leaseOf(repo), ctx)))
    world.truth.hold(repo.key, oldest.label);
}

async function syncAll({ ctx, repositories, world, leaseOf }: Stage, from: number, to: number): Promise<string> {
  const repos = repositories([from, to]);
  const [source, target] = [from, to].map((key) => repos.find((repo) => repo.key === key));
  if (source === undefined || target === undefined) throw new Error("sync needs two repositories");
  const { labels, problems } = await sync(
    source,
    target,
    poolOf(repos, ctx),
    { scope: { kind: "all", retention: KEEP_ALL }, dryRun: false, headerCheck: true, lease: await leaseOf(target) },
    ctx,
  );
  if (problems.length > 0) throw fail("command", problems.join("; "));
  for (const label of labels) world.done(to, label);
  return labels.join(" ");
}

async function pushByAgent(stage: Stage, repos: readonly Repository[], seconds: number): Promise<string> {
  const { ctx, host, world } = stage;
  const { walDirectory } = host;
  const options = { walDirectory, cluster: FACTS.cluster, ...SEGMENTS, processMax: 1, graceMs: GRACE_MS };
  const queue = new PushQueue(repos, recordsOf(stage), options, null, ctx);
  const walName = host.finishSegment(world.walNo++);
  await queue.look();
  await ctx.clock.sleep(seconds * 1000, ctx.signal);
  const sinceMs = world.truth.nowMs() - BELIEVED_MS;
  const blame = progressOf(stage, repos);
  const answer = await queue.request(walName, ACKNOWLEDGE, MINUTES_10_MS);
  return accept(stage, walName, answer, sinceMs, blame);
}

/** An empty disk or bucket replaces the old one. */
async function recreate(
  { ctx, life, world }: Stage,
  repos: readonly Repository[],
  keys: readonly number[],
): Promise<string> {
  const lost = world.buckets.filter(({ key }) => keys.includes(key));
  await life.call(`replace repo${keys.join()} by an empty one`, "write", () => {
    for (const bucket of lost) {
      rewind(world, bucket, new Map());
    }
  });
  return throwFirst(await stanzaCreate(repos, FACTS.control, ctx));
}

/** No earlier promise covers the content that a key has now. */
async function exchange({ life, world }: Stage): Promise<string> {
  await life.call("exchange repo1 and repo2", "write", () => {
    const contents = world.buckets.map(({ files }) => new Map(files)).toReversed();
    for (const [index, bucket] of world.buckets.entries()) rewind(world, bucket, contents[index] ?? new Map());
  });
  return "";
}

async function push(stage: Stage, repos: readonly Repository[], seconds: number): Promise<string> {
  const walName = stage.host.finishSegment(stage.world.walNo++);
  if (seconds > 0) await stage.ctx.clock.sleep(seconds * 1000, stage.ctx.signal);
  return request(stage, repos, walName);
}

async function archiveAll(stage: Stage, repos: readonly Repository[]): Promise<string> {
  const names = stage.host.listReady();
  for (const name of names) await request(stage, repos, name);
  return names.join(" ");
}

/** A process that stayed after a call: its caller has given it up, and pushes the same segments itself. */
async function pushUnheard(stage: Stage, repos: readonly Repository[]): Promise<string> {
  const names = stage.host.listReady();
  for (const name of names) await archivePush(repos, recordsOf(stage), pushOptions(stage, name), stage.ctx);
  return names.join(" ");
}

function pushOptions({ host }: Stage, walName: string) {
  return {
    walDirectory: host.walDirectory,
    walName,
    cluster: FACTS.cluster,
    ...SEGMENTS,
    acknowledge: ACKNOWLEDGE,
    graceMs: GRACE_MS,
    timeoutMs: MINUTES_10_MS,
  };
}

async function request(stage: Stage, repos: readonly Repository[], walName: string): Promise<string> {
  const { ctx, host, world } = stage;
  const options = pushOptions(stage, walName);
  const sinceMs = world.truth.nowMs();
  const blame = progressOf(stage, repos);
  try {
    const outcome = await archivePush(repos, recordsOf(stage), options, ctx);
    return accept(stage, walName, outcome, sinceMs, blame);
  } catch (error) {
    // Healthy repositories do not get the segment either.
    const own = host.sha1Of(walName);
    const sane = repos.filter(({ key }) => !world.truth.hasOther(key, walName, own));
    blame(
      `push of ${walName}`,
      sane.map(({ key }) => ({ repoIndex: key, ok: false as const, error: toBackupError(error) })),
      PATIENCE_MS,
    );
    throw error;
  }
}

function accept(
  { host, life, world }: Stage,
  walName: string,
  { accepted, error, results }: Pick<PushAnswer, "accepted" | "error" | "results">,
  sinceMs: number,
  blame: ReturnType<typeof progressOf>,
): string {
  const own = host.sha1Of(walName);
  const sane = results.filter(({ repoIndex }) => !world.truth.hasOther(repoIndex, walName, own));
  if (sane.length > 0) blame(`push of ${walName}`, accepted ? [] : sane, PATIENCE_MS);
  if (!accepted) throw error ?? fail("assert", "not accepted and no error");
  host.acknowledge(walName, sinceMs, (key) => !life.process.troubled.has(key));
  return walName;
}

/** Records of missing WAL. When one ends, the repository has the segment. */
function recordsOf({ host, world }: Stage): MissingWalStore {
  const { missingWal } = host;
  const sinceMs = world.truth.nowMs();
  return {
    ...missingWal,
    remove: (repoIndex, name, cluster) => {
      const ends = [...missingWal.list(repoIndex), ...missingWal.listConflicts(repoIndex)].includes(name);
      missingWal.remove(repoIndex, name, cluster);
      if (ends) world.truth.answer(repoIndex, name, sinceMs);
    },
  };
}

/**
 * A healthy repository gets its part, and in time, whatever another one does. Judges the results of a program that runs
 * alone, and of each push.
 */
function progressOf({ life, world }: Stage, repos: readonly Repository[]) {
  const { process } = life;
  const beganMs = world.truth.nowMs();
  const isAlone = Object.keys(world.scenario.writers).length === 1;
  return (what: string, results: readonly RepoResult<unknown>[], limitMs: number): void => {
    if (process.isDisturbed || (!isAlone && limitMs === LONG_MS)) return;
    const isHealthy = (key: number): boolean =>
      !process.troubled.has(key) && !process.slow.has(key) && repos.some((repo) => repo.key === key && !isAway(repo));
    const failed = results.find((result) => !result.ok && isHealthy(result.repoIndex));
    if (failed?.ok === false)
      world.judge(`repo${failed.repoIndex} is healthy, and the ${what} ended there with: ${failed.error.message}`);
    const tookMs = world.truth.nowMs() - beganMs;
    const hasHealthy = repos.some(({ key }) => isHealthy(key));
    // A backup into a slow repository may take its time: nobody waits for its answer.
    const isHeldUp = process.silent.size > 0 || (process.slow.size > 0 && limitMs < LONG_MS);
    if (isAlone && hasHealthy && isHeldUp && tookMs > limitMs)
      world.judge(`the ${what} took ${tookMs / 1000} s because of a silent or slow repository`);
  };
}

function isAway({ storage }: Repository): boolean {
  return storage instanceof SimStorage && storage.isAway;
}

/** Changes repositories as nobody should. */
async function steal(
  { life, world }: Stage,
  verb: string,
  keys: readonly number[],
  [how = "", what = ""]: readonly string[],
): Promise<string> {
  const harmed: string[] = [];
  for (const bucket of world.buckets.filter(({ key }) => keys.includes(key)))
    await life.call(`${verb} ${how} in repo${bucket.key}`, "write", () => {
      if (verb === "spoil") harmed.push(harmFile(world, bucket, how as Harm, what === "data"));
      else if (verb === "plant") harmed.push(plant(world, bucket, how === "far"));
      else if (verb === "snapshot") world.snapshots.set(bucket.key, new Map(bucket.files));
      else rewind(world, bucket, world.snapshots.get(bucket.key) ?? new Map(bucket.files));
    });
  return harmed.join(" ");
}

/** PostgreSQL recovers: it must get what was acknowledged, and never hear that the archive ends before it. */
async function getAll(stage: Stage, repos: readonly Repository[]): Promise<string> {
  const { ctx, host, life, world } = stage;
  const { truth } = world;
  const destination = `${host.walDirectory}/RECOVERYXLOG`;
  const failed: string[] = [];
  for (const [walName, sha1] of truth.acknowledged) {
    const blame = progressOf(stage, repos);
    const holders = repos.filter(({ key }) => truth.isIntact(key, walName));
    const isContested = repos.some(({ key }) => truth.hasOther(key, walName, sha1));
    const ended = (error: Error): RepoResult<unknown>[] =>
      holders.map(({ key }) => ({ repoIndex: key, ok: false, error: toBackupError(error) }));
    try {
      const isThere = await archiveGet(repos, { walName, destination, cluster: FACTS.cluster }, ctx);
      blame(`get of ${walName}`, isThere ? [] : ended(new Error("not in the archive")), GET_PATIENCE_MS);
      // A repository that does not answer in time cannot contradict.
      const { isDisturbed, slow, troubled } = life.process;
      const isSure = holders.length > 0 && troubled.size + slow.size === 0 && !isDisturbed;
      if (isThere && isSure && sha1Of(contentOf(destination)) !== sha1)
        world.judge(`archive-get got other bytes of ${walName} than the server wrote`);
    } catch (error) {
      // Repositories that contradict each other stop a recovery.
      if (!(isContested && isError(error, "archiveDuplicate")))
        blame(`get of ${walName}`, ended(error as Error), GET_PATIENCE_MS);
      failed.push(`${walName}: ${toBackupError(error).message.split("\n")[0]}`);
    }
  }
  return failed.join("; ");
}

/** What it calls valid must be so. */
async function verifyAll(stage: Stage, repos: readonly Repository[]): Promise<string> {
  const { ctx, life, world } = stage;
  const config = { set: undefined, verify: {}, output: "none", stanza: "demo", repos: [], spoolPath: `${ROOT}/none` };
  const pool = poolOf(repos, ctx);
  // The simulation's segments are short.
  const runShort: JobPool["run"] = (job) =>
    pool.run("sizeBytes" in job && job.sizeBytes === SEGMENT_SIZE_BYTES ? { ...job, sizeBytes: WAL_SIZE_BYTES } : job);
  const host = {
    config,
    ctx,
    repositories: () => repos,
    pool: () => ({ ...pool, run: runShort }),
    print: () => {},
    missingWal: () => stage.host.missingWal,
  };
  const sinceMs = world.truth.nowMs();
  // The command uses nothing else.
  await verifyCommand({ ...host, loadControl: async () => FACTS.control } as never);
  for (const { key } of repos) {
    const untrue = life.process.troubled.has(key) ? null : world.truth.findUntrue(key, sinceMs);
    if (untrue !== null) world.judge(`verify says that all is well, but ${untrue}`);
  }
  return "";
}

/** A repository without a trouble has all WAL that its newest backup needs. */
async function statusAll({ ctx, host, life, world }: Stage, repos: readonly Repository[]): Promise<string> {
  const { missingWal, walDirectory } = host;
  const { truth } = world;
  const sinceMs = truth.nowMs();
  const ready = new Set(host.listReady());
  const archived =
    [...truth.acknowledged.keys()]
      .filter((name) => !ready.has(name))
      .sort()
      .at(-1) ?? null;
  const { repos: rows, troubles } = await collectStatus({
    stanza: STANZA,
    repos: factsOf(repos),
    missingWal: (key) => missingWal.list(key),
    conflicts: (key) => missingWal.listConflicts(key),
    dropped: missingWal.listDropped,
    expectFull: () => undefined,
    waiting: null,
    slot: null,
    rpoS: undefined,
    server: { dataDirectory: walDirectory, systemId: FACTS.cluster.systemId, archived },
    seen: () => new Map(),
    stop: null,
    verified: () => null,
    history: async () => null,
    isStandby: false,
    streams: null,
    host: { troubles: [], notLookedAt: [], next: null },
    drills: [],
    running: [],
    opened: [],
    nowS: Math.floor(ctx.clock.nowMs() / 1000),
  });
  if (troubles.length === 0 && !life.process.isDisturbed)
    for (const { key, troubles: own } of rows)
      if (own.length === 0 && !life.process.troubled.has(key)) {
        const lacking = truth.findLacking(key, sinceMs);
        if (lacking !== null) world.judge(`status says that all is well, but ${lacking}`);
      }
  return rows
    .map(({ key, troubles: own }) => `repo${key}: ${own.map(({ code }) => code).join(" ") || "well"}`)
    .join(", ");
}

async function healAll(stage: Stage, repos: readonly Repository[]): Promise<string> {
  const { ctx, host } = stage;
  const parts = { missingWal: recordsOf(stage), cluster: FACTS.cluster, local: localWalOf(stage, repos) };
  const sendsPending = !host.isStandby;
  return healed(stage, repos, "heal", () => heal(repos, { ...parts, sendsPending }, ctx));
}

/** What the agent does between two times of `heal`: it only looks at what it has recorded. */
async function healRecorded(stage: Stage, repos: readonly Repository[]): Promise<string> {
  const parts = { missingWal: recordsOf(stage), local: localWalOf(stage, repos), claims: null };
  return healed(stage, repos, "copy of missing WAL", () =>
    perRepo(repos, (repo) => copyMissingWal(repo, repos, FACTS.cluster, parts, stage.ctx)),
  );
}

async function healed(
  stage: Stage,
  repos: readonly Repository[],
  what: string,
  work: () => Promise<readonly RepoResult<Healed>[]>,
): Promise<string> {
  const { life, world } = stage;
  const blame = progressOf(stage, repos);
  const needless = needlessRecords(stage, repos);
  const results = await work();
  blame(what, results, LONG_MS);
  throwFirst(results);
  if (!life.process.isDisturbed) for (const name of needless) world.judge(world.truth.findForgotten(name));
  return results.map((result) => (result.ok ? result.value.copied : "")).join(" ");
}

function localWalOf({ host, world }: Stage, repos: readonly Repository[]): LocalWal {
  const real = openLocalWal(host.walDirectory, FACTS.cluster, true, WAL_SIZE_BYTES);
  return {
    ...real,
    // A host's pg_wal may be empty here; PostgreSQL's has the segment that is being written.
    newest: async () => {
      const isFinished = host.newestWal >= nameOfWal(world.walNo);
      return { ...positionOf(isFinished ? host.newestWal : nameOfWal(world.walNo)), isFinished };
    },
    prepare: async (name) => {
      const wal = await real.prepare(name);
      // The weak one takes what has left pg_wal for stored.
      if (wal === null && isOff("record"))
        for (const { key } of repos) host.missingWal.remove(key, name, FACTS.cluster);
      return wal;
    },
  };
}

/** Recorded as missing in a repository that has them: it is another one that lacks them, if its key changed. */
function needlessRecords({ host, world }: Stage, repos: readonly Repository[]): string[] {
  return repos.flatMap(({ key }) => host.missingWal.list(key).filter((name) => world.truth.isIntact(key, name)));
}

function throwFirst(results: readonly { readonly ok: boolean; readonly error?: Error }[]): string {
  for (const { error } of results) if (error !== undefined) throw error;
  return "";
}

const JOB_KINDS: Readonly<Record<Job["kind"], true>> = {
  copyBatch: true,
  fetchWal: true,
  packWal: true,
  restoreFile: true,
  restoreFiles: true,
  syncFiles: true,
  syncWal: true,
  verifyBundle: true,
  verifyDump: true,
  verifyFile: true,
};

/** Before any run: the first job of a kind loads its code, and the simulation waits for no real file. */
export async function loadJobs(ctx: Stage["ctx"]): Promise<void> {
  for (const kind of Object.keys(JOB_KINDS)) await runJob({ kind } as never, new Map(), ctx).catch(() => {});
}

function poolOf(repos: readonly Repository[], ctx: Stage["ctx"]): ReturnType<typeof inlinePool> {
  return inlinePool(new Map(repos.map((repo) => [repo.key, repo])), ctx, 1);
}
