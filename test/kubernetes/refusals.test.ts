/**
 * Mistakes with the real API server, operator and PostgreSQL. The earliest component that can detect one reports it and
 * says what to do. Where there is a remedy, the test applies it. A renamed cluster also keeps its archive.
 */
import { NIGHTLY } from "../../tools/parts/nightly";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClusterBackupArgs, CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import { conditionOf, type KubernetesObject } from "../harness/kubernetes/kubectl";
import { OPERATOR_NAMESPACE } from "../harness/kubernetes/lab";
import { labParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";

interface ClusterObject extends KubernetesObject {
  readonly spec: { readonly plugins: readonly object[]; readonly backup: object };
}

const OTHER_ARCHIVER = {
  name: "barman-cloud.cloudnative-pg.io",
  isWALArchiver: true,
  parameters: { barmanObjectName: "store" },
};

describe("refusals", async () => {
  const parts = await labParts("refusals in the lab");
  if (parts === null) return;
  let stack: ComponentLab;
  beforeAll(async () => {
    stack = await startComponentLab(parts, "refusals", { pluginNamespace: "default" });
  });
  afterAll(async () => {
    await stack?.stop();
  });

  const one = (name: string, over: Partial<CnpgClusterArgs> = {}): CnpgCluster =>
    new CnpgCluster(name, { ...stack.common(`/${name}`), ...small, ...over });
  const small = { storageGiB: 1, parameters: { shared_buffers: "32MB" } };
  /** Repositories for the archive of `name`, with other credentials for the first one. */
  const withFirst = (name: string, keys: object): ClusterBackupArgs["repositories"] => {
    const { repo1, repo2 } = stack.repositoriesAt(`/${name}`);
    if (repo1 === undefined || repo2 === undefined) throw new Error("two repositories are expected");
    const { bucket, port, region } = stack.first;
    const location = { endpoint: "first.default.svc", port, region, uriStyle: "path", path: `/${name}` } as const;
    const at = new S3CompatibleRepository(name, { ...location, bucket: { existing: { name: bucket, ...keys } } });
    return { repo1: { ...repo1, at: at.target }, repo2 };
  };
  const objectsOf = async (
    name: string,
  ): Promise<{ readonly cluster: ClusterObject; readonly schedule: KubernetesObject & { readonly spec: object } }> => {
    const objects = (await renderedObjects(() => void one(name))) as KubernetesObject[];
    const find = (kind: string): never => objects.find((object) => object.kind === kind) as never;
    return { cluster: find("Cluster"), schedule: find("ScheduledBackup") };
  };
  const refusalOf = (object: object, spec: object): Promise<string> =>
    stack.lab.kubectl.refusal([{ ...object, spec: { ...(object as { spec: object }).spec, ...spec } }]);
  const archivingOf = async (name: string, args: string): Promise<string> => {
    const isReported = (object: object): boolean =>
      (conditionOf(object, "ContinuousArchiving")?.message ?? "").includes(args);
    const cluster = await stack.lab.kubectl.waitUntil({ kind: CLUSTERS, name }, isReported);
    return conditionOf(cluster, "ContinuousArchiving")?.message ?? "";
  };
  const isArchiving = (name: string): Promise<unknown> =>
    stack.lab.kubectl.waitForCondition(CLUSTERS, name, "ContinuousArchiving");
  const remove = (name: string): Promise<unknown> =>
    stack.lab.kubectl.runOk(["delete", CLUSTERS, name, "-n", "default", "--wait=false"]);

  // claim: docs/kubernetes/new-cluster.md: mistakes are reported early: plugin in another namespace, two archivers,
  //   five fields, a wrong key
  test("the Cluster reports a plugin in another namespace than the operator's, and continues once it is moved", async () => {
    await stack.declare(() => one("orders"));
    const unknown = "Cluster cannot proceed to reconciliation due to an unknown plugin being required";
    const cluster = await stack.lab.kubectl.waitUntil<{ status?: { phase?: string; phaseReason?: string } }>(
      { kind: CLUSTERS, name: "orders" },
      ({ status }) => status?.phase === unknown,
    );
    expect(cluster.status?.phaseReason).toBe(
      "Unknown plugin: 'pgbackstop'. This may be caused by the plugin not being loaded correctly by the operator. Check the operator and plugin logs for errors",
    );
    await stack.movePlugin("default", OPERATOR_NAMESPACE);
    await isArchiving("orders");
  });

  // claim: docs/kubernetes/new-cluster.md: mistakes are reported early…
  test("two archivers are refused by the API server", async () => {
    const { cluster } = await objectsOf("two");
    expect(await refusalOf(cluster, { plugins: [...cluster.spec.plugins, OTHER_ARCHIVER] })).toBe(
      'The Cluster "two" is invalid: spec.plugins: Invalid value: ["pgbackstop","barman-cloud.cloudnative-pg.io"]: Cannot enable more than one WAL archiver plugin',
    );
    const inTree = { destinationPath: "s3://a/b", s3Credentials: { inheritFromIAMRole: true } };
    expect(await refusalOf(cluster, { backup: { ...cluster.spec.backup, barmanObjectStore: inTree } })).toContain(
      'The Cluster "two" is invalid: spec.plugins: Invalid value: ["pgbackstop"]: Cannot enable a WAL archiver plugin when barmanObjectStore is configured',
    );
  });

  test("the operator's own archiver gives way to the plugin in one request, and no WAL is lost between them", async () => {
    const objects = (await renderedObjects(() => void one("intree"))) as KubernetesObject[];
    const isCluster = ({ kind }: KubernetesObject): boolean => kind === "Cluster";
    const cluster = objects.find(isCluster) as ClusterObject | undefined;
    if (cluster === undefined) throw new Error("no Cluster");
    const { backup, plugins, ...spec } = cluster.spec;
    // Nobody gave it credentials, so all WAL waits in pg_wal.
    const barmanObjectStore = { destinationPath: "s3://a/b", s3Credentials: { inheritFromIAMRole: true } };
    await stack.lab.kubectl.apply(
      [{ ...cluster, spec: { ...spec, backup: { barmanObjectStore, retentionPolicy: "30d" } } }],
      { fieldManager: "others" },
    );
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "intree", "Ready");
    // What the plugin needs comes first; schedules come last.
    await stack.lab.kubectl.apply(objects.filter((each) => !isCluster(each) && each.kind !== "ScheduledBackup"));
    const patch = (change: object): Promise<{ readonly exitCode: number | null; readonly stderr: string }> =>
      stack.lab.kubectl.run([
        "patch",
        CLUSTERS,
        "intree",
        "-n",
        "default",
        "--type=merge",
        "-p",
        JSON.stringify({ spec: change }),
      ]);
    expect((await patch({ plugins })).stderr).toContain(
      "Cannot enable a WAL archiver plugin when barmanObjectStore is configured",
    );
    expect(
      await patch({ plugins, backup: { ...backup, barmanObjectStore: null, retentionPolicy: null } }),
    ).toMatchObject({ exitCode: 0 });
    await isArchiving("intree");
    await expect
      .poll(() => stack.segmentsOf(stack.second, "intree"), { timeout: 180_000 })
      .toContain("000000010000000000000001");
    // The component takes the fields over as they are.
    const generation = async (): Promise<unknown> =>
      (await stack.lab.kubectl.find(CLUSTERS, "intree"))?.metadata["generation"];
    const was = await generation();
    await stack.lab.kubectl.apply([{ ...cluster, spec: { plugins, backup } }], { fieldManager: "pulumi", force: true });
    expect(await generation()).toBe(was);
    await remove("intree");
  });

  // claim: docs/kubernetes/new-cluster.md: mistakes are reported early…
  test("schedules with the wrong number of fields are reported: five here, six in CloudNativePG", async () => {
    const { schedule } = await objectsOf("two");
    expect(await refusalOf(schedule, {})).toBe("");
    expect(await refusalOf(schedule, { schedule: "0 3 * * 0" })).toBe(
      'The ScheduledBackup "two-full" is invalid: spec.schedule: Invalid value: "0 3 * * 0": Beginning of range (0) below minimum (1): 0',
    );
    // CloudNativePG accepts it and reads it as minute 3 of every hour.
    expect(await refusalOf(schedule, { schedule: "0 3 * * *" })).toMatch(
      /^Warning: Schedule parameter may not have the right number of arguments/,
    );
    await expect(
      renderedObjects(() => void one("two", { schedules: { full: { cron: "0 0 3 * * 0" } } })),
    ).rejects.toThrow(
      'PB011 schedules.full.cron: "0 0 3 * * 0" has 6 fields, not the five of minute, hour, day of month, month, day of week; write five fields: without the seconds "0 3 * * 0"; rendering adds the sixth for CloudNativePG',
    );
  });

  // claim: docs/kubernetes/new-cluster.md: mistakes are reported early…
  test("the Cluster's condition reports a wrong key, with the option to check", async () => {
    const { accessKey } = stack.first;
    await stack.declare(() =>
      one("wrongkey", {
        repositories: withFirst("wrongkey", { credentials: { accessKeyId: accessKey, secretAccessKey: "wrong" } }),
      }),
    );
    const printed = await archivingOf("wrongkey", "repo1: [AccessError]");
    expect(printed).toMatch(/\[403\] SignatureDoesNotMatch/);
    expect(printed).toMatch(
      /\nHINT: The secret does not match the access key: check repo1-s3-key-secret, then repo1-s3-region\.$/,
    );
    // The second repository already has the segment.
    await expect
      .poll(() => stack.segmentsOf(stack.second, "wrongkey"), { timeout: 60_000 })
      .toContain("000000010000000000000001");
    await remove("wrongkey");
  });

  // claim: docs/kubernetes/keys.md: a missing Secret is that repository's error, and is used as soon as it exists; a
  //   recovery waits for it
  test("the Cluster's condition reports a missing Secret, which keeps no database from starting", async () => {
    const existingSecret = { name: "nobody", accessKeyIdKey: "id", secretAccessKeyKey: "key" };
    await stack.declare(() => one("nosecret", { repositories: withFirst("nosecret", { existingSecret }) }));
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "nosecret", "Ready");
    const printed = await archivingOf("nosecret", "repo1: [");
    expect(printed).toContain("OptionRequiredError: cnpg-instance command requires option: repo1-s3-key");
    const { accessKey, secretKey } = stack.first;
    await stack.lab.kubectl.apply([
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "nobody", namespace: "default" },
        stringData: { id: accessKey, key: secretKey },
      },
    ]);
  });

  describe("two clusters in one archive", () => {
    const copy = (name: string, over: Partial<CnpgClusterArgs>, time?: string): CnpgRestore =>
      new CnpgRestore(name, {
        ...stack.common("/copies"),
        ...small,
        ...over,
        source: {
          stanza: "orders",
          repositories: stack.repositoriesAt("/orders"),
          ...(time === undefined ? {} : { target: { time } }),
        },
      });

    // claim: docs/kubernetes/plugin.md: another recovery's archive is refused before anything is sent, at each
    //   promotion
    test.runIf(NIGHTLY)(
      "of two recovered from one archive, the second is refused in a repository where the first took the timeline",
      async () => {
        expect((await stack.firstBackup("orders")).error).toBeUndefined();
        await stack.sql("orders-1", "create table goods as select generate_series(1, 1000) as id");
        await stack.sql("orders-1", "select pg_sleep(1.1)");
        const time = await stack.sql(
          "orders-1",
          `select to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
        );
        await stack.sql("orders-1", "select pg_sleep(1.1)");
        await stack.sql("orders-1", "insert into goods values (1001)");
        await stack.check("orders-1");
        await stack.declare(() => copy("copy", { stanza: "copies" }));
        await isArchiving("copy");
        await stack.declare(() => copy("twin", { stanza: "copies" }, time));
        const before = stack.segmentsOf(stack.second, "copies");
        expect(await archivingOf("twin", "00000002.history")).toMatch(
          /repo[12] already holds 00000002\.history of another recovery of stanza 'copies'\nHINT: Two clusters recovered from one archive must not both archive there\.\nHINT: Give this cluster its own stanza: the plugin parameter 'stanza' in spec\.plugins\.$/,
        );
        // `twin` sent nothing before it was refused: the archive has only WAL of `copy`.
        const own = new Set((await stack.sql("copy-1", "select name from pg_ls_waldir()")).split("\n"));
        expect(
          stack.segmentsOf(stack.second, "copies").filter((name) => !before.includes(name) && !own.has(name)),
        ).toEqual([]);
        expect((await stack.verb("copy-1", "verify", "--repo=2")).exitCode).toBe(0);
        await remove("copy");
        await remove("twin");
      },
    );

    // claim: docs/kubernetes/rename.md: a renamed cluster keeps…
    test("the preview refuses a restore into its own source archive", async () => {
      const again = renderedObjects(() => void copy("again", { ...stack.common("/orders"), stanza: "orders" }));
      await expect(again).rejects.toThrow(
        /PB114 repositories\.repo1: .*orders with stanza "orders" is the archive that the cluster is restored from; choose another path or stanza to keep the old cluster's backups; set continueArchive only if that cluster is gone for good/,
      );
    });
  });

  // claim: docs/kubernetes/keys.md: a missing Secret is…
  test.runIf(NIGHTLY)("a missing Secret is used as soon as it exists", async () => {
    await isArchiving("nosecret");
    await expect
      .poll(() => stack.segmentsOf(stack.first, "nosecret"), { timeout: 60_000 })
      .toContain("000000010000000000000001");
    await remove("nosecret");
  });

  // claim: docs/kubernetes/rename.md: a renamed cluster keeps its archive; without `continueArchive` that is refused
  test.runIf(NIGHTLY)("a renamed cluster continues its archive on a new timeline", async () => {
    const annotate = (arg: string): Promise<string> =>
      stack.lab.kubectl.runOk([
        "annotate",
        CLUSTERS,
        "orders",
        "-n",
        "default",
        "--overwrite",
        `cnpg.io/hibernation=${arg}`,
      ]);
    await stack.sql("orders-1", "insert into goods values (1002)");
    await stack.check("orders-1");
    await annotate("on");
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "orders", "cnpg.io/hibernation");
    const shop = (): CnpgRestore =>
      new CnpgRestore("shop", {
        ...stack.common("/orders"),
        ...small,
        stanza: "orders",
        source: { stanza: "orders", repositories: stack.repositoriesAt("/orders"), continueArchive: true },
      });
    await stack.declare(shop);
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "shop", "Ready");
    expect(await stack.sql("shop-1", "select count(*), max(id) from goods")).toBe("1002|1002");
    await isArchiving("shop");
    expect((await stack.firstBackup("shop")).error).toBeUndefined();
    await remove("orders");
    // The stanza has the backups before and after the rename, and continuous WAL.
    const info = await stack.verb("shop-1", "info", "--repo=2");
    // On a busy machine the sidecar may have taken another backup because the scheduled one was late.
    expect(info.stdout.match(/full backup: /g)?.length).toBeGreaterThanOrEqual(2);
    expect(info.stdout).toMatch(/wal archive min\/max \(18\): 0{7}1[0-9A-F]{16}\/0{7}2[0-9A-F]{16}/);
    for (const key of ["1", "2"])
      expect(await stack.verb("shop-1", "verify", `--repo=${key}`)).toMatchObject({ exitCode: 0 });
    // Every update applies it again, which changes nothing.
    const generation = async (): Promise<unknown> =>
      (await stack.lab.kubectl.find(CLUSTERS, "shop"))?.metadata["generation"];
    const was = await generation();
    await stack.declare(shop);
    expect(await generation()).toBe(was);
  });
});
