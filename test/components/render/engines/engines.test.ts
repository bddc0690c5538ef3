/** Objects of each CloudNativePG engine for the same arguments. */
import { expect, test } from "vitest";
import { DALIBO_IMAGES } from "../../../../components/plan/cluster/images";
import {
  engineParts,
  oneShotBackups,
  oneShotBackupsByRepository,
  renderAttachment,
  renderCluster,
} from "../../../../components/render/kubernetes/clusterObjects";
import { type DaliboPlan, renderDalibo } from "../../../../components/render/kubernetes/daliboPlugin";
import { recoverySource } from "../../../../components/render/kubernetes/source";
import { readParameters } from "../../../../runtime/cnpg/operator/parameters";
import { context, objectOf, resolved } from "../../clusters";
import { BUCKET, R2 } from "../../plans";

interface StanzaView {
  readonly name: string;
  readonly s3Repositories: readonly {
    bucket: string;
    endpoint: string;
    repoPath: string;
    cipherConfig?: { type: string };
  }[];
}

const PLAIN = { ...BUCKET, at: { ...BUCKET.at, encrypted: false } };

test("a replica cluster follows its source", () => {
  const recovery = { stanza: "old", repositories: { repo1: BUCKET } };
  const specOf = (replica: object | undefined): unknown => {
    const over = { bootstrap: { recovery }, ...(replica === undefined ? {} : { replica }) };
    const { source } = resolved(over);
    if (source === null) throw new Error("no source");
    return (
      objectOf(renderCluster(context(over), recoverySource(context(over), source)), "cluster")["spec"] as {
        replica?: unknown;
      }
    ).replica;
  };
  expect(specOf(undefined)).toBeUndefined();
  expect(specOf({ minApplyDelay: "4h" })).toEqual({ enabled: true, source: "source", minApplyDelay: "4h" });
  expect(specOf({ enabled: false, promotionToken: "token" })).toEqual({
    enabled: false,
    source: "source",
    promotionToken: "token",
  });
});

test("Dalibo's plugin: a Stanza with both repositories, and a schedule for each an hour apart on the primary", () => {
  const objects = renderCluster(context({ engine: "pgbackrest", schedules: { full: { cron: "0 3 * * 0" } } }), null);
  expect(objectOf(objects, "stanza")).toMatchObject({
    kind: "Stanza",
    spec: {
      stanzaConfiguration: {
        name: "orders",
        // Nothing else is writable in the sidecar, so a spool would need a volume.
        archive: { async: false },
        compressConfig: { type: "zst", level: 3 },
        customEnvVar: { PGBACKREST_REPO1_BUNDLE: "y", PGBACKREST_REPO2_BUNDLE: "y" },
        s3Repositories: [
          {
            bucket: "ledger-backups",
            verifyTLS: true,
            retentionPolicy: { full: 4, fullType: "count" },
            cipherConfig: { type: "aes-256-cbc", encryptionPass: { name: "orders-repo1", key: "ENCRYPTION_PASS" } },
          },
          {
            bucket: "orders-backups",
            verifyTLS: true,
            retentionPolicy: { full: 90, fullType: "time" },
            region: "auto",
          },
        ],
      },
    },
  });
  const runs = objects.filter(({ role }) => role.startsWith("schedule-")).map(({ manifest }) => manifest["spec"]);
  expect(runs).toMatchObject([
    {
      schedule: "0 0 3 * * 0",
      target: "primary",
      immediate: true,
      pluginConfiguration: { parameters: { backupType: "full", selectedRepository: "1" } },
    },
    {
      schedule: "0 0 4 * * 0",
      target: "primary",
      immediate: false,
      pluginConfiguration: { parameters: { backupType: "full", selectedRepository: "2" } },
    },
  ]);
  expect(objectOf(objects, "cluster")["spec"]).toMatchObject({
    plugins: [{ parameters: { stanzaRef: "orders-stanza" } }],
    backup: { target: "primary" },
  });
});

