import { expect, test } from "vitest";
import { checkTransformedCluster } from "../../../../components/plan/rules/finalCluster";
import { renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { context, objectOf } from "../../clusters";

const SPEC = objectOf(renderCluster(context(), null), "cluster")["spec"] as Readonly<Record<string, unknown>>;

const pluginWith = (parameters: object): object => {
  const [plugin] = SPEC["plugins"] as readonly { readonly parameters: object }[];
  return { ...plugin, parameters: { ...plugin?.parameters, ...parameters } };
};

test("what the API server and the operator's webhook add is no change", () => {
  const [plugin] = SPEC["plugins"] as readonly object[];
  const final = {
    ...SPEC,
    plugins: [{ enabled: true, ...plugin }],
    backup: { target: "prefer-standby", retentionPolicy: "" },
    affinity: { podAntiAffinityType: "preferred" },
    enableSuperuserAccess: false,
    bootstrap: { initdb: { database: "app", owner: "app", encoding: "UTF8", localeCollate: "C", localeCType: "C" } },
    postgresql: {
      ...(SPEC["postgresql"] as object | undefined),
      parameters: { archive_timeout: "5min", wal_level: "logical" },
    },
    monitoring: { tls: { enabled: false }, disableDefaultQueries: false },
    storage: { ...(SPEC["storage"] as object), resizeInUseVolumes: true },
    minSyncReplicas: 0,
  };
  expect(checkTransformedCluster(SPEC, final)).toEqual([]);
});

test.each<[string, object, string]>([
  ["plugins", { plugins: [] }, "PB201 spec.plugins"],
  ["the size of volumes", { storage: { size: "1Gi" } }, "PB202 spec.storage.size"],
  ["instances", { instances: 1 }, "PB202 spec.instances"],
  ["the image", { imageName: "other:18" }, "PB202 spec.imageName"],
  ["the cluster to follow", { replica: { enabled: true, source: "other" } }, "PB202 spec.replica"],
  ["its place in a distributed topology", { replica: { self: "a", primary: "b", source: "b" } }, "PB202 spec.replica"],
  [
    "the archive's timeout",
    { postgresql: { parameters: { archive_timeout: "1h" } } },
    "PB202 spec.postgresql.parameters.archive_timeout",
  ],
  [
    "synchronous standbys",
    { postgresql: { synchronous: { method: "any", number: 1 } } },
    "PB202 spec.postgresql.synchronous",
  ],
  ["extensions", { postgresql: { extensions: [{ name: "x" }] } }, "PB202 spec.postgresql.extensions"],
  ["a catalog", { imageCatalogRef: { kind: "ImageCatalog", name: "own", major: 18 } }, "PB202 spec.imageCatalogRef"],
  ["the bootstrap", { bootstrap: { recovery: { source: "other" } } }, "PB202 spec.bootstrap"],
  ["the application's database", { bootstrap: { initdb: { database: "shop" } } }, "PB202 spec.bootstrap"],
  ["a volume for WAL", { walStorage: { size: "1Gi" } }, "PB202 spec.walStorage"],
  ["tablespaces", { tablespaces: [{ name: "a", storage: { size: "1Gi" } }] }, "PB202 spec.tablespaces"],
  ["metrics over TLS", { monitoring: { tls: { enabled: true } } }, "PB202 spec.monitoring.tls.enabled"],
  [
    "the certificates' authority",
    { certificates: { serverCASecret: "own" } },
    "PB202 spec.certificates.serverCASecret",
  ],
  [
    "the plugin's configuration",
    { plugins: [pluginWith({ configMap: "other" })] },
    "PB202 spec.plugins.pgbackstop.parameters.configMap",
  ],
])("a transform of %s is a finding", (_what, change, finding) => {
  const findings = checkTransformedCluster(SPEC, { ...SPEC, ...change });
  expect(findings.map(({ code, path }) => `${code} ${path}`)).toEqual([finding]);
});

test("a finding contains no value, which may be secret", () => {
  const changed = { ...SPEC, bootstrap: { initdb: { postInitSQL: ["ALTER ROLE app PASSWORD 'planted'"] } } };
  expect(checkTransformedCluster(changed, SPEC).map(({ path }) => path)).toEqual(["spec.bootstrap"]);
  expect(JSON.stringify(checkTransformedCluster(changed, SPEC))).not.toContain("planted");
});
