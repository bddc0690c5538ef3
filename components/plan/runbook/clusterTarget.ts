/** One CloudNativePG cluster, and the parts of its commands. Pure. */
import { engineOf } from "../engines/engines";
import type { DatabaseNode, Topology } from "../topology/topology";
import { given } from "../../../runtime/base/given";
import { type Markdown, markdown } from "./markdown";

export interface ClusterTarget {
  readonly namespace: string;
  readonly cluster: string;
  readonly stanza: string;
  readonly engine: string;
  /** Only the runtime has a command line in pods. */
  readonly isOurs: boolean;
  readonly instances: number;
  /** Made by others: the program declares its backups only. */
  readonly isAttached: boolean;
  /** Cron expression of the first schedule of full backups. */
  readonly fullCron: string | undefined;
  readonly hasDumps: boolean;
}

export function targetOf(database: DatabaseNode, topology: Pick<Topology, "dumps" | "schedules">): ClusterTarget {
  const { attached = false, cluster = "", engine, instances = 1, namespace = "", stanza } = database;
  return {
    cluster,
    engine,
    isOurs: engineOf(engine).own,
    instances,
    isAttached: attached,
    namespace,
    stanza,
    fullCron: topology.schedules.find(({ type }) => type === "full")?.cron,
    hasDumps: topology.dumps !== undefined,
  };
}

/** `orders-restored`, for `orders`. */
export function restoredTarget(target: ClusterTarget): ClusterTarget {
  return { ...target, cluster: `${target.cluster}-restored` };
}

/** In the primary: the Service leads to its pod. */
export function inPostgres({ cluster, namespace }: ClusterTarget, args: string, flags = ""): string {
  return `kubectl exec ${flags}-n ${namespace} svc/${cluster}-rw -c postgres -- ${args}`;
}

export function verb({ cluster, namespace }: ClusterTarget, args: string, flags = ""): string {
  return `kubectl exec ${flags}-n ${namespace} svc/${cluster}-rw -c plugin-pgbackstop -- /pgbackstop/run/pgbackstop ${args}`;
}

export function waitReady({ cluster, namespace }: ClusterTarget): string {
  return `kubectl wait -n ${namespace} --for=condition=Ready --timeout=60m cluster/${cluster}`;
}

/** The state in Kubernetes and in the repositories. */
export function look(target: ClusterTarget): Markdown {
  const { cluster, isOurs, namespace } = target;
  const more = isOurs ? ", backups, the recovery window of each repository, and what needs attention" : " and backups";
  return markdown`
    1. See the state: instances${more}.
           kubectl get -n ${namespace} cluster,backup,pod -l cnpg.io/cluster=${cluster}
           ${isOurs && verb(target, "status")}
  `;
}

/** An immediate full backup, as a Backup object. */
export function backupNow({ cluster, engine, namespace }: ClusterTarget): string {
  const { plugin } = engineOf(engine);
  const { fullBackup: parameters, name } = plugin ?? { name: "" };
  const method =
    plugin === null
      ? { method: "volumeSnapshot" }
      : { method: "plugin", pluginConfiguration: { name, ...given({ parameters }) } };
  // On a quiet cluster a backup from a standby would wait for the end of the current segment.
  const spec = { cluster: { name: cluster }, target: "primary", ...method };
  const backup = {
    apiVersion: "postgresql.cnpg.io/v1",
    kind: "Backup",
    metadata: { generateName: `${cluster}-now-`, namespace },
    spec,
  };
  return `echo '${JSON.stringify(backup)}' | kubectl create -f -`;
}

/** Proves that it archives: the last step of every change to a cluster. */
export function proof(target: ClusterTarget): { readonly text: string; readonly command: string } {
  return target.isOurs
    ? { text: "Prove that it archives into every repository.", command: verb(target, "check") }
    : { text: "Prove that it archives.", command: condition(target, "ContinuousArchiving") };
}

export function condition({ cluster, namespace }: ClusterTarget, type: string): string {
  return `kubectl get -n ${namespace} cluster ${cluster} -o 'jsonpath={.status.conditions[?(@.type=="${type}")]}'`;
}
