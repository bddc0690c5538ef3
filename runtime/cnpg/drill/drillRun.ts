/** Life of the throw-away Cluster: created, watched until it accepts connections, removed with all that it owns. */
import type { Context } from "../../base/context";
import { fail, isError, toBackupError } from "../../base/errors";
import { Secret } from "../../base/secret";
import type { DrillJournal } from "../../operations/drill/drillJournal";
import { Session } from "../../postgres/session";
import { SessionGroup } from "../../postgres/sessionGroup";
import { kindOfText, findRestoreOutcome, jobState, type RestoreOutcome } from "../restore/clusterEvents";
import { at, type JsonObject, listAt, textAt } from "../kubernetes/clusterObject";
import { readThrowAway } from "./drillCluster";
import {
  awaitGone,
  type Collection,
  CLUSTERS,
  type KubernetesApi,
  type ObjectRef,
  refOf,
  unlessRetryable,
} from "../kubernetes/kubernetesApi";

const JOBS: Collection = { api: "batch/v1", plural: "jobs" };
const SECRETS: Collection = { api: "v1", plural: "secrets" };

const POLL_MS = 500;
const CONNECT_MS = 3000;
/** No query of a drill takes longer than a day; the drill's own limit is shorter. */
const QUERY_TIMEOUT_MS = 86_400_000;
const PORT = 5432;
/** Limit for removing a Cluster: its pods have a minute, and volumes follow. */
const REMOVE_MS = 10 * 60_000;
/** The recovery's first job; CloudNativePG repeats its pod. */
const JOB_SUFFIX = "-1-full-recovery";
/** Pods may fail for other reasons once. If the restore itself reported a failure, one is enough. */
const FAILED_PODS_MAX = 2;

/**
 * Removes a previous drill's Cluster of this name.
 * @throws lockAcquire (50) if another Job's drill may still run; optionInvalidValue for a Cluster that is not a drill's
 */
export async function clearName(
  api: KubernetesApi,
  name: string,
  production: string,
  jobUid: string | undefined,
  ctx: Context,
): Promise<void> {
  const existing = await api.find(CLUSTERS, name);
  if (existing === null) return;
  const left = readThrowAway(existing);
  if (left === null || left.of !== production)
    throw fail(
      "optionInvalidValue",
      `Cluster '${name}' exists and does not belong to a drill of '${production}': it was not changed`,
      {
        hint: "Give the drill another name.",
      },
    );
  if (left.jobUid !== jobUid && ctx.clock.nowMs() < left.untilMs)
    throw fail(
      "lockAcquire",
      `another drill of this name may still run: Cluster '${name}' exists until ${new Date(left.untilMs).toISOString()}`,
      {
        hint: `If its pod is gone, run kubectl delete cluster ${name}.`,
      },
    );
  ctx.log.info(`removing leftovers of a killed drill: Cluster ${name}`);
  await removeCluster(api, { name, uid: left.uid }, REMOVE_MS, ctx);
}

export async function makeCluster(api: KubernetesApi, object: JsonObject): Promise<ObjectRef> {
  return refOf(await api.create(CLUSTERS, object));
}

/** Removes pods and volumes first, the Cluster last. @throws pathRemove if it still exists at the end */
export async function removeCluster(api: KubernetesApi, made: ObjectRef, waitMs: number, ctx: Context): Promise<void> {
  await api.remove(CLUSTERS, made, "Foreground");
  await awaitGone(api, CLUSTERS, made, { what: "Cluster", waitMs, pollMs: POLL_MS }, ctx);
}

/** State of the recovery; null if the API did not answer. */
interface Seen {
  readonly job: ReturnType<typeof jobState>;
  readonly outcome: RestoreOutcome | null;
}

/**
 * Waits until the recovery ends, with its phases in the journal, and then for the first connection.
 * @throws the restore's own error; runtime if PostgreSQL did not recover
 */
