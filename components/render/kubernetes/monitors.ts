/** Objects for the Prometheus operator: a cluster's scrape targets and alerts. Pure. */
import { alertGroupOf } from "../../plan/alerts";
import { specOverrides } from "../../plan/cluster/synchronousStandbys";
import type { ClusterDatabasePlan } from "../../plan/model/plan";
import { topologyOf } from "../../plan/topology/topology";
import { prometheusRule } from "../monitoring/prometheusRule";
import type { EngineContext } from "../engines/engine";
import { MANAGED_BY, type RenderedObject } from "./objects";
import { given } from "../../plan/model/given";

/** Only requested objects, because their definitions may be missing. */
export function renderMonitors(context: EngineContext): RenderedObject[] {
  const { podMonitor, prometheusRule: rules } = context.definition.monitors;
  return [...(podMonitor ? [podMonitorOf(context)] : []), ...(rules ? [prometheusRuleOf(context)] : [])];
}

/** The operator's own PodMonitor is deprecated. Port and labels: CloudNativePG's instance manager. */
function podMonitorOf(context: EngineContext): RenderedObject {
  const { database, definition } = context;
  return {
    role: "pod-monitor",
    manifest: {
      apiVersion: "monitoring.coreos.com/v1",
      kind: "PodMonitor",
      metadata: metadataOf(database.cluster, database, definition.monitors.labels),
      spec: {
        selector: { matchLabels: { "cnpg.io/cluster": database.cluster, "cnpg.io/podRole": "instance" } },
        podMetricsEndpoints: [{ port: "metrics", ...protocolOf(context) }],
      },
    },
  };
}

/** The exporter has the server's certificate, which names the Cluster's Services. */
function protocolOf({ database: { cluster }, definition }: EngineContext): object {
  const { certificates, monitoring } = specOverrides({ definition });
  const isTls = monitoring?.tls?.enabled ?? definition.monitors.tls;
  if (typeof isTls === "string") return { [isTls]: isTls };
  if (isTls !== true) return {};
  const authority = certificates?.serverCASecret ?? `${cluster}-ca`;
  const ca = { secret: { name: authority, key: "ca.crt" } };
  return { scheme: "https", tlsConfig: { ca, serverName: `${cluster}-rw` } };
}

function prometheusRuleOf({ database, definition }: EngineContext): RenderedObject {
  const { alertLabels, labels, runbookUrl } = definition.monitors;
  const group = alertGroupOf(topologyOf(database), { labels: alertLabels, ...given({ runbookUrl }) });
  const { metadata, ...rule } = prometheusRule(
    group === null ? [] : [group],
    metadataOf(`${database.cluster}-backups`, database, labels),
  );
  return { role: "prometheus-rule", manifest: { ...rule, metadata } };
}

function metadataOf(name: string, { namespace }: ClusterDatabasePlan, labels: Readonly<Record<string, string>>) {
  return { name, namespace, labels: { ...MANAGED_BY, ...labels } };
}