// claim: docs/kubernetes/engines.md: from `pgbackrest` to `runtime`…
test("Dalibo's plugin and the engine of this package write to the same locations under the same names", () => {
  const schedules = { full: { cron: "0 3 * * 0" } };
  const stanza = objectOf(renderCluster(context({ engine: "pgbackrest", schedules }), null), "stanza")["spec"] as {
    stanzaConfiguration: StanzaView;
  };
  const ours = renderCluster(context({ schedules }), null);
  const { "pgbackrest.conf": conf } = objectOf(ours, "config")["data"] as Record<string, string>;
  const { name, s3Repositories } = stanza.stanzaConfiguration;
  expect(s3Repositories).toHaveLength(2);
  for (const [index, { bucket, cipherConfig, endpoint, repoPath }] of s3Repositories.entries()) {
    const repo = `repo${index + 1}`;
    const lines = [`${repo}-s3-bucket=${bucket}`, `${repo}-s3-endpoint=${endpoint}`, `${repo}-path=${repoPath}`];
    expect(conf?.split("\n")).toEqual(expect.arrayContaining(lines));
    expect(conf?.includes(`${repo}-cipher-type=${cipherConfig?.type}`)).toBe(cipherConfig !== undefined);
  }
  expect(objectOf(ours, "cluster")["spec"]).toMatchObject({ plugins: [{ parameters: { stanza: name } }] });
});

test("Barman's plugin at B2: checksums off, region and retention set", () => {
  const over = {
    engine: "barman-cloud",
    repositories: { repo1: { ...PLAIN, keepFullCount: undefined, keepDays: 30 } },
    schedules: { full: { cron: "0 3 * * *" } },
  };
  expect(objectOf(renderCluster(context(over), null), "object-store")["spec"]).toEqual({
    configuration: {
      destinationPath: "s3://ledger-backups/ledger",
      endpointURL: "https://s3.eu-central-003.backblazeb2.com",
      s3Credentials: {
        accessKeyId: { name: "orders-repo1", key: "ACCESS_KEY_ID" },
        secretAccessKey: { name: "orders-repo1", key: "ACCESS_SECRET_KEY" },
      },
      wal: { compression: "zstd" },
    },
    retentionPolicy: "30d",
    instanceSidecarConfiguration: {
      env: [
        { name: "AWS_DEFAULT_REGION", value: "eu-central-003" },
        { name: "AWS_REQUEST_CHECKSUM_CALCULATION", value: "when_required" },
        { name: "AWS_RESPONSE_CHECKSUM_VALIDATION", value: "when_required" },
      ],
    },
  });
});

test("snapshots alone, and beside an archiver", () => {
  const snapshots = { className: "csi", walClassName: "csi-wal", cron: "0 5 * * *" };
  const alone = renderCluster(
    context({ engine: "volumeSnapshot", repositories: {}, schedules: { full: { cron: "0 3 * * *" } }, snapshots }),
    null,
  );
  expect(objectOf(alone, "cluster")["spec"]).toMatchObject({
    backup: {
      volumeSnapshot: { className: "csi", walClassName: "csi-wal", online: true, snapshotOwnerReference: "none" },
    },
  });
  expect(objectOf(alone, "cluster")["spec"]).not.toHaveProperty("plugins");
  expect(objectOf(alone, "schedule-full")["spec"]).toMatchObject({ method: "volumeSnapshot", online: true });
  const beside = renderCluster(context({ snapshots }), null);
  expect(objectOf(beside, "schedule-snapshot")["spec"]).toMatchObject({
    schedule: "0 0 5 * * *",
    method: "volumeSnapshot",
    immediate: false,
  });
  expect(objectOf(beside, "cluster")["spec"]).toMatchObject({
    plugins: [{ name: "pgbackstop" }],
    backup: { volumeSnapshot: { className: "csi" } },
  });
});

