/**
 * `cnpg-replace-archiver`: takes over from the operator's own archiver (`spec.backup.barmanObjectStore`). One request
 * removes that archiver and sets ours: a Cluster without any reports each segment as archived, and PostgreSQL removes
 * it. Server-side apply cannot remove what another manager has set, so a Job does it for an update.
 */
import { isFields } from "../../base/declaredTypes";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { Command } from "../../process/commandProcess";
import { at, type JsonObject, listAt, parseObject, textAt } from "../kubernetes/clusterObject";
import { CLUSTERS, type KubernetesApi, openKubernetes } from "../kubernetes/kubernetesApi";

/** Manager of the fields that the Job sets. */
const MANAGER = "pgbackstop-archiver";
/** The operator changes the Cluster's status all the time, each time with another version of the object. */
const ATTEMPTS = 20;
const PAUSE_MS = 500;

export const replaceArchiverCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const { cluster, spec } = config.replaceArchiver;
  if (cluster === undefined) throw missing("archiver-cluster");
  if (spec === undefined) throw missing("archiver-spec");
  const api = await openKubernetes(config.kubernetes, ctx.signal);
  await replaceArchiver(api, { cluster, spec: parseObject(Buffer.from(spec), "archiver-spec") }, ctx);
  return 0;
};

function missing(option: string): Error {
  return fail("optionRequired", `cnpg-replace-archiver command requires option: ${option}`);
}

export interface ReplacedArchiver {
  readonly cluster: string;
  /** `plugins` and `backup` of the Cluster's `spec`. */
  readonly spec: JsonObject;
}

/**
 * Changes the Cluster once, then gives its fields up, so that the attachment alone owns them: it could otherwise
 * neither change nor remove them. Does only what is left to do.
 * @throws pathMissing without the Cluster; service if it has other plugins
 */
export async function replaceArchiver(
  api: Pick<KubernetesApi, "find" | "patch">,
  { cluster, spec }: ReplacedArchiver,
  ctx: Context,
): Promise<void> {
  const removed = { barmanObjectStore: null, retentionPolicy: null };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const present = await api.find(CLUSTERS, cluster);
    if (present === null) throw fail("pathMissing", `there is no Cluster ${cluster} in this namespace`);
    const resourceVersion = textAt(present, "metadata", "resourceVersion") ?? "";
    const change = (metadata: JsonObject, more: JsonObject): Promise<boolean> =>
      api.patch(CLUSTERS, cluster, { metadata: { ...metadata, resourceVersion }, ...more }, MANAGER);
    if (isFields(at(present, "spec", "backup", "barmanObjectStore"))) {
      requireNoPlugin(present, cluster);
      warnBehind(present, cluster, ctx);
      if (await change({}, { spec: { ...spec, backup: { ...given(at(spec, "backup")), ...removed } } }))
        ctx.log.info(`Cluster ${cluster} has its new archiver instead of barmanObjectStore`);
    } else {
      const managers = listAt(present, "metadata", "managedFields");
      const others = managers.filter((entry) => textAt(entry, "manager") !== MANAGER);
      if (others.length === managers.length || (await change({ managedFields: others }, {}))) return;
    }
    await ctx.clock.sleep(PAUSE_MS, ctx.signal);
  }
  throw fail("service", `Cluster ${cluster} changed ${ATTEMPTS} times while its archiver was to be replaced`, {
    hint: "Run the update again.",
  });
}

function given(value: ReturnType<typeof at>): JsonObject {
  return isFields(value) ? value : {};
}

/** The list of plugins is one field: ours would remove the others. */
function requireNoPlugin(present: JsonObject, cluster: string): void {
  const names = listAt(present, "spec", "plugins").map((plugin) => textAt(plugin, "name") ?? "");
  if (names.length === 0) return;
  throw fail("service", `Cluster ${cluster} has other plugins: ${names.join(", ")}`, {
    hint: "Change the Cluster by hand, with all of its plugins (docs/kubernetes/engines.md, From barmanObjectStore).",
  });
}

function warnBehind(present: JsonObject, cluster: string, ctx: Context): void {
  const conditions = listAt(present, "status", "conditions");
  const archiving = conditions.find((condition) => textAt(condition, "type") === "ContinuousArchiving");
  if (textAt(archiving, "status") === "True") return;
  const reason = textAt(archiving, "message") ?? "it is not reported";
  ctx.log.warn(
    `ContinuousArchiving of Cluster ${cluster} is not True (${reason}): waiting WAL goes to the new archive alone`,
  );
}
