/**
 * A changed configuration with the real Kubernetes provider and a real API server: the ConfigMap of a running cluster
 * is changed, never deleted. The same for Secrets.
 */
import * as pulumi from "@pulumi/pulumi";
import type { EngineEvent, Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type CnpgClusterArgs, RuntimeDelivery } from "../../components/databases/cnpgArgs";
import { CnpgBackup, type CnpgBackupArgs } from "../../components/databases/cnpgBackup";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgPlugin, type CnpgPluginArgs } from "../../components/databases/cnpgPlugin";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { failureOf } from "../harness/compare/engineTexts";
import type { ApiServer } from "../harness/kubernetes/apiServer";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import type { KubernetesObject } from "../harness/kubernetes/kubectl";
import { kilobytes, STATE_BUDGET, stateBytes } from "../harness/stateBudget";
import {
  type ProviderServer,
  realProviderParts,
  startProviderServer,
  withoutControllers,
} from "../harness/kubernetes/realProvider";

/** Another version of this package: its runtime. Empty for the built one. */
const other = vi.hoisted(() => ({ sha256: "" }));
vi.mock("../../components/internal/runtimeBundle", async (original) => {
  const built = await original<typeof import("../../components/internal/runtimeBundle")>();
  return {
    ...built,
    runtimeBundleSha256: () => other.sha256 || built.runtimeBundleSha256(),
    runtimeBundleBrotli: () => (other.sha256 === "" ? built.runtimeBundleBrotli() : btoa(other.sha256)),
  };
});

const CNPG = "postgresql.cnpg.io/v1";
const NAMESPACES = ["orders", "cnpg-system"];
const MADE_KINDS =
  "clusters.postgresql.cnpg.io,scheduledbackups.postgresql.cnpg.io,configmaps,secrets,roles,rolebindings,deployments,services,serviceaccounts,poddisruptionbudgets";
const COMMON = {
  namespace: "orders",
  storageGiB: 1,
  // No operator runs here.
  firstBackupTimeoutMinutes: 0,
  schedules: { full: { cron: "0 3 * * *" } },
  silence: { PB003: "a test", PB007: "a test", PB042: "a test", PB030: "a test" },
};

interface DeploymentObject extends KubernetesObject {
  readonly spec: { readonly template: { readonly spec: { readonly containers: readonly { command: string[] }[] } } };
}

interface Content {
  readonly uid: unknown;
  readonly data: Readonly<Record<string, string>>;
}

