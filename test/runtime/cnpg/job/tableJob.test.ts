import { describe, expect, test } from "vitest";
import { tableJob } from "../../../../runtime/cnpg/job/tableJob";
import { at, type Json, type JsonObject, listAt, textAt } from "../../../../runtime/cnpg/kubernetes/clusterObject";
import { cluster, PARAMETERS } from "../support";

const REQUEST = { image: undefined, size: undefined, nodeImage: "node@sha256:0123" };

function production(more: JsonObject = {}, status: JsonObject = { image: "postgresql:18.6" }): JsonObject {
  return { ...cluster({ storage: { size: "50Gi", storageClass: "fast" }, ...more }), status };
}
const podOf = (job: JsonObject): Json | undefined => at(job, "spec", "template", "spec");
const volumeOf = (job: JsonObject, name: string): Json | undefined =>
  listAt(podOf(job), "volumes").find((volume) => textAt(volume, "name") === name);

// claim: docs/kubernetes/table.md: the Job takes image, keys, placement and the size of its volume from the Cluster
describe("the Job that extracts tables", () => {
  test("has the Cluster's image, keys, placement and storage", () => {
    const affinity = { nodeSelector: { pool: "db" }, tolerations: [{ key: "db" }], enablePodAntiAffinity: true };
    const job = tableJob(production({ affinity, imagePullSecrets: [{ name: "registry" }], postgresUID: 999 }), REQUEST);
    expect(at(job, "metadata")).toMatchObject({ name: "orders-table", namespace: "shop" });
    const pod = podOf(job);
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      imagePullSecrets: [{ name: "registry" }],
      nodeSelector: { pool: "db" },
      tolerations: [{ key: "db" }],
      securityContext: { runAsUser: 999, runAsGroup: 26, fsGroup: 26, runAsNonRoot: true },
    });
    const [main] = listAt(pod, "containers");
    expect(textAt(main, "image")).toBe("postgresql:18.6");
    const mounts = listAt(main, "volumeMounts").map((mount) => textAt(mount, "mountPath"));
    expect(mounts).toEqual([
      "/pgbackstop/run",
      "/pgbackstop/bundle",
      "/pgbackstop/config",
      "/pgbackstop/secrets/repo1",
      "/pgbackstop/secrets/repo2",
      "/pgbackstop/claims/vault",
      "/pgbackstop/production",
      "/pgbackstop/scratch",
    ]);
    expect(listAt(pod, "volumes").map((volume) => textAt(volume, "name"))).toEqual(
      listAt(main, "volumeMounts").map((mount) => textAt(mount, "name")),
    );
    expect(at(volumeOf(job, "scratch"), "ephemeral", "volumeClaimTemplate", "spec")).toMatchObject({
      storageClassName: "fast",
      resources: { requests: { storage: "50Gi" } },
    });
  });

  // Verbs refuse an include directory that is missing.
  test.each([
    [{ secretConf: "orders-conf" }, true],
    [{}, false],
  ])("its launcher names the include directory with %j: %s", (secretConf, named) => {
    const parameters = { ...PARAMETERS, ...secretConf };
    const [main] = listAt(
      podOf(tableJob(production({ plugins: [{ name: "pgbackstop", parameters }] }), REQUEST)),
      "containers",
    );
    const mounts = listAt(main, "volumeMounts").map((mount) => textAt(mount, "mountPath"));
    expect(mounts.includes("/pgbackstop/conf.d")).toBe(named);
    expect(JSON.stringify(at(main, "command")).includes("PGBACKREST_CONFIG_INCLUDE_PATH=")).toBe(named);
  });

  test("brings program and Node.js from the sidecar's image, which alone knows where they are", () => {
    const url = "http://pgbackstop.cnpg-system.svc:9091";
    const parameters = { configMap: "c", image: "node:24", runtime: "a".repeat(64), runtimeUrl: url };
    const served = tableJob(production({ plugins: [{ name: "pgbackstop", parameters }] }), REQUEST);
    const [init] = listAt(podOf(served), "initContainers");
    expect(textAt(init, "image")).toBe("node:24");
    expect(listAt(init, "command").slice(-3)).toEqual(["a".repeat(64), url, ""]);
    expect(listAt(init, "volumeMounts").map((mount) => textAt(mount, "mountPath"))).toEqual(["/pgbackstop/run"]);
  });

  test("knows the superuser's Secret, the application's and the authority's by the Cluster's names", () => {
    const secretsOf = (job: JsonObject): Json[] =>
      listAt(volumeOf(job, "production"), "projected", "sources").map((source) => at(source, "secret", "name") ?? null);
    expect(secretsOf(tableJob(production(), REQUEST))).toEqual(["orders-app", "orders-superuser", "orders-ca"]);
    const own = production(
      { bootstrap: { recovery: { secret: { name: "owner" } } }, superuserSecret: { name: "root" } },
      { image: "p:18", certificates: { serverCASecret: "authority" } },
    );
    expect(secretsOf(tableJob(own, REQUEST))).toEqual(["owner", "root", "authority"]);
  });

  test("mounts extensions with images of their own, and names their libraries", () => {
    const vector = { name: "pgvector", image: { reference: "pgvector:18" } };
    const postgis = { name: "postgis", image: { reference: "postgis:18" }, ld_library_path: ["system"] };
    const other = { ...postgis, dynamic_library_path: ["lib64"] };
    const job = tableJob(production({ postgresql: { extensions: [vector, other] } }), REQUEST);
    const [main] = listAt(podOf(job), "containers");
    expect(volumeOf(job, "extension-0")).toEqual({ name: "extension-0", image: { reference: "pgvector:18" } });
    expect(listAt(main, "volumeMounts")).toContainEqual({
      name: "extension-1",
      mountPath: "/extensions/postgis",
      readOnly: true,
    });
    expect(listAt(main, "command").at(-1)).toContain(
      "PGBACKREST_LIBRARY_PATH=/extensions/pgvector/lib:/extensions/postgis/lib64\n",
    );
    expect(listAt(main, "env")).toContainEqual({ name: "LD_LIBRARY_PATH", value: "/extensions/postgis/system" });
    // A catalog may name the images: only the status has them then.
    const unnamed = { postgresql: { extensions: [{ name: "pgvector" }] } };
    const status = { image: "p:18", pgDataImageInfo: { extensions: [vector] } };
    expect(volumeOf(tableJob(production(unnamed, status), REQUEST), "extension-0")).toBeDefined();
    expect(volumeOf(tableJob(production(unnamed), REQUEST), "extension-0")).toBeUndefined();
  });

  test("takes another image and size, as for a backup of before a major upgrade", () => {
    const job = tableJob(production(), { ...REQUEST, image: "postgresql:17", size: "1Ti" });
    expect(textAt(listAt(podOf(job), "containers")[0], "image")).toBe("postgresql:17");
    expect(JSON.stringify(volumeOf(job, "scratch"))).toContain('"storage":"1Ti"');
  });

  test("its commands have no reference that Kubernetes would replace", () => {
    const [main] = listAt(podOf(tableJob(production(), REQUEST)), "containers");
    expect(JSON.stringify(at(main, "command"))).not.toContain("$(");
  });

  test("refuses what it cannot make a Job of, and says what to do", () => {
    expect(() => tableJob({ kind: "List" }, REQUEST)).toThrow("standard input is not a Cluster of CloudNativePG");
    expect(() => tableJob(production({ plugins: [] }), REQUEST)).toThrow("Cluster orders has no plugin 'pgbackstop'");
    expect(() => tableJob(production({}, {}), REQUEST)).toThrow("requires option: job-image");
    expect(() => tableJob({ ...cluster(), status: { image: "p:18" } }, REQUEST)).toThrow("requires option: job-size");
    const { configMap: _gone, ...rest } = PARAMETERS;
    const lacking = production({ plugins: [{ name: "pgbackstop", parameters: rest }] });
    expect(() => tableJob(lacking, REQUEST)).toThrow("plugin parameter 'configMap' is required");
  });
});