test("snapshots with a retention are removed once a day, alone and beside an archiver", () => {
  const objects = renderCluster(context({ snapshots: { cron: "0 5 * * *", keepDays: 7, keepCount: 3 } }), null);
  const names = objects
    .filter(({ role }) => role.startsWith("expiry"))
    .map(({ role, manifest }) => `${role} ${manifest.kind} ${manifest.metadata.name}`);
  expect(names).toEqual([
    "expiry-account ServiceAccount orders-expire",
    "expiry-role Role orders-expire",
    "expiry-binding RoleBinding orders-expire",
    "expiry CronJob orders-expire",
  ]);
  expect(objectOf(objects, "expiry-role")["rules"]).toEqual([
    { apiGroups: ["postgresql.cnpg.io"], resources: ["backups"], verbs: ["list", "delete"] },
    { apiGroups: ["snapshot.storage.k8s.io"], resources: ["volumesnapshots"], verbs: ["list", "delete"] },
  ]);
  const text = JSON.stringify(objectOf(objects, "expiry"));
  expect(text).toContain('"timeZone":"Etc/UTC"');
  expect(text).toContain('"--snapshot-schedule=orders-snapshot","--snapshot-keep-days=7","--snapshot-keep-count=3"');
  expect(text).toContain('"configMap":{"name":"orders-runtime-0123456789ab"}');
  const alone = { engine: "volumeSnapshot", repositories: {}, schedules: { full: { cron: "0 3 * * *" } } };
  const of = (over: Parameters<typeof context>[0]): string =>
    JSON.stringify(renderCluster(context(over), null).find(({ role }) => role === "expiry")?.manifest ?? null);
  expect(of({ ...alone, snapshots: { keepCount: 2 } })).toContain(
    '"--snapshot-schedule=orders-full","--snapshot-keep-count=2"',
  );
  expect(of({ ...alone, snapshots: { className: "csi" } })).toBe("null");
  expect(of({ snapshots: { keepDays: 7 } })).toBe("null");
  expect(
    renderAttachment(context({ snapshots: { cron: "0 5 * * *", keepDays: 7 } })).map(({ role }) => role),
  ).toContain("expiry");
});

test("jobs of many clusters do not start in one minute", () => {
  const minutes = Array.from({ length: 60 }, (_, index) => {
    const objects = renderCluster(
      context({ clusterName: `orders-${index}`, snapshots: { cron: "0 5 * * *", keepDays: 7 } }),
      null,
    );
    return (objectOf(objects, "expiry")["spec"] as { schedule: string }).schedule;
  });
  expect(new Set(minutes).size).toBeGreaterThan(20);
  for (const schedule of minutes) expect(schedule).toMatch(/^([0-5]?\d) [1-4] \* \* \*$/);
});

const TIME = "2026-11-20T06:40:59Z";

test.each([
  ["runtime", { configMap: "orders-source-pgbackstop", stanza: "old" }, "source-config", TIME],
  ["pgbackrest", { stanzaRef: "orders-source" }, "source-stanza", "2026-11-20 06:40:59+00"],
  ["barman-cloud", { barmanObjectName: "orders-source", serverName: "old" }, "source-object-store", TIME],
])("a restore from backups of engine %s", (engine, parameters, role, targetTime) => {
  const repositories = engine === "barman-cloud" ? { repo1: PLAIN } : { repo1: BUCKET, repo2: R2 };
  const over = {
    bootstrap: { recovery: { stanza: "old", engine, repositories, target: { time: TIME } } },
  };
  const { source } = resolved(over);
  if (source === null) throw new Error("no source");
  const objects = renderCluster(context(over), recoverySource(context(over), source));
  expect(objectOf(objects, role).metadata.namespace).toBe("orders");
  expect(objectOf(objects, "cluster")["spec"]).toMatchObject({
    bootstrap: { recovery: { source: "source", recoveryTarget: { targetTime } } },
    externalClusters: [{ name: "source", plugin: { parameters } }],
    // The new cluster archives into its own repository, never into the source's.
    plugins: [{ parameters: { stanza: "orders", configMap: "orders-pgbackstop" } }],
  });
});

test.each([
  ["pgbackrest", TIME, "2026-11-20 06:40:59+00"],
  ["pgbackrest", "2026-11-20T06:40:59.123456Z", "2026-11-20 06:40:59.123456+00"],
  ["pgbackrest", "2026-11-20T06:40:59.5+02:00", "2026-11-20 06:40:59.5+02:00"],
  ["pgbackrest", "2026-11-20T06:40:59-0330", "2026-11-20 06:40:59-03:30"],
  ["pgbackrest", "2026-11-20T06:40:59+01", "2026-11-20 06:40:59+01"],
  ["pgbackrest", "2026-11-20 06:40:59+00", "2026-11-20 06:40:59+00"],
  ["runtime", TIME, TIME],
  ["runtime", "2026-11-20T06:40:59.5+02:00", "2026-11-20T06:40:59.5+02:00"],
  ["runtime", "2026-11-20T06:40:59-0330", "2026-11-20T06:40:59-03:30"],
  ["runtime", "2026-11-20T06:40:59+01", "2026-11-20T06:40:59+01:00"],
  ["runtime", "2026-11-20 06:40:59+00", "2026-11-20 06:40:59+00"],
])("engine %s and the operator both read the time %s as %s", (engine, time, targetTime) => {
  const recovery = { stanza: "old", engine, repositories: { repo1: BUCKET } };
  const targetOf = (target: object): unknown => {
    const over = { bootstrap: { recovery: { ...recovery, target } } };
    const { source } = resolved(over);
    if (source === null) throw new Error("no source");
    const { bootstrap } = objectOf(renderCluster(context(over), recoverySource(context(over), source)), "cluster")[
      "spec"
    ] as { readonly bootstrap: { readonly recovery: { readonly recoveryTarget: unknown } } };
    return bootstrap.recovery.recoveryTarget;
  };
  expect(targetOf({ time, exclusive: true })).toEqual({ targetTime, exclusive: true });
  expect(targetOf({ lsn: "0/3" })).toEqual({ targetLSN: "0/3" });
});

