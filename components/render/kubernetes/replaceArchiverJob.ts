/**
 * The Job with which an attachment takes over from the operator's own archiver, as an account that may change this
 * Cluster and nothing else. It comes before the attachment, which then owns what the Job has set. Pure.
 */
import type { EngineContext } from "../engines/engine";
import { programContainer, PROGRAM_SECURITY, programVolumes } from "./container";
import { renderAccount } from "./cronJob";
import { MANAGED_BY, type RenderedObject } from "./objects";
import { placed } from "./podPlacement";

/** Of the Job, among the objects of its cluster. */
export const REPLACE_ARCHIVER_ROLE = "replace-archiver";
const CPU = "50m";
const MEMORY = "192Mi";
/** For an image that is pulled slowly; the program itself takes a second. */
const DEADLINE_SECONDS = 15 * 60;

/** @param spec of the attachment; empty unless the definition replaces an archiver */
export function renderReplaceArchiver(context: EngineContext, spec: object): RenderedObject[] {
  const { database, definition, runtime } = context;
  if (!definition.replacesBarmanObjectStore) return [];
  const { cluster, namespace } = database;
  const name = `${cluster}-archiver`;
  const labels = { ...MANAGED_BY, "app.kubernetes.io/name": name };
  const rules = [
    {
      apiGroups: ["postgresql.cnpg.io"],
      resources: ["clusters"],
      resourceNames: [cluster],
      verbs: ["get", "patch"],
    },
  ];
  const program = programContainer({
    name: "archiver",
    ...runtime,
    args: [
      "--kubernetes-host=$(KUBERNETES_SERVICE_HOST)",
      "--kubernetes-port=$(KUBERNETES_SERVICE_PORT)",
      `--archiver-cluster=${cluster}`,
      `--archiver-spec=${JSON.stringify(spec)}`,
      "--log-level-console=info",
      "--log-level-file=off",
      "cnpg-replace-archiver",
    ],
    cpu: CPU,
    memory: MEMORY,
  });
  const podSpec = {
    restartPolicy: "Never",
    serviceAccountName: name,
    automountServiceAccountToken: true,
    enableServiceLinks: false,
    securityContext: PROGRAM_SECURITY,
    // The provider shows the end of the log with the error.
    containers: [{ ...program, terminationMessagePolicy: "FallbackToLogsOnError" }],
    volumes: programVolumes(runtime),
  };
  // A failed one runs again with the next update.
  const annotations = { "pulumi.com/replaceUnready": "true" };
  return [
    ...renderAccount(context, REPLACE_ARCHIVER_ROLE, name, rules),
    {
      role: REPLACE_ARCHIVER_ROLE,
      manifest: {
        apiVersion: "batch/v1",
        kind: "Job",
        metadata: { name, namespace, labels, annotations },
        spec: {
          backoffLimit: 0,
          activeDeadlineSeconds: DEADLINE_SECONDS,
          template: placed({ metadata: { labels }, spec: podSpec }, definition.podPlacement),
        },
      },
    },
  ];
}
