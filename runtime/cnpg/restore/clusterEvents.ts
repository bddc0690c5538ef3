/**
 * Events that report the result of a restore on the recovering Cluster, for people (`kubectl describe`) and drills.
 * CloudNativePG itself only reports that a job failed, and repeats it for many minutes.
 */
import type { Context } from "../../base/context";
import { type ErrorKind, ERRORS, toBackupError } from "../../base/errors";
import { at, type Json, type JsonObject, textAt } from "../kubernetes/clusterObject";
import type { Collection, KubernetesApi } from "../kubernetes/kubernetesApi";

const EVENTS: Collection = { api: "v1", plural: "events" };
const RESTORED = "PgbackstopRestored";
const FAILED = "PgbackstopRestoreFailed";
/** The API server takes 1024 characters. */
const MESSAGE_LENGTH_MAX = 1000;

export interface RestoreOutcome {
  readonly ok: boolean;
  readonly message: string;
}

/** Never throws: a restore is worth more than its Event. */
export async function createRestoreEvent(
  open: () => Promise<KubernetesApi>,
  cluster: JsonObject,
  outcome: RestoreOutcome,
  ctx: Context,
): Promise<void> {
  try {
    const api = await open();
    const name = textAt(cluster, "metadata", "name") ?? "";
    const now = new Date(ctx.clock.nowMs()).toISOString().replace(/\.\d+Z$/, "Z");
    await api.create(EVENTS, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name}.${Buffer.from(ctx.random.bytes(8)).toString("hex")}`, namespace: api.namespace },
      involvedObject: {
        apiVersion: textAt(cluster, "apiVersion") ?? "postgresql.cnpg.io/v1",
        kind: "Cluster",
        name,
        namespace: api.namespace,
        uid: textAt(cluster, "metadata", "uid") ?? "",
      },
      reason: outcome.ok ? RESTORED : FAILED,
      message: outcome.message.slice(0, MESSAGE_LENGTH_MAX),
      type: outcome.ok ? "Normal" : "Warning",
      source: { component: "pgbackstop" },
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    });
  } catch (error) {
    ctx.log.debug(`unable to create an event for the restore: ${toBackupError(error).message}`);
  }
}

/** The latest Event about a Cluster's restore; null if absent. */
export async function findRestoreOutcome(
  api: Pick<KubernetesApi, "list">,
  uid: string,
): Promise<RestoreOutcome | null> {
  const { items } = await api.list(EVENTS, null, readEvent, `involvedObject.uid=${uid}`);
  const own = items.filter(({ reason }) => reason === RESTORED || reason === FAILED);
  const restored = own.find(({ reason }) => reason === RESTORED);
  const event = restored ?? own.at(-1);
  return event === undefined ? null : { ok: event.reason === RESTORED, message: event.message };
}

function readEvent(event: Json): { readonly reason: string; readonly message: string } {
  return { reason: textAt(event, "reason") ?? "", message: textAt(event, "message") ?? "" };
}

/** Reads the program's own lines, `ERROR: [095]: …`; null if they have no code. */
export function kindOfText(text: string): ErrorKind | null {
  const code = Number(/\[(\d{3})\]/.exec(text)?.[1] ?? Number.NaN);
  const entry = Object.entries(ERRORS).find(([, number]) => number === code);
  return entry === undefined ? null : (entry[0] as ErrorKind);
}

/** Failed pods of a recovery job, and whether one succeeded; null without the job. */
export function jobState(
  job: JsonObject | null,
): { readonly isDone: boolean; readonly failedCount: number; readonly isActive: boolean } | null {
  if (job === null) return null;
  const count = (field: string): number => {
    const value = at(job, "status", field);
    return typeof value === "number" ? value : 0;
  };
  return { isDone: count("succeeded") > 0, failedCount: count("failed"), isActive: count("ready") > 0 };
}