// claim: docs/kubernetes/running-cluster.md: an archiver comes after…
test("a restore from a named repository uses no other", () => {
  const over = {
    bootstrap: { recovery: { stanza: "old", repositories: { repo1: BUCKET, repo2: R2 }, from: ["repo2"] } },
  };
  const { source } = resolved(over);
  if (source === null) throw new Error("no source");
  const result = recoverySource(context(over), source);
  expect(Object.keys(result?.plugin.parameters ?? {}).filter((name) => name.startsWith("repo"))).toEqual([
    "repo2SecretKeys",
  ]);
  const data = result?.objects[0]?.manifest["data"] as Record<string, string>;
  expect(data["pgbackrest.conf"]).toContain("repo2-s3-bucket=orders-backups");
  expect(data["pgbackrest.conf"]).not.toContain("repo1-");
});

test("the plugin accepts every rendered parameter", () => {
  const claim = { ...BUCKET, at: { name: "nas", path: "/pgbackstop/claims/nas/orders", encrypted: false } };
  const over = {
    repositories: { repo1: claim, repo2: R2 },
    bootstrap: { recovery: { stanza: "old", repositories: { repo1: BUCKET, repo2: R2 } } },
  };
  const { source } = resolved(over);
  const plugins = [
    ...engineParts(context(over)).plugins,
    ...(source === null ? [] : [recoverySource(context(over), source)?.plugin]),
  ];
  expect(plugins).toHaveLength(2);
  for (const plugin of plugins) {
    const read = readParameters(plugin?.parameters ?? {}, { clusterName: "", image: undefined });
    expect(read).toMatchObject({
      bundle: "orders-runtime-0123456789ab",
      limits: { memory: "448Mi" },
      requests: { cpu: "100m", memory: "448Mi" },
    });
  }
  expect(readParameters(plugins[0]?.parameters ?? {}, { clusterName: "", image: undefined })).toMatchObject({
    stanza: "orders",
    claims: ["nas"],
    secrets: [
      {
        repo: "repo1",
      },
      { repo: "repo2", files: [{ file: "ACCESS_KEY_ID" }, { file: "ACCESS_SECRET_KEY" }, { file: "ENCRYPTION_PASS" }] },
    ],
  });
});

test("a restore from a snapshot continues with WAL from the repositories", () => {
  const snapshot = {
    storage: "orders-20261120",
    walStorage: "orders-20261120-wal",
    tablespaces: { hot: "orders-20261120-tbs-hot" },
  };
  const over = { bootstrap: { recovery: { stanza: "old", repositories: { repo1: BUCKET }, snapshot } } };
  const { source } = resolved(over);
  if (source === null) throw new Error("no source");
  const reference = (name: string): object => ({ apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name });
  expect(
    objectOf(renderCluster(context(over), recoverySource(context(over), source)), "cluster")["spec"],
  ).toMatchObject({
    bootstrap: {
      recovery: {
        source: "source",
        volumeSnapshots: {
          storage: reference("orders-20261120"),
          walStorage: reference("orders-20261120-wal"),
          tablespaceStorage: { hot: reference("orders-20261120-tbs-hot") },
        },
      },
    },
  });
});

