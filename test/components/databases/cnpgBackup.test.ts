/** Outputs of a CnpgBackup for an existing Cluster. */
import * as pulumi from "@pulumi/pulumi";
import { expect, test, vi } from "vitest";
import { ClusterEngine } from "../../../components/databases/cnpgArgs";
import { CnpgBackup } from "../../../components/databases/cnpgBackup";
import { CnpgCluster } from "../../../components/databases/cnpgCluster";
import { S3CompatibleRepository } from "../../../components/repositories/s3CompatibleRepository";
import { renderedObjects } from "../../harness/kubernetes/rendered";
import type { KubernetesObject } from "../../harness/kubernetes/kubectl";

vi.mock("../../../components/internal/runtimeBundle", () => ({
  runtimeBundleSha256: () => "0".repeat(64),
  runtimeBundleGzip: () => "gzip",
}));

const SNAPSHOTS = { cron: "0 5 * * *", keepDays: 7 };

function common(): ConstructorParameters<typeof CnpgBackup>[1] {
  const { target } = new S3CompatibleRepository("store", {
    endpoint: "s3.example.net",
    region: "eu",
    bucket: {
      existing: {
        name: "orders-pg",
        existingSecret: { name: "keys", accessKeyIdKey: "id", secretAccessKeyKey: "secret" },
      },
    },
  });
  return {
    namespace: "db",
    clusterName: "orders",
    operatorVersion: "1.30.0",
    repositories: { repo1: { at: target, keepDays: 14 } },
    schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } },
    silence: { PB003: "a test", PB007: "a test", PB042: "a test" },
    snapshots: SNAPSHOTS,
  };
}

test.each([
  ["CnpgBackup", () => new CnpgBackup("orders", common())],
  ["CnpgCluster", () => new CnpgCluster("orders", { ...common(), storageGiB: 1 })],
])("%s names every ScheduledBackup that it creates, including that of snapshots", async (_name, make) => {
  let names: readonly string[] = [];
  const objects = (await renderedObjects(
    () => void make().scheduleNames.apply((result) => (names = result)),
  )) as KubernetesObject[];
  const made = objects.filter(({ kind }) => kind === "ScheduledBackup").map(({ metadata }) => metadata.name);
  expect(made).toContain("orders-snapshot");
  expect([...names].sort()).toEqual(made.sort());
});

test("its access has a Job's inputs for verbs, by the names of Secrets, and its drills with the newest backup", async () => {
  let verbs: unknown;
  let other: unknown = "unseen";
  await renderedObjects(() => {
    const { snapshots: _snapshots, ...given } = common();
    const drills = { weekly: { cron: "0 5 * * 6", from: "repo1" } };
    const made = new CnpgBackup("orders", { ...given, drills, namespace: pulumi.output("db") });
    pulumi.output(made.access.verbs as object).apply((result) => (verbs = result));
    const barman = {
      ...given,
      schedules: { full: { cron: "0 3 * * 0" } },
      clusterName: "barman",
      engine: ClusterEngine.BarmanCloud,
    };
    other = new CnpgBackup("barman", barman).access.verbs;
  });
  expect(verbs).toMatchObject({ args: ["--config=/pgbackstop/config/pgbackrest.conf", "--stanza=orders"] });
  const { drills, volumes } = verbs as { drills: Record<string, object>; volumes: object };
  expect(JSON.stringify(volumes)).toContain('"name":"keys"');
  expect(JSON.stringify(drills["weekly"])).toContain('"--pick=newest"');
  expect(drills["weekly"]).not.toHaveProperty("ttlSecondsAfterFinished");
  expect(other).toBeUndefined();
});

/** Everything that a Cluster's name decides: names, hashes of names, times. */
function namedArgs(clusterName: pulumi.Input<string>): ConstructorParameters<typeof CnpgBackup>[1] {
  const drills = { "weekly-restore-of-the-newest-backup": { cron: "0 5 * * 6" } };
  const given = common();
  const at = { name: "own", path: "/own", s3: { bucket: "own-pg", endpoint: "s3.example.net", region: "eu" } };
  const credentials = { accessKeyId: "id", secretAccessKey: "key" };
  const own = { at: { ...at, s3: { ...at.s3, credentials } }, keepDays: 7 };
  return { ...given, clusterName, drills, repositories: { ...given.repositories, repo2: own } };
}

test("a Cluster whose name comes later gets the same objects as one whose name is plain", async () => {
  const seen: Record<string, unknown> = {};
  const make = async (clusterName: () => pulumi.Input<string>): Promise<readonly string[]> => {
    const objects = await renderedObjects(() => {
      const made = new CnpgBackup("legacy", namedArgs(clusterName()));
      const { clusterName: named, drilled, scheduleNames, stanza, topology } = made;
      const { access } = made;
      const outputs = { access, drilled, named, scheduleNames, stanza, topology };
      pulumi.output<object>(outputs).apply((all) => Object.assign(seen, all));
    });
    return objects.map((object) => JSON.stringify(object)).sort();
  };
  const plain = await make(() => "orders-of-the-shop");
  const expected = JSON.stringify(seen);
  const deferred = await make(() => pulumi.output(Promise.resolve("orders-of-the-shop")));
  expect(deferred).toEqual(plain);
  expect(JSON.stringify(seen)).toBe(expected);
  expect(expected).toContain("orders-of-the-shop-full");
});
