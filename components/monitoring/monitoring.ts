/** Alerts and a dashboard of a stack, from its databases' topologies. */
import { checkedArguments } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import { childName, typeToken } from "../internal/children";
import { declareContent } from "../internal/content";
import { suffixed, textsOf } from "../internal/inputs";
import {
  type ConfigMap,
  type CustomResource,
  declareKubernetes,
  showChild,
  shownChild,
} from "../internal/kubernetesObjects";
import { alertGroupsOf } from "../plan/alerts";
import type { AlertGroup, AlertOptions } from "../plan/alerts/rule";
import { parseStackFile, StackFileError } from "../plan/topology/stackFiles";
import type { Topology } from "../plan/topology/topology";
import { prometheusRule, renderAlertFile } from "../render/monitoring/prometheusRule";
import { renderDashboard } from "../render/monitoring/dashboard";
import { MANAGED_BY } from "../render/kubernetes/objects";
import { given } from "../../runtime/base/given";

/** Location of the objects of a {@link Monitoring}. */
export interface MonitoringObjectsArgs {
  /** Namespace of the objects. */
  namespace: pulumi.Input<string>;
  /** Name of the objects. If omitted, the name of the component. */
  name?: pulumi.Input<string>;
  /**
   * Creates a PrometheusRule; the Prometheus operator's definition must exist. @default true
   * @plain whether the PrometheusRule exists
   */
  prometheusRule?: boolean;
  /** Labels that the `ruleSelector` of a Prometheus requires. @example { release: "kube-prometheus-stack" } */
  ruleLabels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  /** Creates a ConfigMap that Grafana's sidecar reads. @default true @plain whether the ConfigMap exists */
  dashboard?: boolean;
  /** Labels by which Grafana's sidecar finds the ConfigMap. @default { grafana_dashboard: "1" } */
  dashboardLabels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  /**
   * Annotations of the ConfigMap: the folder that Grafana's sidecar puts the dashboard in.
   * @example { grafana_folder: "PostgreSQL" }
   */
  dashboardAnnotations?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
}

export interface MonitoringArgs {
  /**
   * Output `topology` of each database. Hosts that only restore have none, and get no alerts.
   * @example [ledger.topology, orders.topology]
   */
  topologies: pulumi.Input<string>[];
  /** Creates Kubernetes objects. If omitted, there are only the outputs. */
  kubernetes?: MonitoringObjectsArgs;
  /**
   * Additional matchers for a database's series, by its name: for two hosts with equal stanza names.
   * @example { ledger: 'instance="db1:9100"' }
   */
  selectors?: { [database: string]: pulumi.Input<string> };
  /** Labels of every alert, for the routes of Alertmanager. @example { team: "databases" } */
  alertLabels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  /** URL of your own page about the alerts; each alert's name is appended after `#` in lower case. */
  runbookUrl?: pulumi.Input<string>;
  /** Title of the dashboard. @default "PostgreSQL backups" */
  title?: pulumi.Input<string>;
}

/**
 * Alerts with thresholds from the declared schedules and objectives, each with a twin for a missing metric, and a
 * dashboard; for hosts and clusters together. An update that changes databases changes their alerts too.
 *
 * With `kubernetes` it creates a `PrometheusRule` and a `ConfigMap`; without, the outputs are files for a Prometheus
 * and a Grafana elsewhere.
 *
 * ```ts
 * const monitoring = new Monitoring("backups", {
 *   topologies: [ledger.topology, orders.topology],
 *   kubernetes: { namespace: "monitoring", ruleLabels: { release: "kube-prometheus-stack" } },
 * });
 * export const rules = monitoring.rulesFile;
 * ```
 */
export class Monitoring extends pulumi.ComponentResource {
  /** A file for `rule_files` of Prometheus. */
  public readonly rulesFile: pulumi.Output<string>;
  /** The dashboard, for an import or a provisioning folder of Grafana. */
  public readonly dashboardJson: pulumi.Output<string>;