test("an attachment has the archiver, and the sidecar takes the first backup", () => {
  const objects = renderAttachment(context());
  expect(objects.map(({ role }) => role)).toEqual(["config", "attachment", "schedule-full", "schedule-incr"]);
  expect(Object.keys(objectOf(objects, "attachment")["spec"] as object)).toEqual(["plugins"]);
  // The restart would interrupt an immediate backup, so the sidecar takes the first one.
  expect(objectOf(objects, "schedule-full")["spec"]).toMatchObject({ immediate: false });
  const settingsOf = (rendered: typeof objects): unknown =>
    JSON.parse((objectOf(rendered, "config")["data"] as Record<string, string>)["pgbackstop.json"] ?? "");
  expect(settingsOf(objects)).toMatchObject({ firstBackup: true });
  const next = renderAttachment(context({ schedules: { full: { cron: "0 3 * * *", immediate: false } } }));
  expect(settingsOf(next)).not.toHaveProperty("firstBackup");
});

test("CPU and memory of sidecars reach Dalibo's and Barman's plugin, and only where they are declared", () => {
  const sidecar = { cpu: "300m", memory: "128Mi", memoryLimit: "512Mi" };
  const spec = { requests: { cpu: "300m", memory: "128Mi" }, limits: { memory: "512Mi" } };
  const dalibo = engineParts(context({ engine: "pgbackrest", backupTarget: "primary", sidecar }));
  expect(dalibo.plugins[0]?.parameters).toEqual({ stanzaRef: "orders-stanza", pluginConfigRef: "orders-plugin" });
  expect(objectOf(dalibo.objects, "plugin-config")).toMatchObject({
    kind: "PluginConfig",
    metadata: { name: "orders-plugin", namespace: "orders" },
    spec: { resourcesRequirement: spec },
  });
  const without = engineParts(context({ engine: "pgbackrest", backupTarget: "primary" }));
  expect(without.objects.map(({ role }) => role)).toEqual(["stanza"]);
  expect(without.plugins[0]?.parameters).toEqual({ stanzaRef: "orders-stanza" });
  const barman = engineParts(context({ engine: "barman-cloud", repositories: { repo1: BUCKET }, sidecar }));
  expect(objectOf(barman.objects, "object-store")["spec"]).toMatchObject({
    instanceSidecarConfiguration: { resources: spec },
  });
});

const CONTROLLER = { namespace: "cnpg-system", serviceName: "cnpg-pgbackrest", images: {} };

test("only one replica of Dalibo's controller exists at a time, because a second one is never ready", () => {
  expect(objectOf(renderDalibo(CONTROLLER), "deployment")["spec"]).toMatchObject({
    replicas: 1,
    strategy: { type: "Recreate" },
  });
});

test("images, CPU and memory of Dalibo's controller are as declared, else as in its own manifest", () => {
  const containerOf = (over: Partial<DaliboPlan>): unknown => {
    const plan = { ...CONTROLLER, ...over };
    const { spec } = objectOf(renderDalibo(plan), "deployment") as {
      spec?: { template: { spec: { containers: unknown[] } } };
    };
    return spec?.template.spec.containers[0];
  };
  expect(containerOf({})).toMatchObject({ image: DALIBO_IMAGES.controller });
  expect(containerOf({})).not.toHaveProperty("resources");
  const images = { controller: "mirror/controller:1", sidecar: "mirror/sidecar:1", exporter: "mirror/exporter:1" };
  expect(containerOf({ images, memory: "256Mi", cpu: "100m" })).toMatchObject({
    image: "mirror/controller:1",
    resources: { requests: { cpu: "100m", memory: "256Mi" }, limits: { memory: "256Mi" } },
    env: [{ value: "mirror/sidecar:1" }, { value: "mirror/exporter:1" }],
  });
});

test("a repository's own rhythm is a schedule of its own, by each engine, and only the first full backup is immediate", () => {
  const own = { ...R2, schedules: { full: { cron: "0 5 1 * *" } } };
  const over = {
    repositories: { repo1: BUCKET, repo2: own },
    schedules: { full: { cron: "0 3 * * 0", target: "primary" as const } },
  };
  const runsOf = (engine: string): unknown =>
    engineParts(context({ engine, backupTarget: "primary", ...over })).runs.map(
      ({ cron, immediate, pluginConfiguration, suffix, target }) => [
        suffix,
        cron,
        immediate,
        target,
        pluginConfiguration?.parameters,
      ],
    );
  expect(runsOf("runtime")).toEqual([
    ["full", "0 3 * * 0", true, "primary", { type: "full", repositories: "repo1" }],
    ["full-repo2", "0 5 1 * *", false, "primary", { type: "full", repositories: "repo2" }],
  ]);
  expect(runsOf("pgbackrest")).toEqual([
    ["full-repo1", "0 3 * * 0", true, "primary", { backupType: "full", selectedRepository: "1" }],
    ["full-repo2", "0 5 1 * *", false, "primary", { backupType: "full", selectedRepository: "2" }],
  ]);
});

