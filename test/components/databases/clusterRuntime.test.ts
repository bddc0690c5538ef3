/** Where pods have the runtime from, in the objects that components declare. */
import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test, vi } from "vitest";
import type { ClusterBackupArgs, CnpgClusterArgs, PluginRuntime } from "../../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../../components/databases/cnpgCluster";
import { CnpgPlugin, type CnpgPluginArgs } from "../../../components/databases/cnpgPlugin";
import { NODE_IMAGE } from "../../../components/plan/cluster/images";
import { S3CompatibleRepository } from "../../../components/repositories/s3CompatibleRepository";
import {
  at,
  findOwnParameters,
  type Json,
  type JsonObject,
  listAt,
  textAt,
} from "../../../runtime/cnpg/kubernetes/clusterObject";
import { VERSION } from "../../../runtime/version";
import { renderedObjects } from "../../harness/kubernetes/rendered";

const SHA256 = "ab".repeat(32);
const URL = "http://pgbackstop.cnpg-system.svc:9091";
vi.mock("../../../components/internal/runtimeBundle", () => ({
  runtimeBundleSha256: () => "ab".repeat(32),
  runtimeBundleBrotli: () => "YnI=",
}));

type Objects = readonly JsonObject[];

async function objectsOf(program: () => void, computed?: (type: string) => object): Promise<Objects> {
  return (await renderedObjects(program, computed)) as Objects;
}

function clusterOf(name: string, over: Partial<CnpgClusterArgs>): CnpgCluster {
  const { target } = new S3CompatibleRepository(`${name}-b2`, {
    endpoint: "s3.eu-central-003.backblazeb2.com",
    region: "eu-central-003",
    bucket: { existing: { name: "orders-pg", credentials: { accessKeyId: "id", secretAccessKey: "secret" } } },
  });
  return new CnpgCluster(name, {
    namespace: "orders",
    storageGiB: 5,
    repositories: { repo1: { at: target, keepDays: 14 } },
    schedules: { full: { cron: "0 3 * * 0" } },
    drills: { weekly: { cron: "0 5 * * 6" } },
    silence: { PB003: "a test", PB007: "a test", PB042: "a test", PB030: "a test" },
    ...over,
  });
}

function programOf(plugin: CnpgPluginArgs, over: Partial<ClusterBackupArgs> = {}): () => void {
  return () => {
    const { ref } = new CnpgPlugin("pgbackstop", plugin);
    clusterOf("orders", { plugin: ref, ...over });
  };
}

function find(objects: Objects, kind: string, name: RegExp): JsonObject {
  const object = objects.find((each) => each["kind"] === kind && name.test(textAt(each, "metadata", "name") ?? ""));
  if (object === undefined) throw new Error(`no ${kind} ${name.source}`);
  return object;
}

function parametersOf(objects: Objects): Readonly<Record<string, string>> {
  const all = findOwnParameters(find(objects, "Cluster", /^orders$/)) ?? {};
  return Object.fromEntries(Object.entries(all).filter(([name]) => /^(bundle$|image$|runtime)/.test(name)));
}

/** Of the pods of the cluster's Jobs. */
function podOf(objects: Objects): Json {
  return at(find(objects, "CronJob", /drill/), "spec", "jobTemplate", "spec", "template", "spec") ?? null;
}

const startOf = (pod: Json): readonly Json[] => listAt(listAt(pod, "containers")[0], "command");
const volumesOf = (pod: Json): string => JSON.stringify(listAt(pod, "volumes"));

