/** The PodMonitor of a cluster speaks the protocol of its exporter. */
import { expect, test } from "vitest";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import { renderAttachment, renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { context, objectOf } from "../../clusters";

const MONITORED = { monitoring: { podMonitor: true } };
const TLS = { monitoring: { tls: { enabled: true } } };
const HTTPS = {
  port: "metrics",
  scheme: "https",
  tlsConfig: { ca: { secret: { name: "orders-ca", key: "ca.crt" } }, serverName: "orders-rw" },
};

test.each<[string, Partial<DeclaredCluster>, object]>([
  ["no TLS", MONITORED, { port: "metrics" }],
  ["TLS by the argument", { monitoring: { podMonitor: true, tls: true } }, HTTPS],
  ["TLS by spec", { ...MONITORED, spec: TLS }, HTTPS],
  [
    "an authority of one's own",
    { ...MONITORED, spec: { ...TLS, certificates: { serverCASecret: "own" } } },
    { ...HTTPS, tlsConfig: { ...HTTPS.tlsConfig, ca: { secret: { name: "own", key: "ca.crt" } } } },
  ],
])("%s", (_what, over, endpoint) => {
  const { spec } = objectOf(renderCluster(context(over), null), "pod-monitor") as { spec?: object };
  expect(spec).toHaveProperty("podMetricsEndpoints", [endpoint]);
});

test("the argument sets the Cluster's field too, and says it of an existing one", () => {
  const over = context({ monitoring: { podMonitor: true, tls: true } });
  expect(objectOf(renderCluster(over, null), "cluster")["spec"]).toMatchObject(TLS);
  const attached = renderAttachment(over);
  expect(objectOf(attached, "attachment")["spec"]).not.toHaveProperty("monitoring");
  expect(objectOf(attached, "pod-monitor")["spec"]).toMatchObject({ podMetricsEndpoints: [HTTPS] });
});