export async function awaitConnection(
  api: KubernetesApi,
  made: ObjectRef,
  journal: DrillJournal,
  ctx: Context,
): Promise<ThrowAway> {
  let wasThere = false;
  let outcome: RestoreOutcome | null = null;
  for (;;) {
    const seen: Seen | null = await look(api, made, outcome).catch((error: unknown) => unlessRetryable(error, null));
    outcome = seen?.outcome ?? outcome;
    const job = seen?.job ?? null;
    if (journal.phase === "create" && (job?.isActive === true || outcome !== null)) journal.next("restore");
    if (journal.phase === "restore" && outcome?.ok === true) journal.next("recovery");
    if (job !== null && !job.isDone) judgeJob(job.failedCount, outcome, made);
    // The operator removes a job that succeeded.
    if (job?.isDone === true || (seen !== null && job === null && wasThere)) break;
    wasThere ||= job !== null;
    await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
  journal.next("start");
  return connectFirst(api, made, ctx);
}

async function look(api: KubernetesApi, { name, uid }: ObjectRef, known: RestoreOutcome | null): Promise<Seen> {
  const job = jobState(await api.find(JOBS, `${name}${JOB_SUFFIX}`));
  const isUndecided = job !== null && known?.ok !== true;
  return { job, outcome: isUndecided ? await findRestoreOutcome(api, uid) : known };
}

function judgeJob(failedCount: number, outcome: RestoreOutcome | null, { name }: ObjectRef): void {
  if (failedCount > 0 && outcome?.ok === false) {
    throw fail(kindOfText(outcome.message) ?? "command", outcome.message);
  }
  if (failedCount >= FAILED_PODS_MAX)
    throw fail(
      "runtime",
      `PostgreSQL could not recover: ${failedCount} pods of the job '${name}${JOB_SUFFIX}' have failed`,
      {
        hint: "WAL before the target may be missing or damaged. pgbackstop verify shows the gap.",
      },
    );
}

async function connectFirst(api: KubernetesApi, made: ObjectRef, ctx: Context): Promise<ThrowAway> {
  for (;;) {
    try {
      const [login, authority] = [
        await api.find(SECRETS, `${made.name}-superuser`),
        await api.find(SECRETS, `${made.name}-ca`),
      ];
      const password = secretText(login, "password");
      const caPem = secretText(authority, "ca.crt");
      if (password !== undefined && caPem !== undefined) {
        const host = `${made.name}-rw.${api.namespace}.svc`;
        const server = new ThrowAway({ host, password: new Secret(password), caPem }, ctx.signal);
        const session = await server.connect();
        await session.close();
        return server;
      }
    } catch (error) {
      if (!isError(error, "dbConnect", "dbQuery")) unlessRetryable(error, null);
      ctx.log.debug(`drill: ${toBackupError(error).message}`);
    }
    await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
}

/** A new instance may restart once to apply its settings: checks come after that. */
export async function awaitReady(api: KubernetesApi, { name }: ObjectRef, ctx: Context): Promise<void> {
  for (;;) {
    const cluster = await api.find(CLUSTERS, name).catch((error: unknown) => unlessRetryable(error, null));
    const ready = listAt(cluster ?? undefined, "status", "conditions").find(
      (condition) => textAt(condition, "type") === "Ready",
    );
    if (textAt(ready, "status") === "True") return;
    await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
}

/** The operator's status of a Cluster, for errors. */
export async function stateOf(api: KubernetesApi, { name }: ObjectRef): Promise<string> {
  const cluster = await api.find(CLUSTERS, name).catch(() => null);
  const status = at(cluster ?? undefined, "status");
  return [textAt(status, "phase"), textAt(status, "phaseReason")].filter((text) => text !== undefined).join(": ");
}

interface ServerLogin {
  readonly host: string;
  readonly password: Secret;
  readonly caPem: string;
}

/** The recovered server; cancels its queries when the drill has to end. */
export class ThrowAway {
  readonly #login: ServerLogin;
  readonly #sessions = new SessionGroup();
  readonly #signal: AbortSignal;

  /** @param signal ends its sessions, and their running statements */
  constructor(login: ServerLogin, signal: AbortSignal) {
    this.#login = login;
    this.#signal = signal;
  }

  connect(database = "postgres"): Promise<Session> {
    const { caPem, host, password } = this.#login;
    const session = Session.open({
      host,
      port: PORT,
      user: "postgres",
      database,
      queryTimeoutMs: QUERY_TIMEOUT_MS,
      connectTimeoutMs: CONNECT_MS,
      applicationName: "pgbackstop drill",
      password,
      tls: { mode: "verify-full", ca: caPem },
    });
    return this.#sessions.add(session, this.#signal);
  }

  close(): Promise<void> {
    return this.#sessions.close();
  }
}

function secretText(secret: JsonObject | null, key: string): string | undefined {
  const value = textAt(secret ?? undefined, "data", key);
  return value === undefined ? undefined : Buffer.from(value, "base64").toString("utf8");
}
