/** One function places every pod of this package: plugin, drills and snapshot removal. */
import { expect, test } from "vitest";
import type { PodPlacement } from "../../../../components/plan/cluster/declaredCluster";
import { renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { renderDalibo } from "../../../../components/render/kubernetes/daliboPlugin";
import type { Manifest } from "../../../../components/render/kubernetes/objects";
import { PLUGIN_DEFAULTS, renderPlugin } from "../../../../components/render/kubernetes/plugin";
import { placed } from "../../../../components/render/kubernetes/podPlacement";
import { context } from "../../clusters";

const PLACEMENT: PodPlacement = {
  nodeSelector: { pool: "backups" },
  tolerations: [{ key: "backups", operator: "Exists" }],
  affinity: { nodeAffinity: { marker: true } },
  imagePullSecrets: ["registry"],
  priorityClassName: "low",
  annotations: { "sidecar.istio.io/inject": "false" },
  cpuLimit: "500m",
};
const MEMORY = expect.stringMatching(/^\d+Mi$/) as string;
const EXPECTED = {
  metadata: { annotations: { "sidecar.istio.io/inject": "false" } },
  spec: {
    nodeSelector: { pool: "backups" },
    tolerations: [{ key: "backups", operator: "Exists" }],
    affinity: { nodeAffinity: { marker: true } },
    imagePullSecrets: [{ name: "registry" }],
    priorityClassName: "low",
    containers: [{ resources: { requests: { memory: MEMORY }, limits: { cpu: "500m", memory: MEMORY } } }],
  },
};
const OVER = {
  drills: { weekly: { cron: "0 5 * * 6" } },
  snapshots: { cron: "0 5 * * *", keepDays: 7 },
};
/** Templates of pods in any object. */
function templatesOf(value: unknown): object[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) =>
    name === "template" && typeof item === "object" && item !== null && "spec" in item ? [item] : templatesOf(item),
  );
}

function manifestsWith(placement: PodPlacement | undefined): readonly Manifest[] {
  const more = placement === undefined ? {} : { placement };
  const cluster = context({ ...OVER, ...(placement === undefined ? {} : { podPlacement: placement }) });
  const plugin = { ...PLUGIN_DEFAULTS, image: "node", runtime: { configMap: "runtime" }, ...more };
  return [
    ...renderCluster(cluster, null).map(({ manifest }) => manifest),
    ...renderPlugin(plugin).map(({ manifest }) => manifest),
    ...renderDalibo({ ...plugin, images: {} }).map(({ manifest }) => manifest),
  ];
}

test("every pod takes it", () => {
  const templates = templatesOf(manifestsWith(PLACEMENT));
  // A drill, snapshot removal, two plugins.
  expect(templates).toHaveLength(4);
  for (const template of templates) expect(template).toMatchObject(EXPECTED);
});

test("without one nothing changes", () => {
  expect(JSON.stringify(templatesOf(manifestsWith(undefined)))).not.toMatch(/nodeSelector|tolerations|imagePull/);
  const template = { metadata: { labels: {} }, spec: { containers: [] } };
  expect(placed(template, undefined)).toBe(template);
});

test("affinity and annotations are added to ours", () => {
  const own = { podAffinity: { ours: true }, nodeAffinity: { ours: true } };
  const template = { metadata: { labels: {}, annotations: { ours: "yes" } }, spec: { affinity: own } };
  expect(placed(template, PLACEMENT)).toMatchObject({
    metadata: { annotations: { ours: "yes", "sidecar.istio.io/inject": "false" } },
    spec: { affinity: { podAffinity: { ours: true }, nodeAffinity: { ours: true, marker: true } } },
  });
});