describe("a cluster's runtime", () => {
  test("comes from the plugin that serves it: a note keeps which one, and no object carries it", async () => {
    const objects = await objectsOf(programOf({}));
    expect(parametersOf(objects)).toEqual({ image: NODE_IMAGE, runtime: SHA256, runtimeUrl: URL });
    expect(find(objects, "ConfigMap", /^orders-served-abababababab$/)).toMatchObject({
      immutable: true,
      data: { image: NODE_IMAGE, sha256: SHA256, url: URL, version: VERSION },
    });
    const pod = podOf(objects);
    expect(startOf(pod).slice(-3)).toEqual([SHA256, URL, ""]);
    expect(volumesOf(pod)).not.toContain('"bundle"');
    const carrying = objects.filter((object) => object["binaryData"] !== undefined);
    expect(carrying.map((object) => at(object, "metadata", "name"))).toEqual(["pgbackstop-program-abababababab"]);
    expect(listAt(find(objects, "Service", /^pgbackstop$/), "spec", "ports").map((port) => at(port, "port"))).toEqual([
      9090, 9091,
    ]);
  });

  test("comes from a ConfigMap on request, for namespaces that may not connect to the plugin", async () => {
    const objects = await objectsOf(programOf({}, { runtimeDelivery: "configMap" }));
    const bundle = "orders-program-abababababab";
    expect(parametersOf(objects)).toEqual({ bundle, image: NODE_IMAGE, runtime: SHA256 });
    expect(find(objects, "ConfigMap", new RegExp(bundle))["binaryData"]).toEqual({ [`runtime-${SHA256}`]: "YnI=" });
    const pod = podOf(objects);
    expect(startOf(pod).slice(-3)).toEqual([SHA256, "", "/pgbackstop/bundle"]);
    expect(volumesOf(pod)).toContain(`{"configMap":{"name":"${bundle}"},"name":"bundle"}`);
  });

  test.each([
    ["is not given", undefined],
    ["does not say what it serves", { name: "pgbackstop" }],
    ["serves nothing", { name: "pgbackstop", runtime: undefined as PluginRuntime | undefined }],
  ])("comes from a ConfigMap if the plugin %s", async (_title, ref) => {
    const objects = await objectsOf(() => {
      clusterOf("orders", ref === undefined ? {} : { plugin: ref });
    });
    const bundle = "orders-program-abababababab";
    expect(parametersOf(objects)).toEqual({ bundle, image: NODE_IMAGE, runtime: SHA256 });
    expect(find(objects, "ConfigMap", new RegExp(bundle))["data"]).toMatchObject({ version: VERSION });
  });

  test("of an image in the plugin is served on request", async () => {
    const image = { runtimeImage: "registry.example.net/pgbackstop@sha256:01" };
    const plain = await objectsOf(programOf(image));
    expect(parametersOf(plain)).toMatchObject({ bundle: "orders-program-abababababab" });
    expect(JSON.stringify(find(plain, "Deployment", /^pgbackstop$/))).not.toContain("runtime-listen");
    const serving = { ...image, servesRuntime: true };
    expect(parametersOf(await objectsOf(programOf(serving)))).toMatchObject({ bundle: "orders-program-abababababab" });
    const objects = await objectsOf(programOf(serving, { runtimeDelivery: "plugin" }));
    expect(parametersOf(objects)).toEqual({ image: NODE_IMAGE, runtime: SHA256, runtimeUrl: URL });
    expect(objects.filter((object) => object["binaryData"] !== undefined)).toEqual([]);
    expect(JSON.stringify(find(objects, "Deployment", /^pgbackstop$/))).toContain(image.runtimeImage);
  });

  test("comes from the plugin, which fetches it from a URL: no object carries it", async () => {
    const source = "https://npm.example.net/pgbackstop/-/pgbackstop-0.1.0.tgz";
    const objects = await objectsOf(programOf({ runtimeSource: pulumi.output(source) }));
    expect(parametersOf(objects)).toEqual({ image: NODE_IMAGE, runtime: SHA256, runtimeUrl: URL });
    expect(objects.filter((object) => object["binaryData"] !== undefined)).toEqual([]);
    expect(find(objects, "ConfigMap", /^pgbackstop-served-abababababab$/)).toMatchObject({
      immutable: true,
      data: { image: NODE_IMAGE, sha256: SHA256, url: source, version: VERSION },
    });
    const pod = at(find(objects, "Deployment", /^pgbackstop$/), "spec", "template", "spec") ?? null;
    expect(startOf(pod).slice(-1)).toEqual([`${SHA256} ${source}`]);
    expect(volumesOf(pod)).not.toContain('"bundle"');
    expect(JSON.stringify(pod)).toContain("--plugin-runtime-listen=0.0.0.0:9091");
  });

  test.each([
    [{ runtimeSource: "npm:pgbackstop" }, "PB020 runtimeSource: it is no URL"],
    [{ runtimeSource: "https://a.example.net/$(HOME)" }, "PB020 runtimeSource: it is no URL"],
    [{ runtimeSource: "https://a.example.net/x", runtimeImage: "a" }, "leave one out"],
    [{ runtimeSource: "https://a.example.net/x", engine: "pgbackrest" as const }, "PB044"],
  ])("of a plugin is not from %j", (args, reason) => {
    expect(() => new CnpgPlugin("pgbackstop", args)).toThrow(reason);
  });

  test("comes from a ConfigMap, with a warning, if the plugin serves none", async () => {
    const warn = vi.spyOn(pulumi.log, "warn").mockResolvedValue();
    const objects = await objectsOf(
      () => void clusterOf("orders", { plugin: { name: "pgbackstop" }, runtimeDelivery: "plugin" }),
    );
    expect(parametersOf(objects)).toMatchObject({ bundle: "orders-program-abababababab" });
    expect(warn.mock.calls.map(([text]) => text).join()).toContain("orders: the plugin serves no runtime");
    warn.mockRestore();
    expect(() => new CnpgPlugin("pgbackstop", { servesRuntime: true })).toThrow("leave it out");
  });
});

