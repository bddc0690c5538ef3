/**
 * `cnpg-dump`: a logical dump of a Cluster. It makes a pod of the Cluster as it is now, in which `dump` runs with the
 * Cluster's own `pg_dump`, watches it until it has ended, repeats its log and removes it.
 *
 * The pod belongs to the Job that runs this command: it goes with the Job, whatever happens to this process. A second
 * dump cannot start, because the pod's name is taken; and if it could, the repositories' leases refuse it.
 */
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import type { Command, CommandProcess } from "../../process/commandProcess";
import { at, type JsonObject, listAt, textAt } from "../kubernetes/clusterObject";
import { notifyOfJob } from "../kubernetes/jobNotice";
import {
  awaitGone,
  CLUSTERS,
  type KubernetesApi,
  type ObjectRef,
  openKubernetes,
  PODS,
  refOf,
  unlessRetryable,
} from "../kubernetes/kubernetesApi";
import { dumpPodName } from "../names";
import { DUMP_CONTAINER, DUMP_SECONDS_MAX, dumpPod, podStateOf } from "./dumpPod";

const POLL_MS = 2000;
/** Images are pulled, and a node may have to be made first. */
const START_MS = 15 * 60_000;
/** Time for a pod to end after it was deleted, longer than its grace. */
const REMOVE_MS = 2 * 60_000;
/** Pods that Kubernetes took away are replaced this often. */
const PODS_MAX = 3;
/** Larger ones are signals: the Job would start another pod for this one. */
const EXIT_CODE_MAX = 125;

export const clusterDumpCommand: Command = async (proc) => {
  const { cluster } = proc.config.clusterDrill;
  if (cluster === undefined) throw fail("optionRequired", "cnpg-dump command requires option: drill-cluster");
  return notifyOfJob(proc, cluster, proc.ctx, async () => ({ code: await dumpCluster(proc, cluster) }));
};

async function dumpCluster(proc: CommandProcess, cluster: string): Promise<number> {
  const { config, ctx } = proc;
  // Its own signal: the pod is removed even after the signal to end.
  const api = await openKubernetes(config.kubernetes, new AbortController().signal);
  const { job, jobUid } = config.clusterDrill;
  const owner = job === undefined || jobUid === undefined ? null : { name: job, uid: jobUid };
  const { repoIndexes } = config.backup;
  const args = [
    ...(repoIndexes === undefined ? [] : [`--repos=${repoIndexes.join()}`]),
    ...config.databases.map((name) => `--database=${name}`),
  ];
  await clearName(api, cluster, owner, ctx);
  for (let count = 1; ; count++) {
    const production = await api.find(CLUSTERS, cluster);
    if (production === null)
      throw fail("optionInvalidValue", `there is no Cluster '${cluster}' in namespace '${api.namespace}'`);
    const object = dumpPod(production, { job: owner, nodeImage: config.plugin.image, args });
    const code = await runPod(api, object, proc);
    if (code !== null) return code;
    if (count === PODS_MAX) throw fail("runtime", `Kubernetes took ${PODS_MAX} pods away before the dump was complete`);
  }
}

/**
 * Removes what a killed run left.
 * @throws lockAcquire (50) if another Job's dump may still run; optionInvalidValue for a pod that is no dump's
 */
async function clearName(api: KubernetesApi, cluster: string, owner: ObjectRef | null, ctx: Context): Promise<void> {
  const name = dumpPodName(cluster);
  const left = await api.find(PODS, name);
  if (left === null) return;
  if (textAt(at(left, "metadata", "labels"), "app.kubernetes.io/name") !== name)
    throw fail("optionInvalidValue", `pod '${name}' exists and is not of a dump: it was not changed`);
  const [leftOwner] = listAt(left, "metadata", "ownerReferences");
  const isOwn = owner !== null && textAt(leftOwner, "uid") === owner.uid;
  const untilMs = Date.parse(textAt(left, "metadata", "creationTimestamp") ?? "") + DUMP_SECONDS_MAX * 1000;
  if (!isOwn && podStateOf(left).kind === "runs" && ctx.clock.nowMs() < untilMs)
    throw fail("lockAcquire", `another dump of Cluster '${cluster}' runs in pod '${name}'`, {
      hint: `If no Job waits for it, run kubectl delete pod ${name}.`,
    });
  ctx.log.info(`removing the pod of a killed dump: ${name}`);
  await removePod(api, refOf(left), ctx, new AbortController().signal);
}

/** @returns the exit code of `dump`; null if Kubernetes took the pod away */
async function runPod(api: KubernetesApi, object: JsonObject, proc: CommandProcess): Promise<number | null> {
  const { ctx } = proc;
  const made = refOf(await api.create(PODS, object));
  const [image] = listAt(object, "spec", "containers").map((each) => textAt(each, "image"));
  ctx.log.info(`dumping in pod ${made.name} with image ${image}`);
  try {
    const end = await awaitEnd(api, made, ctx);
    if (end.kind === "disrupted") {
      ctx.log.warn(`pod ${made.name} was taken away${end.why === "" ? "" : ` (${end.why})`}: the dump starts over`);
      return null;
    }
    await repeatLog(api, made, proc);
    if (end.code > 0)
      ctx.log.warn(`dump in pod ${made.name} ended with ${end.code}${end.why === "" ? "" : ` (${end.why})`}`);
    return Math.min(end.code, EXIT_CODE_MAX);
  } finally {
    // The signal to end leaves little time: the pod removes its own remains.
    await removePod(api, made, ctx, ctx.signal).catch((error: unknown) =>
      ctx.log.warn(`pod ${made.name} stays until the next dump: ${toBackupError(error).message}`),
    );
  }
}

type End = Exclude<ReturnType<typeof podStateOf>, { readonly kind: "runs" }>;

/** @throws runtime if it does not start */
async function awaitEnd(api: KubernetesApi, { name, uid }: ObjectRef, ctx: Context): Promise<End> {
  const startUntilMs = ctx.clock.monotonicMs() + START_MS;
  for (;;) {
    const pod = await api.find(PODS, name).catch((error: unknown) => unlessRetryable(error, undefined));
    if (pod !== undefined) {
      const state = podStateOf(pod !== null && textAt(pod, "metadata", "uid") === uid ? pod : null);
      if (state.kind !== "runs") return state;
      if (!state.started && ctx.clock.monotonicMs() > startUntilMs)
        throw fail("runtime", `pod ${name} has not started in ${START_MS / 60_000} minutes: ${state.why}`);
    }
    await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
}

async function repeatLog(api: KubernetesApi, { name }: ObjectRef, proc: CommandProcess): Promise<void> {
  try {
    proc.print(await api.log(name, DUMP_CONTAINER));
  } catch (error) {
    proc.ctx.log.warn(`no log of pod ${name}: ${toBackupError(error).message}`);
  }
}

/** Waits until it has ended, unless `signal` is aborted: a name is free only then. */
async function removePod(api: KubernetesApi, pod: ObjectRef, { clock }: Context, signal: AbortSignal): Promise<void> {
  await api.remove(PODS, pod);
  if (signal.aborted) return;
  const limits = { what: "pod", waitMs: REMOVE_MS, pollMs: POLL_MS };
  await awaitGone(api, PODS, pod, limits, { clock, signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
