/**
 * The pod of one logical dump of a Cluster ({@link clusterPod}), and how it ended. Pure. A bare pod, without a Job:
 * who makes it watches it, and so needs rights to one name only.
 */
import { fail } from "../../base/errors";
import { at, type JsonObject, listAt, textAt } from "../kubernetes/clusterObject";
import type { ObjectRef } from "../kubernetes/kubernetesApi";
import { dumpPodName, PATHS } from "../names";
import { clusterPod, imageOf, LAUNCHER, workedCluster, workLabels } from "./clusterPod";

export interface DumpPodRequest {
  /** Its owner: Kubernetes removes the pod with it. */
  readonly job: ObjectRef | null;
  /** Node's image, if the Cluster names none. */
  readonly nodeImage: string | undefined;
  /** Arguments of `dump`. */
  readonly args: readonly string[];
}

export const DUMP_CONTAINER = "dump";
/** As long as a dump of a host may run. */
export const DUMP_SECONDS_MAX = 24 * 3600;
/** It removes what it has written, and gives up its leases. */
const GRACE_SECONDS = 30;

/** @throws optionInvalidValue without this plugin or an image; the errors of the plugin's parameters */
export function dumpPod(object: JsonObject, { args, job, nodeImage }: DumpPodRequest): JsonObject {
  const cluster = workedCluster(object, nodeImage);
  const image = imageOf(object);
  if (image === undefined) throw fail("optionInvalidValue", `Cluster ${cluster.name} has no image yet`);
  const name = dumpPodName(cluster.name);
  const owner = { apiVersion: "batch/v1", kind: "Job", controller: false, blockOwnerDeletion: false };
  const spec = clusterPod(cluster, {
    name: DUMP_CONTAINER,
    image,
    volumes: [],
    options: [`--spool-path=${PATHS.run}/spool`],
    script: `exec ${LAUNCHER} "$@"`,
    args: ["dump", ...args],
    fields: {},
    graceSeconds: GRACE_SECONDS,
  });
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      labels: workLabels(name),
      ...(job === null ? {} : { ownerReferences: [{ ...owner, name: job.name, uid: job.uid }] }),
    },
    spec: { ...spec, activeDeadlineSeconds: DUMP_SECONDS_MAX },
  };
}

export type PodState =
  /** Its container runs, or has not yet started for this reason. */
  | { readonly kind: "runs"; readonly started: boolean; readonly why: string }
  /** Kubernetes took it away, for instance to empty its node. */
  | { readonly kind: "disrupted"; readonly why: string }
  | { readonly kind: "ended"; readonly code: number; readonly why: string };

/** @param pod null when it is gone, or another one has its name */
export function podStateOf(pod: JsonObject | null): PodState {
  if (pod === null) return { kind: "disrupted", why: "somebody removed it" };
  const status = at(pod, "status");
  const phase = textAt(status, "phase");
  if (phase === "Succeeded") return { kind: "ended", code: 0, why: "" };
  const conditions = listAt(status, "conditions");
  const disruption = conditions.find((each) => textAt(each, "type") === "DisruptionTarget");
  if (phase === "Failed" && textAt(disruption, "status") === "True")
    return { kind: "disrupted", why: textAt(disruption, "reason") ?? "" };
  // Its processes have ended because of that, and soon its object is gone too.
  if (phase === "Failed" && at(pod, "metadata", "deletionTimestamp") !== undefined) return podStateOf(null);
  const containers = [...listAt(status, "initContainerStatuses"), ...listAt(status, "containerStatuses")];
  if (phase === "Failed") {
    const ends = containers.map((each) => at(each, "state", "terminated"));
    const failed = ends.find((end) => end !== undefined && at(end, "exitCode") !== 0);
    // A pod that ran too long may have none.
    const code = at(failed, "exitCode");
    const why = [textAt(status, "reason"), textAt(failed, "reason"), textAt(status, "message")];
    return {
      kind: "ended",
      code: typeof code === "number" ? code : 1,
      why: why.filter((text) => text !== undefined).join(", "),
    };
  }
  const waiting = containers.map((each) => at(each, "state", "waiting")).find((each) => each !== undefined);
  const unscheduled = conditions.find((each) => textAt(each, "type") === "PodScheduled");
  const why = [waiting, unscheduled].map((each) => [textAt(each, "reason"), textAt(each, "message")]);
  return {
    kind: "runs",
    started: phase === "Running",
    why: why.map((texts) => texts.filter((text) => text !== undefined).join(": ")).find((text) => text !== "") ?? "",
  };
}
