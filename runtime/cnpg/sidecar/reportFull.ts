/**
 * Reports to a ConfigMap whether every repository of a cluster has a full backup. An update waits for it: the machine
 * of the update may reach neither the repositories nor the pods.
 *
 * The report names the repositories' locations as the settings file does, so that no update takes the report of a
 * previous configuration for its own.
 */
import type { Context } from "../../base/context";
import { isError, toBackupError } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import type { CommandProcess } from "../../process/commandProcess";
import type { AcknowledgePolicy, FullBackupReport } from "../../config/types";
import { renderJson } from "../../format/repository/json";
import { decide } from "../../operations/archivePush/acknowledge";
import {
  type Destination,
  destinationLine,
  destinationsJson,
  listDestinations,
} from "../../operations/info/destinations";
import { checkBackup, type ClusterIdentity } from "../../operations/shared/identity";
import { repoErrorLine } from "../../operations/shared/results";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { textAt } from "../kubernetes/clusterObject";
import { type Collection, type KubernetesApi, openKubernetes } from "../kubernetes/kubernetesApi";
import { completeText, REPORT_KEYS } from "../names";

const CONFIG_MAPS: Collection = { api: "v1", plural: "configmaps" };
const LOOK_MS = 5_000;
const LOOK_MS_MAX = 60_000;

export interface FullBackupParts {
  open(): Promise<Pick<KubernetesApi, "find" | "patch">>;
  readonly wanted: FullBackupReport;
  readonly stanza: string;
  readonly repos: readonly Repository[];
  readonly acknowledge: AcknowledgePolicy;
  /** The cluster that this sidecar serves. */
  cluster(): Promise<ClusterIdentity>;
  /** One instance reports: the primary. */
  isStandby(): Promise<boolean>;
}

/** The parts of an instance's sidecar; null if no update waits. */
export function fullBackupParts(proc: CommandProcess, isStandby: () => Promise<boolean>): FullBackupParts | null {
  const { config, ctx } = proc;
  const { acknowledge, fullBackups } = config.settings;
  if (fullBackups === undefined) return null;
  const { kubernetes } = config;
  // Kubernetes sets the address in each container. It works without DNS.
  const { KUBERNETES_SERVICE_HOST: address = kubernetes.host, KUBERNETES_SERVICE_PORT: port = kubernetes.port } =
    proc.machine.environment;
  return {
    open: () => openKubernetes({ ...kubernetes, host: address, port: Number(port) }, ctx.signal),
    wanted: fullBackups,
    stanza: config.stanza ?? "",
    repos: proc.repositories(),
    acknowledge,
    cluster: async () => {
      const { pgVersion: version, systemId } = await proc.loadControl();
      return { version, systemId };
    },
    isStandby,
  };
}

/**
 * Reports until `signal` aborts; never throws. A complete report is looked at again: its ConfigMap may be a new one, or
 * a former primary may have written to it.
 */
export async function reportFullBackups(parts: FullBackupParts, ctx: Context, signal: AbortSignal): Promise<void> {
  let warned = "";
  for (let pauseMs = LOOK_MS; !signal.aborted; pauseMs = Math.min(2 * pauseMs, LOOK_MS_MAX)) {
    try {
      if (!(await parts.isStandby()) && (await report(parts, ctx))) pauseMs = LOOK_MS_MAX;
    } catch (error) {
      // An update makes the ConfigMap and the right to change it after the cluster.
      const { message } = toBackupError(error);
      if (message !== warned) ctx.log.info(`no report of full backups yet: ${message}`);
      warned = message;
    }
    await ctx.clock.sleep(pauseMs, signal).catch(() => {});
  }
}

/** True if the report says that all is complete. The repositories are read only until then. */
async function report(parts: FullBackupParts, ctx: Context): Promise<boolean> {
  const { acknowledge, open, repos, stanza, wanted } = parts;
  const { configMap, locations } = wanted;
  const api = await open();
  const complete = completeText(locations);
  const before = textAt((await api.find(CONFIG_MAPS, configMap)) ?? undefined, "data", REPORT_KEYS.state);
  if (before === complete) return true;
  const results = await listDestinations(repos);
  const state = (await foreignText(parts)) ?? missingText(results, acknowledge) ?? complete;
  if (state !== before) {
    const destinations = renderJson([destinationsJson(stanza, results)]);
    await api.patch(CONFIG_MAPS, configMap, {
      data: { [REPORT_KEYS.state]: state, [REPORT_KEYS.destinations]: destinations },
    });
    ctx.log.info(`reported to ConfigMap ${configMap}: ${state}`);
  }
  return state === complete;
}

/** Backups of another cluster restore nothing of this one, whatever the policy. Null if no stanza is another's. */
async function foreignText({ cluster, repos }: Pick<FullBackupParts, "cluster" | "repos">): Promise<string | null> {
  const own = await cluster();
  const results = await perRepo(repos, async (repo) => void checkBackup(repo, await loadBackupInfo(repo), own));
  const foreign = results.flatMap((result) =>
    !result.ok && isError(result.error, "backupMismatch") ? [repoErrorLine(result.repoIndex, result.error)] : [],
  );
  return foreign.length === 0 ? null : foreign.join("; ");
}

/** No policy excuses a repository without a full backup, because it restores nothing. Null if nothing is missing. */
function missingText(results: readonly RepoResult<Destination>[], acknowledge: AcknowledgePolicy): string | null {
  const lacking = results.flatMap((result) =>
    result.ok && result.value.newestFull === null ? [`repo${result.repoIndex}`] : [],
  );
  if (lacking.length > 0) {
    const verb = lacking.length === 1 ? "has" : "have";
    return `${lacking.join(" and ")} ${verb} no full backup: nothing can be restored from there; the log of container plugin-pgbackstop in the cluster's pods says why`;
  }
  const unreadable = results.filter(({ ok }) => !ok).map(destinationLine);
  return decide(acknowledge, results).accepted ? null : unreadable.join("; ");
}