test("Dalibo's plugin has one replica by default, and refuses more", async () => {
  const objects = await objectsOf(() => void new CnpgPlugin("stock", { engine: "pgbackrest" }));
  expect(at(find(objects, "Deployment", /^cnpg-pgbackrest$/), "spec", "replicas")).toBe(1);
  expect(() => new CnpgPlugin("stock", { engine: "pgbackrest", replicas: 2 })).toThrow("PB044 replicas");
});

test("a plugin that fetches its runtime fetches earlier ones too, and mounts those that ConfigMaps have", async () => {
  const [packed, fetched] = ["cd".repeat(32), "ef".repeat(32)];
  const before = [`${fetched} https://a.example.net/before.tgz`, packed];
  const objects = await objectsOf(
    () => void new CnpgPlugin("pgbackstop", { runtimeSource: "https://a.example.net/now.tgz" }),
    (type) => (type.endsWith(":RuntimeRecord") ? { earlier: before } : {}),
  );
  const pod = at(find(objects, "Deployment", /^pgbackstop$/), "spec", "template", "spec") ?? null;
  expect(startOf(pod).slice(-1)).toEqual([`${SHA256} https://a.example.net/now.tgz ${before[0]}`]);
  const items = [{ key: `runtime-${packed}`, path: `runtime-${packed}` }];
  const kept = { configMap: { name: `pgbackstop-program-${packed.slice(0, 12)}`, items, optional: true } };
  expect(listAt(pod, "volumes")[0]).toEqual({ name: "bundle", projected: { sources: [kept] } });
  const mounts = listAt(listAt(pod, "containers")[0], "volumeMounts");
  expect(mounts.map((mount) => textAt(mount, "mountPath"))).toContain("/pgbackstop/bundle");
});

test("a plugin mounts what it served before beside its own, and starts without what was deleted", async () => {
  const before = ["cd".repeat(32), "ef".repeat(32)];
  const objects = await objectsOf(
    () => void new CnpgPlugin("pgbackstop", {}),
    (type) => (type.endsWith(":RuntimeRecord") ? { earlier: before } : {}),
  );
  const volumes = listAt(find(objects, "Deployment", /^pgbackstop$/), "spec", "template", "spec", "volumes");
  const sourceOf = (sha256: string, more: object): object => {
    const items = [{ key: `runtime-${sha256}`, path: `runtime-${sha256}` }];
    return { configMap: { name: `pgbackstop-program-${sha256.slice(0, 12)}`, items, ...more } };
  };
  expect(volumes[0]).toEqual({
    name: "bundle",
    projected: { sources: [sourceOf(SHA256, {}), ...before.map((each) => sourceOf(each, { optional: true }))] },
  });
});
