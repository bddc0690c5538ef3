/**
 * The Job with which an attachment takes over from the operator's own archiver, as an account that may change this
 * Cluster and nothing else. It comes before the attachment, which then owns what the Job has set. Pure.
 */
import { API_SERVER_OPTIONS } from "../../../runtime/cnpg/names";
import type { EngineContext } from "../engines/engine";
import { programContainer, PROGRAM_SECURITY, programVolumes } from "./container";
import { fields, list, merged } from "../../plan/model/deferred";
import { patchRule, renderAccount, texts } from "./cronJob";
import { metadataOf, object, type RenderedObject } from "./objects";
import { placed } from "./podPlacement";

/** Role of the Job, among the objects of its cluster. */
export const REPLACE_ARCHIVER_ROLE = "replace-archiver";
const CPU = "50m";
const MEMORY = "192Mi";
/** For an image that is pulled slowly; the program itself takes a second. */
const DEADLINE_SECONDS = 15 * 60;

/** @param spec of the attachment; empty unless the definition replaces an archiver */
export function renderReplaceArchiver(context: EngineContext, spec: () => object): RenderedObject[] {
  const { database, definition, runtime } = context;
  if (!definition.replacesBarmanObjectStore) return [];
  const name = (): string => `${database.cluster}-archiver`;
  const metadata = metadataOf(database, name, name);
  const rules = (): object[] => [patchRule("postgresql.cnpg.io", "clusters", () => database.cluster)];
  const args = (): readonly string[] =>
    list(
      ...texts(...API_SERVER_OPTIONS),
      () => `--archiver-cluster=${database.cluster}`,
      () => `--archiver-spec=${JSON.stringify(spec())}`,
      ...texts("--log-level-console=info", "--log-level-file=off", "cnpg-replace-archiver"),
    );
  const container = merged({ name: "archiver", cpu: CPU, memory: MEMORY }, runtime, fields({ args }));
  const podSpec = fields({
    restartPolicy: () => "Never",
    serviceAccountName: name,
    automountServiceAccountToken: () => true,
    enableServiceLinks: () => false,
    securityContext: () => PROGRAM_SECURITY,
    // The provider shows the end of the log with the error.
    containers: () => [merged(programContainer(container), { terminationMessagePolicy: "FallbackToLogsOnError" })],
    volumes: () => programVolumes(runtime),
  });
  // A failed one runs again with the next update.
  const annotations = { "pulumi.com/replaceUnready": "true" };
  const labels = (): object => metadata.labels ?? {};
  return [
    ...renderAccount(context, REPLACE_ARCHIVER_ROLE, name, rules),
    object(REPLACE_ARCHIVER_ROLE, ["batch/v1", "Job"], merged(metadata, { annotations }), {
      spec: () => ({
        backoffLimit: 0,
        activeDeadlineSeconds: DEADLINE_SECONDS,
        template: placed({ metadata: fields({ labels }), spec: podSpec }, definition.podPlacement),
      }),
    }),
  ];
}
