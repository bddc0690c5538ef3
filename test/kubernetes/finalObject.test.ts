/**
 * What a preview judged is what exists: merged fields, shared archives, and refused destroys on the real provider of
 * Kubernetes and a real API server. No operator runs.
 */
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { failureOf } from "../harness/compare/engineTexts";
import type { ApiServer } from "../harness/kubernetes/apiServer";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import {
  type ProviderServer,
  realProviderParts,
  startProviderServer,
  withoutControllers,
} from "../harness/kubernetes/realProvider";

const NAMESPACE = "final";
const KINDS = "clusters.postgresql.cnpg.io,scheduledbackups.postgresql.cnpg.io,poolers,configmaps,secrets";
const IMAGE = "registry.example.net/postgresql:17";

type Spec = Readonly<Record<string, unknown>>;

describe("the objects that a preview judged", async () => {
  const parts = await realProviderParts("merged fields and refused destroys on the real provider");
  if (parts === null) return;
  let real: ProviderServer;
  let server: ApiServer;

  beforeAll(async () => {
    real = await startProviderServer(parts, "final", [NAMESPACE]);
    ({ server } = real);
  });
  afterAll(() => real?.stop());

  /** Clusters of these names, which share one repository. */
  function openClusters(
    names: readonly string[],
    over: Partial<CnpgClusterArgs> = {},
    opts: pulumi.ComponentResourceOptions = { protect: false },
  ): Promise<Stack> {
    return openStack(real.programFolder, "final", async () => {
      pulumi.runtime.registerResourceTransform(withoutControllers);
      const { target } = new S3CompatibleRepository("b2", {
        endpoint: "s3.eu-central-003.backblazeb2.com",
        region: "eu-central-003",
        bucket: { existing: { name: "orders-pg", credentials: { accessKeyId: "id", secretAccessKey: "key" } } },
      });
      const clusters = names.map(
        (name) =>
          new CnpgCluster(
            name,
            {
              namespace: NAMESPACE,
              operatorVersion: "1.30.0",
              storageGiB: 1,
              stanza: "orders",
              firstBackupTimeoutMinutes: 0,
              repositories: { repo1: { at: target, keepDays: 14 } },
              schedules: { full: { cron: "0 3 * * *" } },
              poolers: { web: {} },
              silence: { PB003: "a test", PB007: "a test", PB042: "a test", PB030: "a test" },
              ...over,
            },
            opts,
          ),
      );
      return { image: clusters[0]?.like.image };
    });
  }

  async function specOf(name: string): Promise<Spec> {
    return (await server.kubectl.find<{ spec: Spec }>(CLUSTERS, name, NAMESPACE))?.spec ?? {};
  }

  /** Kind, name and identity of everything that a cluster leaves here. */
  async function objects(): Promise<readonly string[]> {
    const columns =
      "custom-columns=KIND:.kind,NAME:.metadata.name,UID:.metadata.uid,DELETED:.metadata.deletionTimestamp";
    const lines = await server.kubectl.runOk(["-n", NAMESPACE, "get", KINDS, "--no-headers", "-o", columns]);
    return lines
      .trim()
      .split("\n")
      .filter((line) => line.includes("orders"))
      .map((line) => line.replaceAll(/ +/g, " "))
      .toSorted();
  }

  // claim: docs/kubernetes/fields.md: `spec` is merged by the names of items, and what results is judged: the same
  //   lists in the API server; a preview refuses a `spec` or a transform that stops the archiver
  test("a `spec` arrives merged, and a preview refuses one that stops the archiver", async () => {
    const spec = {
      imageName: IMAGE,
      env: [{ name: "TZ", value: "Europe/Vienna" }],
      managed: { roles: [{ name: "app", connectionLimit: 5 }, { name: "reports" }] },
      plugins: [{ name: "pgbackstop", parameters: { cpuRequest: "50m" } }],
    };
    const merged = await openClusters(["orders"], { spec });
    const { outputs } = await merged.up();
    expect(outputs["image"]?.value).toBe(IMAGE);
    const made = await specOf("orders");
    expect(made).toMatchObject({
      imageName: IMAGE,
      env: [{ name: "TZ", value: "Europe/Vienna" }],
      managed: { roles: [{ name: "app", connectionLimit: 5 }, { name: "reports" }] },
      plugins: [{ name: "pgbackstop", isWALArchiver: true, parameters: { cpuRequest: "50m" } }],
    });

    const removals: readonly [Partial<CnpgClusterArgs>, pulumi.ComponentResourceOptions][] = [
      [{ spec: { ...spec, plugins: [{ name: "pgbackstop", enabled: false }] } }, {}],
      [{}, { transforms: [withoutPlugins] }],
    ];
    for (const [over, opts] of removals) {
      const stack = await openClusters(["orders"], { spec, ...over }, { protect: false, ...opts });
      expect(await failureOf(stack.preview())).toContain("PB201");
      expect(await specOf("orders")).toEqual(made);
    }
  });

  test("a preview refuses a second cluster in the same archive", async () => {
    const before = await objects();
    const both = await openClusters(["orders", "orders-copy"]);
    const fact = /PB195 repositories\.repo1\.at: this repository with this stanza is also that of CnpgCluster orders/;
    expect(await failureOf(both.preview())).toMatch(fact);
    expect(await objects()).toEqual(before);
  });

  // claim: docs/reference/components.md: a refused destroy of…
  test("a destroy of a protected cluster is refused without a preview, and deletes nothing", async () => {
    const guarded = await openClusters(["orders"], {}, {});
    await guarded.up();
    const before = await objects();
    expect(before.join("\n")).toMatch(/^ScheduledBackup orders-full .* <none>$/m);
    expect(await failureOf(guarded.destroy())).toContain("protected");
    expect(await objects()).toEqual(before);
    const open = await openClusters(["orders"]);
    await open.up();
    await open.destroy();
    expect(await objects()).toEqual([]);
  });
});

const withoutPlugins: pulumi.ResourceTransform = ({ opts, props, type }) =>
  type === "kubernetes:postgresql.cnpg.io/v1:Cluster"
    ? { opts, props: { ...props, spec: { ...(props["spec"] as Spec), plugins: [] } } }
    : undefined;