describe("a changed configuration", async () => {
  const parts = await realProviderParts("a changed configuration on the real provider");
  if (parts === null) return;
  let real: ProviderServer;
  let server: ApiServer;

  beforeAll(async () => {
    real = await startProviderServer(parts, "content", NAMESPACES);
    ({ server } = real);
  });
  afterAll(() => real?.stop());

  function openProgram(
    name: string,
    program: () => Promise<void>,
    transform: pulumi.ResourceTransform = withoutControllers,
  ): Promise<Stack> {
    return openStack(real.programFolder, name, () => {
      pulumi.runtime.registerResourceTransform(transform);
      return program();
    });
  }

  async function contentOf(kind: string, name: string): Promise<Content> {
    const text = await server.kubectl.runOk(["-n", "orders", "get", kind, name, "-o", "json"]);
    const { metadata, data = {} } = JSON.parse(text) as KubernetesObject & { data?: Content["data"] };
    return { uid: metadata["uid"], data };
  }

  /** What the update changed: `update SecretPatch`. Components themselves are left out: they show their arguments. */
  async function changesOf(stack: Stack, refresh = false): Promise<readonly string[]> {
    const changes: string[] = [];
    await stack.up({ refresh, onEvent: ({ resourcePreEvent }) => changes.push(...changeIn(resourcePreEvent)) });
    return changes.sort();
  }

  function location(secretAccessKey: string, sessionToken?: string, name = "b2"): S3CompatibleRepository["target"] {
    return new S3CompatibleRepository(name, {
      endpoint: "s3.eu-central-003.backblazeb2.com",
      region: "eu-central-003",
      path: `/${name}`,
      bucket: {
        existing: {
          name: "orders-pg",
          credentials: {
            accessKeyId: "id",
            secretAccessKey,
            ...(sessionToken === undefined ? {} : { sessionToken }),
          },
        },
      },
    }).target;
  }

  function openOrders(keepDays: number, secretAccessKey = "first"): Promise<Stack> {
    return openProgram("orders", async () => {
      const plugin = new CnpgPlugin("pgbackstop", {});
      new CnpgCluster(
        "orders",
        {
          ...COMMON,
          plugin: plugin.ref,
          repositories: { repo1: { at: location(secretAccessKey), keepDays } },
        },
        { protect: false },
      );
    });
  }

  // claim: docs/kubernetes/new-cluster.md: another retention changes one ConfigMap in place; a stack of an earlier
  //   build keeps its objects (the real provider, skipped without it)
  test("another retention changes one patch, and the ConfigMap stays the same object", async () => {
    const stack = await openOrders(14);
    await stack.up();
    const before = await contentOf("configmap", "orders-pgbackstop");
    expect(before.data["pgbackrest.conf"]).toContain("repo1-retention-full=14");
    expect(await changesOf(await openOrders(14))).toEqual([]);
    await stack.refresh();
    expect(await changesOf(await openOrders(14))).toEqual([]);

    const uids = await uidsIn(server);
    expect(await changesOf(await openOrders(21))).toEqual(["update ConfigMapPatch"]);
    const after = await contentOf("configmap", "orders-pgbackstop");
    expect(after.uid).toBe(before.uid);
    expect(after.data["pgbackrest.conf"]).toContain("repo1-retention-full=21");
    expect(Object.keys(after.data)).toEqual(Object.keys(before.data));

    const keys = await contentOf("secret", "orders-repo1");
    expect(await changesOf(await openOrders(21, "second"), true)).toEqual(["update SecretPatch"]);
    const rotated = await contentOf("secret", "orders-repo1");
    expect(rotated.uid).toBe(keys.uid);
    expect(Buffer.from(rotated.data["ACCESS_SECRET_KEY"] ?? "", "base64").toString()).toBe("second");
    expect(await deletedSince(uids, server)).toEqual([]);
  });

  test("a change by hand is undone, and destroying leaves nothing", async () => {
    await server.kubectl.runOk([
      "-n",
      "orders",
      "patch",
      "configmap",
      "orders-pgbackstop",
      "--type=merge",
      "-p",
      JSON.stringify({ data: { "pgbackrest.conf": "[global]\n" } }),
    ]);
    expect(await changesOf(await openOrders(21, "second"), true)).toEqual(["update ConfigMapPatch"]);
    const mended = await contentOf("configmap", "orders-pgbackstop");
    expect(mended.data["pgbackrest.conf"]).toContain("repo1-retention-full=21");
    await (await openOrders(21, "second")).destroy();
    const left = await server.kubectl.runOk(["-n", "orders", "get", "configmaps,secrets", "-o", "name"]);
    expect(left.split("\n").filter((name) => name !== "" && !name.endsWith("kube-root-ca.crt"))).toEqual([]);
  });

  /** A plugin and clusters as users declare them. No operator runs, and no sidecar reports a backup. */
  function openMany(
    name: string,
    count: number,
    plugin: CnpgPluginArgs,
    over: Partial<CnpgClusterArgs> = {},
  ): Promise<Stack> {
    const program = async (): Promise<void> => {
      const { ref } = new CnpgPlugin("pgbackstop", plugin);
      const [one, two] = [location("key"), location("key", undefined, "r2")];
      for (let number = 1; number <= count; number++) {
        new CnpgCluster(
          `db${number}`,
          {
            ...COMMON,
            firstBackupTimeoutMinutes: 60,
            plugin: ref,
            repositories: { repo1: { at: one, keepDays: 14 }, repo2: { at: two, keepDays: 90 } },
            schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } },
            ...over,
          },
          { protect: false },
        );
      }
    };
    return openProgram(name, program, ({ name: own, opts, props, type }) => withoutWaits(own, type, props, opts));
  }

  /** The state has what users' have. So the provider cannot remove these objects: no garbage collector runs here. */
  async function removeMade(): Promise<void> {
    for (const namespace of NAMESPACES)
      await server.kubectl.runOk(["-n", namespace, "delete", MADE_KINDS, "--all", "--wait=false"]);
  }

  async function bytesOf(
    name: string,
    count: number,
    plugin: CnpgPluginArgs,
    over: Partial<CnpgClusterArgs> = {},
  ): Promise<number> {
    await removeMade();
    await (await openMany(name, count, plugin, over)).up({ parallel: 32 });
    return stateBytes(real.programFolder.folder, name);
  }

  // claim: docs/kubernetes/runtime.md: the state of fifty clusters and fifty hosts
  test("a cluster adds little to the state, and ten are created as usual", async () => {
    const count = 10;
    const { cluster, host, plugin, pluginAndCluster, whole } = STATE_BUDGET;
    const image = { runtimeImage: "registry.example.net/pgbackstop@sha256:01", servesRuntime: true };
    const served = { runtimeDelivery: RuntimeDelivery.Plugin };
    const alone = await bytesOf("alone", 0, image);
    const all = await bytesOf("all", count, image, served);
    const startMs = performance.now();
    await (await openMany("all", count, image, served)).preview();
    const previewMs = performance.now() - startMs;
    const packed = (await bytesOf("packed", 0, {})) - alone;
    const carried = (await bytesOf("carried", 1, {}, { runtimeDelivery: RuntimeDelivery.ConfigMap })) - packed - alone;
    const own = (await bytesOf("own", 1, {})) - packed - alone;
    const source = "https://npm.example.net/pgbackstop/-/pgbackstop-0.1.0.tgz";
    const fetched = await bytesOf("fetched", 1, { runtimeSource: source });
    await removeMade();
    console.info(
      `state: ${count} clusters ${kilobytes(all - alone)}, one ${kilobytes(own)}, one with a ConfigMap ${kilobytes(carried)}; a plugin ${kilobytes(alone)}, its ConfigMap ${kilobytes(packed)}, one without it and a cluster ${kilobytes(fetched)}; preview of ${count} clusters ${Math.round(previewMs / 1000)} s`,
    );
    expect(all - alone).toBeLessThan(count * cluster);
    expect(alone).toBeLessThan(plugin);
    expect(fetched).toBeLessThan(pluginAndCluster);
    expect(50 * (cluster + host) + plugin).toBeLessThan(whole);
  });

  describe("a plugin that follows the package", () => {
    const [first, second, third] = ["aa".repeat(32), "bb".repeat(32), "cc".repeat(32)];
    afterAll(() => {
      other.sha256 = "";
    });

    async function updateTo(
      sha256: string,
      args: CnpgPluginArgs = { followRuntime: true },
    ): Promise<readonly string[]> {
      other.sha256 = sha256;
      const stack = await openProgram("versions", async () => void new CnpgPlugin("pgbackstop", args));
      const changes = await changesOf(stack);
      return changes.filter((change) => change.includes("ConfigMap"));
    }
    /** Names of the ConfigMaps with runtimes, and their identities. */
    async function runtimes(): Promise<Record<string, unknown>> {
      const text = await server.kubectl.runOk(["-n", "cnpg-system", "get", "configmaps", "-o", "json"]);
      const { items } = JSON.parse(text) as { items: KubernetesObject[] };
      const named = items.map(({ metadata }) => [metadata.name, metadata["uid"]] as const);
      return Object.fromEntries(named.filter(([name]) => name.startsWith("pgbackstop-program-")));
    }
    // claim: docs/kubernetes/runtime.md: back to an earlier runtime, the plugin takes over the ConfigMap that is still
    //   there; none with a runtime is ever deleted on the way (the real provider)
    test("goes back to an earlier runtime, whose ConfigMap is still there", async () => {
      await server.kubectl.runOk(["-n", "cnpg-system", "delete", "configmaps", "--all"]);
      await updateTo(first);
      const before = await runtimes();
      expect(Object.keys(before)).toEqual([`pgbackstop-program-${first.slice(0, 12)}`]);
      // It keeps its runtime while it does not follow.
      expect(await updateTo(first)).toEqual([]);
      expect(await updateTo(second, {})).toEqual([]);
      expect(await runtimes()).toEqual(before);

      const replaced = [
        "create-replacement ConfigMapPatch",
        "delete-replaced ConfigMapPatch",
        "replace ConfigMapPatch",
      ];
      expect(await updateTo(second)).toEqual(replaced);
      const both = await runtimes();
      expect(both).toMatchObject(before);
      expect(Object.keys(both)).toHaveLength(2);
      expect(await updateTo(first)).toEqual(replaced);
      expect(await updateTo(first)).toEqual([]);
      expect(await updateTo(second)).toEqual(replaced);
      // Neither was deleted on the way.
      expect(await runtimes()).toEqual(both);
      const text = await server.kubectl.runOk(["-n", "cnpg-system", "get", "configmaps", "-o", "json"]);
      const { items } = JSON.parse(text) as { items: (KubernetesObject & { binaryData?: object })[] };
      const carried = items.flatMap(({ binaryData, metadata }) =>
        metadata.name.startsWith("pgbackstop-program-") ? [binaryData] : [],
      );
      expect(carried).toEqual([first, second].map((sha256) => ({ [`runtime-${sha256}`]: btoa(sha256) })));
    });

    // claim: docs/kubernetes/runtime.md: a plugin that begins to fetch its runtime takes the installed one, keeps it
    //   until it follows, fetches the one before too, and leaves ConfigMaps in place (the real provider)
    test("begins to fetch its runtime, and keeps it until it follows", async () => {
      await server.kubectl.runOk(["-n", "cnpg-system", "delete", "configmaps", "--all"]);
      await updateTo(third);
      const before = await runtimes();
      const urlOf = (version: number): string => `https://npm.example.net/pgbackstop-${version}.tgz`;
      const at = (version: number, followRuntime = false): CnpgPluginArgs => ({
        runtimeSource: urlOf(version),
        followRuntime,
      });
      const listed = async (): Promise<unknown> => {
        const [deployment] = await server.kubectl.list<DeploymentObject>("deployment", "cnpg-system");
        return deployment?.spec.template.spec.containers[0]?.command.at(-1);
      };
      expect(await updateTo(first, at(1))).toEqual(["create ConfigMap", "delete ConfigMapPatch"]);
      expect(await runtimes()).toEqual(before);
      expect(await listed()).toBe(`${first} ${urlOf(1)}`);
      expect(await updateTo(second, at(2))).toEqual([]);
      expect(await listed()).toBe(`${first} ${urlOf(1)}`);
      expect(await updateTo(second, at(2, true))).toContain("replace ConfigMap");
      expect(await listed()).toBe(`${second} ${urlOf(2)} ${first} ${urlOf(1)}`);
      expect(await updateTo(second, at(2, true))).toEqual([]);
      expect(await runtimes()).toEqual(before);
    });
  });

  // claim: docs/kubernetes/running-cluster.md: objects that exist are imported by a transform, and none is replaced (no
  //   operator runs there)
  test("objects that exist are imported, and none of them is replaced", async () => {
    const importAll: pulumi.ResourceTransform = ({ opts, props, type }) => {
      const { name, namespace } = (props as { metadata?: { name?: string; namespace?: string } }).metadata ?? {};
      if (!type.startsWith("kubernetes:") || type.endsWith("Patch")) return undefined;
      return { props, opts: { ...opts, import: `${namespace}/${name}` } };
    };
    const open = (stack: string, imports: boolean): Promise<Stack> =>
      openProgram(stack, async () => {
        const repositories = { repo1: { at: location("first"), keepDays: 14 } };
        const opts = { protect: false, ...(imports ? { transforms: [importAll] } : {}) };
        new CnpgCluster("shop", { ...COMMON, repositories }, opts);
      });
    const former = await open("former", false);
    await former.up();
    const secret = await contentOf("secret", "shop-repo1");
    const config = await contentOf("configmap", "shop-pgbackstop");
    const state = await former.exportStack();
    await former.importStack({ ...state, deployment: { ...state.deployment, resources: [] } });

    const uids = await uidsIn(server);
    const changes = await changesOf(await open("importing", true));
    expect(changes.filter((change) => /^(import|create) /.test(change))).toEqual([
      "create ConfigMapPatch",
      "create SecretPatch",
      "import Cluster",
      "import ConfigMap",
      "import ConfigMap",
      "import ScheduledBackup",
      "import Secret",
    ]);
    expect(changes.filter((change) => /delete|replace/.test(change))).toEqual([]);
    expect(await changesOf(await open("importing", false), true)).toEqual([]);
    expect(await contentOf("secret", "shop-repo1")).toEqual(secret);
    expect(await contentOf("configmap", "shop-pgbackstop")).toEqual(config);
    expect(await deletedSince(uids, server)).toEqual([]);
    await (await open("importing", false)).destroy();
  });

  // claim: docs/kubernetes/running-cluster.md: objects that exist are…
  test("a preview does not ask about an attachment before the Job has made way for it", async () => {
    await makeCluster("intree", {
      backup: { barmanObjectStore: { destinationPath: "s3://a/b", s3Credentials: { inheritFromIAMRole: true } } },
    });
    const stack = await attachTo("intree", { replaceBarmanObjectStore: true });
    const { stdout } = await stack.preview({ diff: true });
    expect(stdout).toMatch(/ClusterPatch: \(create\)[^]*?spec +: (output<string>|\[unknown\])/);
    // No controller runs the Job here.
    expect(await changesOf(stack)).toContain("create ClusterPatch");
    // One that has not ended runs again, and nothing else changes.
    const again = await changesOf(stack);
    expect(again.map((change) => change.split(" ")[1])).toEqual(again.map(() => "Job"));
    expect(again.length).toBeGreaterThan(0);
    await stack.destroy();
  });

  function attachTo(name: string, over: Partial<CnpgBackupArgs> = {}): Promise<Stack> {
    return openProgram(name, async () => {
      const { storageGiB: _size, ...common } = COMMON;
      const repositories = { repo1: { at: location("first"), keepDays: 14 } };
      new CnpgBackup(name, { ...common, clusterName: name, repositories, ...over });
    });
  }

  /** Somebody else's Cluster. */
  async function makeCluster(name: string, fields: object): Promise<void> {
    const spec = { instances: 1, storage: { size: "1Gi" }, ...fields };
    const object = { apiVersion: CNPG, kind: "Cluster", metadata: { name, namespace: "orders" }, spec };
    await server.kubectl.apply([object], { fieldManager: "others" });
  }

  async function specOf(name: string): Promise<{ readonly backup?: object; readonly plugins?: readonly object[] }> {
    const cluster = await server.kubectl.find<{ spec: object }>(CLUSTERS, name, "orders");
    return cluster?.spec ?? {};
  }

  // claim: docs/kubernetes/running-cluster.md: an attachment sets what…
  test("an attachment leaves a field of another manager alone, and a preview says whose a field is that it would take", async () => {
    await makeCluster("targeted", { backup: { target: "primary" } });
    const attached = await attachTo("targeted");
    await attached.preview();
    expect(await changesOf(attached)).toContain("create ClusterPatch");
    const { backup, plugins } = await specOf("targeted");
    expect(backup).toEqual({ target: "primary" });
    expect(plugins).toMatchObject([{ name: "pgbackstop", isWALArchiver: true }]);
    expect(await changesOf(attached, true)).toEqual([]);
    // From here on the provider itself asks.
    const asking = await attachTo("targeted", { backupTarget: "prefer-standby" });
    expect(await failureOf(asking.preview())).toMatch(/conflict with "others".*: \.spec\.backup\.target/);
    await (await attachTo("targeted", { backupTarget: "prefer-standby", takeOverPlugins: true })).up();
    expect((await specOf("targeted")).backup).toEqual({ target: "prefer-standby" });
    await attached.destroy();
  });

  // claim: docs/kubernetes/running-cluster.md: an attachment sets what…
  test("a preview refuses to attach over plugins of another manager, and nothing is made", async () => {
    const others = [{ name: "barman-cloud.cloudnative-pg.io", isWALArchiver: true }];
    await makeCluster("owned", { plugins: others });
    const before = await server.kubectl.runOk(["get", MADE_KINDS, "-n", "orders", "-o", "name"]);
    const fact = 'PB205 clusterName: spec.plugins of Cluster orders/owned belongs to the field manager "others"';
    expect(await failureOf((await attachTo("owned")).preview())).toContain(fact);
    expect(await failureOf((await attachTo("absent")).preview())).toContain("'orders/absent' does not exist");
    expect(await server.kubectl.runOk(["get", MADE_KINDS, "-n", "orders", "-o", "name"])).toBe(before);
    expect((await specOf("owned")).plugins).toMatchObject(others);
    const forced = await attachTo("owned", { takeOverPlugins: true });
    await forced.preview();
    await forced.up();
    expect((await specOf("owned")).plugins).toMatchObject([{ name: "pgbackstop" }]);
    await forced.destroy();
  });

  test("an update without a preview never makes the Cluster that it would patch", async () => {
    for (const over of [{}, { readCluster: false }, { takeOverPlugins: true }]) {
      const stack = await attachTo("absent", over);
      expect(await failureOf(stack.up()), JSON.stringify(over)).toContain("'orders/absent' does not exist");
      expect(await server.kubectl.find(CLUSTERS, "absent", "orders")).toBeNull();
      await stack.destroy();
    }
    // This Cluster goes after it was attached. The next update would patch it.
    await makeCluster("removed", {});
    await (await attachTo("removed")).up();
    await server.kubectl.runOk(["delete", CLUSTERS, "removed", "-n", "orders"]);
    const changed = await attachTo("removed", { backupTarget: "primary" });
    expect(await failureOf(changed.up())).toContain("'orders/removed' does not exist");
    expect(await server.kubectl.find(CLUSTERS, "removed", "orders")).toBeNull();
    // The provider takes no field away from an object that is missing.
    await makeCluster("removed", {});
    await changed.destroy();
  });

  test("a target that is no longer asked for is gone, or the operator's default", async () => {
    await makeCluster("released", {});
    await makeCluster("shared", { backup: { retentionPolicy: "30d" } });
    for (const [name, others] of [
      ["released", undefined],
      ["shared", { retentionPolicy: "30d", target: "prefer-standby" }],
    ] as const) {
      await (await attachTo(name, { backupTarget: "prefer-standby" })).up();
      expect((await specOf(name)).backup).toEqual({ ...others, target: "prefer-standby" });
      const stack = await attachTo(name);
      expect(await changesOf(stack)).toEqual(["update ClusterPatch"]);
      expect((await specOf(name)).backup).toEqual(others);
      await stack.destroy();
    }
  });
});

