/** The component without an engine: its declarations and its outputs agree. */
import { createRequire } from "node:module";
import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { Monitoring, type MonitoringArgs, requireKnown } from "../../../components/monitoring/monitoring";
import { resolveHost } from "../../../components/plan/model/resolveDatabase";
import { topologyOf } from "../../../components/plan/topology/topology";
import { PUBLISHED } from "../published/vpsNasR2";
import { renderedObjects } from "../../harness/kubernetes/rendered";
import { topology } from "../topologies";

const { load } = createRequire(__filename)("js-yaml") as { load(text: string): unknown };
const FORGE = JSON.stringify(topologyOf(resolveHost("forge", PUBLISHED, "/usr/bin/node")));
const LEDGER = JSON.stringify(topology());

interface Rules {
  readonly groups: readonly {
    readonly name: string;
    readonly rules: readonly { readonly expr: string; readonly labels: object }[];
  }[];
}
interface Declared {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: object;
    readonly annotations?: object;
  };
  readonly spec: Rules;
  readonly data: Readonly<Record<string, string>>;
}

async function monitoring(args: MonitoringArgs): Promise<{ objects: Declared[]; rules: Rules; dashboard: string }> {
  const outputs: { rules?: string; dashboard?: string } = {};
  const objects = await renderedObjects(() => {
    const made = new Monitoring("backups", args);
    made.rulesFile.apply((text) => (outputs.rules = text));
    made.dashboardJson.apply((text) => (outputs.dashboard = text));
  });
  return {
    objects: objects as Declared[],
    rules: load(outputs.rules ?? "") as Rules,
    dashboard: outputs.dashboard ?? "",
  };
}

describe("Monitoring", () => {
  test("returns files without Kubernetes, and declares nothing", async () => {
    const { dashboard, objects, rules } = await monitoring({
      topologies: [FORGE, pulumi.output(LEDGER), ""],
      selectors: { forge: 'instance="forge:9100"' },
      alertLabels: { team: "databases" },
    });
    expect(objects).toEqual([]);
    expect(rules.groups.map(({ name }) => name)).toEqual(["pgbackstop-forge", "pgbackstop-ledger"]);
    const [forge, ledger] = rules.groups;
    expect(forge?.rules.every(({ expr }) => expr.includes('instance="forge:9100"'))).toBe(true);
    expect(ledger?.rules.some(({ expr }) => expr.includes("instance="))).toBe(false);
    expect(forge?.rules.every(({ labels }) => "team" in labels)).toBe(true);
    expect(JSON.parse(dashboard)).toMatchObject({ title: "PostgreSQL backups" });
  });

  // claim: docs/monitoring.md: `Monitoring` declares the content of its files; a real API server with the operator's
  //   definitions accepts its objects, and those of clusters' `monitoring`
  test("declares the same as objects, with the required labels", async () => {
    const { dashboard, objects, rules } = await monitoring({
      topologies: [FORGE],
      title: "Backups of the shop",
      kubernetes: {
        namespace: "monitoring",
        name: "shop",
        ruleLabels: { release: "prometheus" },
        dashboardAnnotations: { grafana_folder: "Shop" },
      },
    });
    const [rule, map] = ["PrometheusRule", "ConfigMap"].map((kind) => objects.find((object) => object.kind === kind));
    expect(objects).toHaveLength(2);
    expect(rule?.metadata).toMatchObject({ name: "shop", namespace: "monitoring", labels: { release: "prometheus" } });
    expect(rule?.spec).toEqual(rules);
    expect(map?.metadata).toMatchObject({
      name: "shop-dashboard",
      labels: { grafana_dashboard: "1" },
      annotations: { grafana_folder: "Shop" },
    });
    expect(map?.data).toEqual({ "shop.json": dashboard });
    expect(JSON.parse(dashboard)).toMatchObject({ title: "Backups of the shop" });
  });

  test("leaves out unwanted objects, and reports missing values", async () => {
    const { objects } = await monitoring({
      topologies: [FORGE],
      kubernetes: { namespace: "monitoring", prometheusRule: false },
    });
    expect(objects.map(({ kind }) => kind)).toEqual(["ConfigMap"]);
    await expect(monitoring({ topologies: [] })).rejects.toThrow(
      "it monitors no database: give the output topology of each",
    );
  });
});

// claim: docs/monitoring.md: a selector of a database that no topology has is an error
test("refuses a selector of a database that no topology has", () => {
  const databases = [topologyOf(resolveHost("forge", PUBLISHED, "/usr/bin/node")), topology()];
  expect(() => requireKnown("backups", databases, ["forge", "ledger"])).not.toThrow();
  expect(() => requireKnown("backups", databases, ["forg"])).toThrow(
    "Monitoring backups: the topologies have no such database, but forge, ledger",
  );
});
