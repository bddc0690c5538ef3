/** Objects for the Prometheus operator: a cluster's scrape targets and alerts. Pure. */
import { alertGroupOf } from "../../plan/alerts";
import type { ClusterPlan } from "../../plan/model/plan";
import { topologyOf } from "../../plan/topology/topology";
import { prometheusRule } from "../monitoring/prometheusRule";
import type { EngineContext } from "../engines/engine";
import { MANAGED_BY, type RenderedObject } from "./objects";
import { given } from "../../plan/model/given";

/** Only requested objects, because their definitions may be missing. */
export function renderMonitors(context: EngineContext): RenderedObject[] {
  const { podMonitor, prometheusRule: rules } = context.shape.monitors;
  return [...(podMonitor ? [podMonitorOf(context)] : []), ...(rules ? [prometheusRuleOf(context)] : [])];
}

/** The operator's own PodMonitor is deprecated. Port and labels: CloudNativePG's instance manager. */
function podMonitorOf({ plan, shape }: EngineContext): RenderedObject {
  return {
    role: "pod-monitor",
    manifest: {
      apiVersion: "monitoring.coreos.com/v1",
      kind: "PodMonitor",
      metadata: metadataOf(plan.cluster, plan, shape.monitors.labels),
      spec: {
        selector: { matchLabels: { "cnpg.io/cluster": plan.cluster, "cnpg.io/podRole": "instance" } },
        podMetricsEndpoints: [{ port: "metrics" }],
      },
    },
  };
}

function prometheusRuleOf({ plan, shape }: EngineContext): RenderedObject {
  const { alertLabels, labels, runbookUrl } = shape.monitors;
  const group = alertGroupOf(topologyOf(plan), { labels: alertLabels, ...given({ runbookUrl }) });
  const { metadata, ...rule } = prometheusRule(group === null ? [] : [group], metadataOf(`${plan.cluster}-backups`, plan, labels));
  return { role: "prometheus-rule", manifest: { ...rule, metadata } };
}

function metadataOf(name: string, { namespace }: ClusterPlan, labels: Readonly<Record<string, string>>) {
  return { name, namespace, labels: { ...MANAGED_BY, ...labels } };
}