function changeIn(event: EngineEvent["resourcePreEvent"]): string[] {
  const { op = "same", type = "" } = event?.metadata ?? {};
  const isChange = type.startsWith("kubernetes:") && !["same", "refresh", "read"].includes(op);
  return isChange ? [`${op} ${type.split(":").at(-1)}`] : [];
}

/** Objects for which the provider would wait: no controller runs here. */
function withoutWaits(
  name: string,
  type: string,
  props: Record<string, unknown>,
  opts: pulumi.ResourceOptions,
): pulumi.ResourceTransformResult | undefined {
  if (!/^kubernetes:.*:(Deployment|Service)$/.test(type) && !/^db\d+-full$/.test(name)) return undefined;
  const metadata = props["metadata"] as { annotations?: object } | undefined;
  const annotations = { ...metadata?.annotations, "pulumi.com/skipAwait": "true" };
  return { props: { ...props, metadata: { ...metadata, annotations } }, opts };
}

/** Of the ConfigMaps and Secrets of `orders`, by kind and name. */
async function uidsIn({ kubectl }: ApiServer): Promise<ReadonlyMap<string, unknown>> {
  const lists = await Promise.all(["configmap", "secret"].map((kind) => kubectl.list(kind, "orders")));
  return new Map(lists.flat().map(({ kind, metadata }) => [`${kind} ${metadata.name}`, metadata["uid"]]));
}

/** Names of objects that have disappeared, even for a moment: a new object has a new uid. */
async function deletedSince(before: ReadonlyMap<string, unknown>, server: ApiServer): Promise<readonly string[]> {
  const now = await uidsIn(server);
  return [...before].flatMap(([name, uid]) => (now.get(name) === uid ? [] : [name]));
}