  constructor(name: string, args: MonitoringArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = checkedArguments("Monitoring", name, args);
    if (own.topologies.length === 0) {
      throw new pulumi.InputPropertyError({
        propertyPath: "topologies",
        reason: `Monitoring ${name}: it monitors no database: give the output topology of each`,
      });
    }
    super(typeToken("Monitoring"), name, {}, opts);
    const { alertLabels, runbookUrl, selectors, title } = own;
    const databases = pulumi.all(own.topologies).apply((texts) => topologiesOf(`Monitoring ${name}`, texts));
    const texts: pulumi.Output<AlertTexts> = pulumi.output(given({ alertLabels, runbookUrl, selectors }));
    const groups = pulumi.all([databases, texts]).apply(([known, added]) => {
      requireKnown(name, known, Object.keys(added.selectors ?? {}));
      return alertGroupsOf(known, (database) => optionsOf(added, database));
    });
    this.rulesFile = groups.apply(renderAlertFile);
    this.dashboardJson = pulumi.all([databases, title]).apply(([known, text]) => renderDashboard(known, text));
    if (own.kubernetes !== undefined) this.makeObjects(name, own.kubernetes, groups);
    this.registerOutputs({ rulesFile: this.rulesFile, dashboardJson: this.dashboardJson });
  }

  private makeObjects(component: string, args: MonitoringObjectsArgs, groups: pulumi.Output<AlertGroup[]>): void {
    const name = args.name ?? component;
    if (args.prometheusRule ?? true) {
      const identity = { name: "", namespace: "", labels: {} };
      const spec = groups.apply((made) => prometheusRule(made, identity).spec);
      const metadata = { name, namespace: args.namespace, labels: textsOf(MANAGED_BY, args.ruleLabels ?? {}) };
      const rule = { apiVersion: "monitoring.coreos.com/v1", kind: "PrometheusRule", metadata, spec };
      showChild(this, "rules", declareKubernetes(childName(component, "rules"), rule, { parent: this }));
    }
    if (args.dashboard ?? true) {
      const labels = textsOf(MANAGED_BY, args.dashboardLabels ?? { grafana_dashboard: "1" });
      const annotations = args.dashboardAnnotations === undefined ? {} : { annotations: args.dashboardAnnotations };
      const metadata = { name: suffixed(name, "-dashboard"), namespace: args.namespace, labels, ...annotations };
      const data =
        typeof name === "string"
          ? { [`${name}.json`]: this.dashboardJson }
          : pulumi.all([name, this.dashboardJson]).apply(([known, text]) => ({ [`${known}.json`]: text }));
      const map = { apiVersion: "v1", kind: "ConfigMap", metadata, data };
      showChild(this, "dashboard", declareContent(childName(component, "dashboard"), map, { parent: this }).object);
    }
  }

  /** The PrometheusRule, with `kubernetes`. */
  public get prometheusRule(): CustomResource | undefined {
    return shownChild(this, "rules") as CustomResource | undefined;
  }

  /** The ConfigMap with the dashboard, with `kubernetes`. */
  public get dashboard(): ConfigMap | undefined {
    return shownChild(this, "dashboard") as ConfigMap | undefined;
  }
}

/** @throws Error for a selector that would match nothing */
export function requireKnown(name: string, topologies: readonly Topology[], selectors: readonly string[]): void {
  const names = topologies.flatMap(({ databases }) => databases.map((database) => database.name));
  const unknown = selectors.find((selector) => !names.includes(selector));
  if (unknown === undefined) return;
  throw new pulumi.InputPropertyError({
    propertyPath: `selectors.${unknown}`,
    reason: `Monitoring ${name}: the topologies have no such database, but ${names.join(", ") || "none"}`,
  });
}

type AlertTexts = pulumi.Unwrap<Pick<MonitoringArgs, "alertLabels" | "runbookUrl" | "selectors">>;

function optionsOf({ alertLabels, runbookUrl, selectors }: AlertTexts, database: string): AlertOptions {
  const selector = selectors?.[database];
  return {
    ...given({ selector, labels: alertLabels, runbookUrl }),
  };
}

/** None for a restore-only host, whose topology is empty. @throws InputPropertyError for a text that is no topology */
export function topologiesOf(title: string, texts: readonly string[]): Topology[] {
  return texts.flatMap((text, index) => {
    if (text === "") return [];
    try {
      return [...parseStackFile(text).after.values()].flatMap((topology) => (topology === null ? [] : [topology]));
    } catch (error) {
      if (!(error instanceof StackFileError)) throw error;
      const propertyPath = `topologies[${index}]`;
      const reason = `${title}: ${propertyPath}: ${error.message}; give the output topology of a database`;
      throw new pulumi.InputPropertyError({ propertyPath, reason });
    }
  });
}
