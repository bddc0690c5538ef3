/** The Job that holds a backup of a cluster: the verb `hold` with the cluster's repositories. Pure. */
import { PATHS } from "../../../runtime/cnpg/names";
import { objectName } from "../../plan/schedule/declaredDrills";
import { fields, merged, without } from "../../plan/model/deferred";
import type { EngineContext } from "../engines/engine";
import { type JobRun, renderJobSpec, texts } from "./cronJob";
import { repositoryParts } from "./drillCronJob";

export const HOLD_SECONDS = 15 * 60;
/** Within some 70 seconds: a backup that ends in this time has the lease no more. */
const REPEATS = 3;
const CPU = "50m";
const MEMORY = "192Mi";

/** Spec of the Job without the options of the hold. */
export function holdJob(context: EngineContext): object {
  const parts = repositoryParts(context);
  const run = fields<JobRun>({
    name: () => objectName(`${context.database.cluster}-hold`),
    deadlineSeconds: () => HOLD_SECONDS,
    container: () =>
      merged({ name: "hold", cpu: CPU, memory: MEMORY }, fields({ volumeMounts: () => parts.volumeMounts })),
    options: () => [...parts.options, ...texts(`--lock-path=${PATHS.run}/lock`)],
    verb: () => "hold",
    env: () => [{ name: "PGBACKSTOP_SECRETS", value: PATHS.secrets }],
    volumes: () => parts.volumes,
    // Pulumi's provider knows a failed Job by this limit, and awaits any other until its timeout.
    job: () => ({ backoffLimit: REPEATS }),
  });
  // The update that runs it shows its failure.
  const silent = fields({ definition: () => without(context.definition, "notifySecret") });
  return renderJobSpec(merged(context, silent), run);
}

/** The part of the spec that gets the options. */
export interface HoldJobSpec {
  readonly template: { readonly spec: { readonly containers: readonly { readonly args: readonly string[] }[] } };
}

export function withOptions(spec: HoldJobSpec, options: readonly string[]): HoldJobSpec {
  const { template } = spec;
  // The provider shows the end of the log with the error.
  const shown = { terminationMessagePolicy: "FallbackToLogsOnError" };
  const containers = template.spec.containers.map((each) => ({ ...each, ...shown, args: [...each.args, ...options] }));
  return { ...spec, template: { ...template, spec: { ...template.spec, containers } } };
}
