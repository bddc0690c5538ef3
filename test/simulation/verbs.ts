/**
 * The simulation's verbs. Each takes what its command takes first, such as leases, and calls the same operation.
 */
import type { AcknowledgePolicy } from "../../runtime/operations/archivePush/acknowledge";
import { annotate } from "../../runtime/operations/shared/annotate";
import { archivePush } from "../../runtime/operations/archivePush/archivePush";
import { backup } from "../../runtime/operations/backup/backup";
import { expireRepository } from "../../runtime/operations/expire/expire";
import { heal } from "../../runtime/operations/heal/heal";
import { inlinePool } from "../../runtime/operations/shared/jobs";
import { type LocalWal, openLocalWal } from "../../runtime/operations/shared/localWal";
import { combinedError } from "../../runtime/operations/shared/results";
import { stanzaCreate } from "../../runtime/operations/stanza/stanzaCreate";
import { stanzaUpgrade } from "../../runtime/operations/stanza/stanzaUpgrade";
import { PushQueue } from "../../runtime/operations/archivePush/pushQueue";
import { sync } from "../../runtime/operations/sync/sync";
import { type Lease, NO_LEASE } from "../../runtime/repository/lease";
import { Leases } from "../../runtime/repository/leases";
import type { Context } from "../../runtime/base/context";
import { fail } from "../../runtime/base/errors";
import type { BackupType } from "../../runtime/format/repository/label";
import type { Repository } from "../../runtime/repository/repository";
import { isOff } from "./weak";
import { testDomain } from "../harness/leases";
import { KEEP_ALL } from "../harness/madeRepository";
import { BACKUP_OPTIONS, FACTS, type Stage as BareStage, WAL_SIZE_BYTES } from "./host";

const MINUTES_10_MS = 600_000;
const GRACE_MS = 5000;
const SEGMENTS = { headerCheck: true, segmentSizeBytes: WAL_SIZE_BYTES };
const ACKNOWLEDGE: AcknowledgePolicy = { mode: "any", repoIndexes: [] };

/**
 * `full`, `diff`, `incr`, `full@1` (one repository), `full+expire 1` (as with expire-auto), `expire 1`, `sync 1 2`,
 * `push`, `push 60` (PostgreSQL requests the segment this many seconds after it is ready), `push!2` (repo2 cannot be
 * reached), `archive` (PostgreSQL requests every waiting segment, until one fails), `agent 60` (a push by the agent,
 * with the same pause), `recreate@1` (the repository is lost and created again), `recycle` (acknowledged segments leave
 * pg_wal), `heal`, `upgrade`, `annotate`, `change`, `wait 60`. Returns the text of the result.
 */
export async function verbs(text: string, bare: BareStage): Promise<string> {
  const { host, ctx } = bare;
  const parts = {
    domain: testDomain(isOff("source") ? "everywhere" : host.domain),
    holder: { host: host.name, pid: 1, verb: text },
    storageAfterAbort: () => undefined,
  };
  const leases = new Leases(() => parts, ctx);
  const leaseOf = async (repo: Repository): Promise<Lease> => (isOff("lease") ? ownToken(ctx) : leases.take(repo));
  try {
    return await run(text, { ...bare, leaseOf });
  } finally {
    await leases.releaseAll();
  }
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

type Stage = BareStage & { leaseOf(repo: Repository): Promise<Lease> };

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
    case "upgrade":
      for (const repo of repos) await stage.leaseOf(repo);
      return throwFirst(await stanzaUpgrade(repos, FACTS.otherControl, stage.ctx));
    case "annotate":
      for (const repo of repos) {
        await stage.leaseOf(repo);
        await annotate(repo, await stage.world.newestLabel(repo), { by: stage.host.name }, stage.ctx);
      }
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
  { ctx, host, world, leaseOf }: Stage,
  repos: readonly Repository[],
  type: BackupType,
  fullCount: number | null,
): Promise<string> {
  const deps = {
    lease: leaseOf,
    servers: [host.candidate(ctx)],
    pool: poolOf(repos, ctx),
    users: FACTS.users,
    onProgress: () => {},
  };
  const { results } = await backup(repos, deps, { ...BACKUP_OPTIONS, type }, ctx);
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
  fullCount: number,
): Promise<void> {
  const retention = { full: fullCount, fullType: "count" as const, archiveType: "full" as const };
  await expireRepository(
    repo,
    retention,
    { oldest: false, refusePageErrors: true, dryRun: false },
    await leaseOf(repo),
    ctx,
  );
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

async function pushByAgent(
  { ctx, host, world }: Stage,
  repos: readonly Repository[],
  seconds: number,
): Promise<string> {
  const { walDirectory } = host;
  const options = { walDirectory, cluster: FACTS.cluster, ...SEGMENTS, processMax: 1, graceMs: GRACE_MS };
  const queue = new PushQueue(repos, host.missingWal, options, null, ctx);
  const walName = host.finishSegment(world.walNo++);
  await queue.look();
  await ctx.clock.sleep(seconds * 1000, ctx.signal);
  const { accepted, error } = await queue.request(walName, ACKNOWLEDGE, MINUTES_10_MS);
  if (!accepted) throw error ?? fail("assert", "not accepted and no error");
  host.acknowledge(walName);
  return walName;
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
      bucket.replace(new Map());
      world.truth.forget(bucket.key);
    }
  });
  return throwFirst(await stanzaCreate(repos, FACTS.control, ctx));
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

async function request({ ctx, host }: Stage, repos: readonly Repository[], walName: string): Promise<string> {
  const options = {
    walDirectory: host.walDirectory,
    walName,
    cluster: FACTS.cluster,
    ...SEGMENTS,
    acknowledge: ACKNOWLEDGE,
    graceMs: GRACE_MS,
    timeoutMs: MINUTES_10_MS,
  };
  const outcome = await archivePush(repos, host.missingWal, options, ctx);
  if (!outcome.accepted) throw outcome.error ?? fail("assert", "not accepted and no error");
  host.acknowledge(walName);
  return walName;
}

async function healAll({ ctx, host }: Stage, repos: readonly Repository[]): Promise<string> {
  const real = openLocalWal(host.walDirectory, FACTS.cluster, true, WAL_SIZE_BYTES);
  const local: LocalWal = {
    ...real,
    // A host's pg_wal may be empty here; PostgreSQL's never is.
    newest: async () => ({ timeline: 1, segment: "F".repeat(16) }),
    prepare: async (name) => {
      const wal = await real.prepare(name);
      // The weak one takes what has left pg_wal for stored.
      if (wal === null && isOff("record"))
        for (const { key } of repos) host.missingWal.remove(key, name, FACTS.cluster);
      return wal;
    },
  };
  const sendsPending = !host.isStandby;
  const results = await heal(repos, host.missingWal, FACTS.cluster, local, ctx, true, null, sendsPending);
  throwFirst(results);
  return results.map((result) => (result.ok ? result.value.copied : "")).join(" ");
}

function throwFirst(results: readonly { readonly ok: boolean; readonly error?: Error }[]): string {
  for (const { error } of results) if (error !== undefined) throw error;
  return "";
}

function poolOf(repos: readonly Repository[], ctx: Stage["ctx"]): ReturnType<typeof inlinePool> {
  return inlinePool(new Map(repos.map((repo) => [repo.key, repo])), ctx, 1);
}