test("single backups into one repository, and snapshots beside an engine", () => {
  const one = oneShotBackupsByRepository(context());
  expect(one["repo2"]?.["full"]).toMatchObject([
    { pluginConfiguration: { name: "pgbackstop", parameters: { type: "full", repositories: "repo2" } } },
  ]);
  const dalibo = oneShotBackupsByRepository(context({ engine: "pgbackrest", backupTarget: "primary" }));
  expect(dalibo["repo2"]?.["diff"]).toMatchObject([
    { target: "primary", pluginConfiguration: { parameters: { backupType: "diff", selectedRepository: "2" } } },
  ]);
  const beside = oneShotBackups(context({ snapshots: { className: "csi", online: false } }));
  expect(beside["snapshot"]).toEqual([
    { cluster: { name: "orders" }, method: "volumeSnapshot", online: false, target: "prefer-standby" },
  ]);
  expect(oneShotBackups(context())).not.toHaveProperty("snapshot");
});

// claim: docs/kubernetes/commands.md: `BackupNow` for every engine…
test("single backups reach every repository, with any schedules", () => {
  const own = oneShotBackups(context());
  expect(Object.keys(own)).toEqual(["full", "diff", "incr"]);
  expect(own["diff"]).toEqual([
    {
      cluster: { name: "orders" },
      method: "plugin",
      pluginConfiguration: { name: "pgbackstop", parameters: { type: "diff" } },
      target: "prefer-standby",
    },
  ]);
  const dalibo = oneShotBackups(context({ engine: "pgbackrest", schedules: { full: { cron: "0 3 * * *" } } }));
  expect(dalibo["incr"]?.map((spec) => (spec["pluginConfiguration"] as { parameters: unknown }).parameters)).toEqual([
    { backupType: "incr", selectedRepository: "1" },
    { backupType: "incr", selectedRepository: "2" },
  ]);
});

test("a source as it was names its repository and the time to the plugin of the recovery", () => {
  const recovery = { stanza: "old", repositories: { repo1: BUCKET, repo2: R2 }, from: ["repo1"] };
  const parametersOf = (over: object): Readonly<Record<string, string>> => {
    const { source } = resolved({ bootstrap: { recovery: { ...recovery, ...over } } });
    if (source === null) throw new Error("there is no source");
    return recoverySource(context(), source)?.plugin.parameters ?? {};
  };
  expect(parametersOf({ repositoryTargetTime: "2026-11-20T06:40:59Z" })).toMatchObject({
    repo: "1",
    repositoryTargetTime: "2026-11-20T06:40:59Z",
  });
  expect(Object.keys(parametersOf({}))).not.toContain("repo");
});

test("the password of the report is a parameter of the cluster's own plugin, not of its source", () => {
  const reportPassword = { name: "orders-report", key: "password" };
  const over = {
    monitoring: { reportPassword },
    bootstrap: { recovery: { stanza: "old", repositories: { repo1: BUCKET } } },
  };
  const { source } = resolved(over);
  if (source === null) throw new Error("no source");
  const { externalClusters, plugins } = objectOf(
    renderCluster(context(over), recoverySource(context(over), source)),
    "cluster",
  )["spec"] as {
    readonly plugins: readonly { parameters: Readonly<Record<string, string>> }[];
    readonly externalClusters: readonly object[];
  };
  const [plugin] = plugins;
  expect(plugin?.parameters["reportPassword"]).toBe("orders-report/password");
  expect(readParameters(plugin?.parameters ?? {}, { clusterName: "orders", image: "node" }).reportPassword).toEqual(
    reportPassword,
  );
  expect(JSON.stringify(externalClusters)).not.toContain("reportPassword");
  expect(JSON.stringify(renderCluster(context(), null))).not.toContain("reportPassword");
});
