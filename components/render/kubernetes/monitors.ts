/** Objects for the Prometheus operator: a cluster's scrape targets and alerts. Pure. */
import { alertGroupOf } from "../../plan/alerts";
import { caSecretOf } from "../../plan/cluster/secretNames";
import { topologyOf } from "../../plan/topology/topology";
import type { EngineContext } from "../engines/engine";
import { metadataOf, object, type RenderedObject } from "./objects";
import { given } from "../../../runtime/base/given";
import { fields, list } from "../../plan/model/deferred";

/** Only requested objects, because their definitions may be missing. */
export function renderMonitors(context: EngineContext): RenderedObject[] {
  const { podMonitor, prometheusRule: rules } = context.definition.monitors;
  return [...(podMonitor ? [podMonitorOf(context)] : []), ...(rules ? [prometheusRuleOf(context)] : [])];
}

/** The operator's own PodMonitor is deprecated. Port and labels: CloudNativePG's instance manager. */
function podMonitorOf(context: EngineContext): RenderedObject {
  const { database, definition } = context;
  const cluster = (): string => database.cluster;
  const labels = (): object => definition.monitors.labels;
  const selected = fields({ "cnpg.io/cluster": cluster, "cnpg.io/podRole": () => "instance" });
  const metadata = metadataOf(database, cluster, undefined, labels);
  return object("pod-monitor", ["monitoring.coreos.com/v1", "PodMonitor"], metadata, {
    spec: () => ({
      selector: { matchLabels: selected },
      podMetricsEndpoints: list(() => ({ port: "metrics", ...protocolOf(context) })),
    }),
  });
}

/** The exporter has the server's certificate, which names the Cluster's Services. */
function protocolOf({ database, definition }: EngineContext): object {
  if (definition.monitors.tls !== true) return {};
  const authority = (): string => caSecretOf({ database, definition });
  const secret = fields({ name: authority, key: () => "ca.crt" });
  return { scheme: "https", tlsConfig: fields({ ca: () => ({ secret }), serverName: () => `${database.cluster}-rw` }) };
}

function prometheusRuleOf({ database, definition: { monitors } }: EngineContext): RenderedObject {
  const groups = (): readonly object[] => {
    const { alertLabels, runbookUrl } = monitors;
    const group = alertGroupOf(topologyOf(database), { labels: alertLabels, ...given({ runbookUrl }) });
    return group === null ? [] : [group];
  };
  const labels = (): object => monitors.labels;
  const metadata = metadataOf(database, () => `${database.cluster}-backups`, undefined, labels);
  return object("prometheus-rule", ["monitoring.coreos.com/v1", "PrometheusRule"], metadata, {
    spec: () => fields({ groups }),
  });
}
