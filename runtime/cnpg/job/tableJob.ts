/**
 * The Job in which people run `extract-table` for a Cluster, with a volume of its own ({@link clusterPod}). Pure. Its
 * pod waits for `kubectl exec`, as the sidecar does.
 */
import { fail } from "../../base/errors";
import { type JsonObject, textAt } from "../kubernetes/clusterObject";
import { PATHS } from "../names";
import { mounted } from "../operator/parameterVolumes";
import { clusterPod, imageOf, LAUNCHER, workedCluster, workLabels } from "./clusterPod";

export interface TableJobRequest {
  /** PostgreSQL's image; undefined is the Cluster's. */
  readonly image: string | undefined;
  /** Size of the volume; undefined is that of the Cluster's. */
  readonly size: string | undefined;
  /** Node's image, if the Cluster names none. */
  readonly nodeImage: string | undefined;
}

/** A forgotten pod keeps a volume. */
const HOURS_MAX = 24;
/** As the first process, the shell also takes over what killed programs leave. */
const WAIT = `trap 'exit 0' TERM INT
while :; do sleep 3600 & wait "$!"; done`;

/** @throws format for another object; optionRequired; the errors of the plugin's parameters */
export function tableJob(object: JsonObject, { image, nodeImage, size }: TableJobRequest): JsonObject {
  if (textAt(object, "kind") !== "Cluster" || textAt(object, "metadata", "name") === undefined)
    throw fail("format", "standard input is not a Cluster of CloudNativePG", {
      hint: "kubectl get cluster NAME -o json | kubectl exec -i … cnpg-job",
    });
  const cluster = workedCluster(object, nodeImage);
  const postgres = image ?? imageOf(object);
  if (postgres === undefined) throw required("job-image", "the Cluster has no image yet");
  const namespace = textAt(object, "metadata", "namespace");
  const name = `${cluster.name}-table`;
  const labels = workLabels(name);
  const spec = clusterPod(cluster, {
    name: "table",
    image: postgres,
    volumes: [mounted("scratch", scratchVolume(object, size), PATHS.scratch, false)],
    options: [`--spool-path=${PATHS.scratch}/spool`, `--drill-path=${PATHS.scratch}/table`],
    script: WAIT,
    args: [],
    fields: { readinessProbe: { exec: { command: ["test", "-x", LAUNCHER] }, periodSeconds: 1, failureThreshold: 60 } },
    graceSeconds: 5,
  });
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, ...(namespace === undefined ? {} : { namespace }), labels },
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: HOURS_MAX * 3600,
      ttlSecondsAfterFinished: 3600,
      template: { metadata: { labels }, spec },
    },
  };
}

/** It comes and goes with the pod. @throws optionRequired */
function scratchVolume(cluster: JsonObject, asked: string | undefined): JsonObject {
  const size = asked ?? textAt(cluster, "spec", "storage", "size");
  if (size === undefined) throw required("job-size", "the Cluster does not name the size of its volume");
  const storageClass = textAt(cluster, "spec", "storage", "storageClass");
  return {
    ephemeral: {
      volumeClaimTemplate: {
        spec: {
          accessModes: ["ReadWriteOnce"],
          ...(storageClass === undefined ? {} : { storageClassName: storageClass }),
          resources: { requests: { storage: size } },
        },
      },
    },
  };
}

function required(option: string, fact: string): Error {
  return fail("optionRequired", `cnpg-job command requires option: ${option}`, { hint: `${fact}.` });
}
