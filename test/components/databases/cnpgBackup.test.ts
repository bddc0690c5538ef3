/** Outputs of a CnpgBackup for an existing Cluster; and passphrases, which all databases judge alike. */
import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test, vi } from "vitest";
import { CipherPassphrase } from "../../../components/credentials/cipherPassphrase";
import { ClusterEngine } from "../../../components/databases/cnpgArgs";
import { CnpgBackup } from "../../../components/databases/cnpgBackup";
import { CnpgCluster } from "../../../components/databases/cnpgCluster";
import { given } from "../../../runtime/base/given";
import { CnpgRestore } from "../../../components/databases/cnpgRestore";
import { PostgresHost } from "../../../components/databases/postgresHost";
import { valueAt } from "../../../components/plan/model/anyValue";
import { S3CompatibleRepository } from "../../../components/repositories/s3CompatibleRepository";
import type { RepositoryTarget } from "../../../components/repositories/target";
import { renderedObjects } from "../../harness/kubernetes/rendered";
import type { KubernetesObject } from "../../harness/kubernetes/kubectl";

const SNAPSHOTS = { cron: "0 5 * * *", keepDays: 7 };

function common(path?: string): ConstructorParameters<typeof CnpgBackup>[1] {
  const { target } = new S3CompatibleRepository(`store${path ?? ""}`, {
    endpoint: "s3.example.net",
    region: "eu",
    ...given({ path }),
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

test("a Pooler is deleted before its Deployment, which the operator would make again", async () => {
  const objects = (await renderedObjects(
    () => void new CnpgCluster("orders", { ...common(), storageGiB: 1, poolers: { web: {} } }),
  )) as KubernetesObject[];
  expect(objects.find(({ kind }) => kind === "Pooler")?.metadata).toMatchObject({
    name: "orders-web",
    annotations: { "pulumi.com/deletionPropagationPolicy": "background" },
  });
});

test("its access has a Job's inputs for verbs, by the names of Secrets, and its drills with the newest backup", async () => {
  let verbs: unknown;
  let other: unknown = "unseen";
  await renderedObjects(() => {
    const { snapshots: _snapshots, ...args } = common();
    const drills = { weekly: { cron: "0 5 * * 6", from: "repo1" } };
    const made = new CnpgBackup("orders", { ...args, drills, namespace: pulumi.output("db") });
    pulumi.output(made.access.verbs as object).apply((result) => (verbs = result));
    const barman = {
      ...args,
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
  const args = common();
  const at = { name: "own", path: "/own", s3: { bucket: "own-pg", endpoint: "s3.example.net", region: "eu" } };
  const credentials = { accessKeyId: "id", secretAccessKey: "key" };
  const own = { at: { ...at, s3: { ...at.s3, credentials } }, keepDays: 7 };
  return { ...args, clusterName, drills, repositories: { ...args.repositories, repo2: own } };
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

test("times and objectives that come later give the objects that plain ones give", async () => {
  const seen: object[] = [];
  const make = async (of: <T>(value: T) => pulumi.Input<T>): Promise<readonly string[]> => {
    const outputs = {};
    seen.push(outputs);
    const objects = await renderedObjects(() => {
      const { access, drilled, topology } = new CnpgBackup("legacy", {
        ...namedArgs("orders"),
        stanza: of("shop"),
        notifySecret: of("notices"),
        objectives: { rpoSeconds: of(400), rtoMinutes: of(30) },
        schedules: { full: { cron: of("0 3 * * 0") }, incr: { cron: of("0 3 * * 1-6") } },
        snapshots: { cron: of("0 5 * * *"), keepDays: 7 },
        drills: { weekly: { cron: of("0 5 * * 6") }, elsewhere: { cron: of("0 6 * * 6"), elsewhere: true } },
        monitoring: { prometheusRule: true },
      });
      pulumi.output<object>({ access, drilled, topology }).apply((all) => Object.assign(outputs, all));
    });
    return objects.map((object) => JSON.stringify(object)).sort();
  };
  const plain = await make((value) => value);
  expect(
    await make((value) => pulumi.output(Promise.resolve({ value })).apply((known) => known.value) as never),
  ).toEqual(plain);
  expect(JSON.stringify(seen[1])).toBe(JSON.stringify(seen[0]));
});

type BackupArgs = ConstructorParameters<typeof CnpgBackup>[1];

function attach(over: Partial<BackupArgs>, opts?: pulumi.ComponentResourceOptions): void {
  const { snapshots: _snapshots, ...args } = common();
  new CnpgBackup("orders", { ...args, ...over }, opts);
}

/** `spec` of the attachment, and of its ScheduledBackups. */
async function attachedSpecs(
  over: Partial<BackupArgs>,
): Promise<{ readonly spec: Record<string, unknown>; readonly schedules: readonly Record<string, unknown>[] }> {
  const objects = (await renderedObjects(() => attach(over))) as (KubernetesObject & {
    readonly spec: Record<string, unknown>;
  })[];
  const specs = (kind: string): Record<string, unknown>[] =>
    objects.filter((object) => object.kind === kind).map(({ spec }) => spec);
  const [spec] = specs("Cluster");
  if (spec === undefined) throw new Error("no attachment");
  return { spec, schedules: specs("ScheduledBackup") };
}

const DALIBO = { engine: ClusterEngine.Pgbackrest, silence: { PB097: "a test", PB030: "a test" } } as const;

// claim: docs/kubernetes/running-cluster.md: an attachment sets what is asked for; a preview names a field of another
//   manager, and nothing is made (the real provider, skipped without it)
test.each<[string, Partial<BackupArgs>, object]>([
  ["nothing but its archiver", {}, {}],
  ["a target that is asked for", { backupTarget: "primary" }, { backup: { target: "primary" } }],
  ["a target that is the default", { backupTarget: "prefer-standby" }, { backup: { target: "prefer-standby" } }],
  ["a target that comes later", { backupTarget: pulumi.output("primary") as never }, { backup: { target: "primary" } }],
  ["the primary, where the engine needs it", DALIBO, { backup: { target: "primary" } }],
  ["the operator's own timeout for WAL", { archiveTimeoutSeconds: 300 }, {}],
  [
    "a timeout for WAL that follows from an objective",
    { objectives: { rpoSeconds: 90 } },
    { postgresql: { parameters: { archive_timeout: "20s" } } },
  ],
  ["snapshots without settings", { snapshots: SNAPSHOTS }, { backup: { volumeSnapshot: {} } }],
  [
    "snapshots with settings",
    { snapshots: { ...SNAPSHOTS, className: "csi", online: true, ownerReference: "none" } },
    { backup: { volumeSnapshot: { className: "csi", online: true, snapshotOwnerReference: "none" } } },
  ],
])("an attachment sets %s", async (_what, over, expected) => {
  const { plugins, ...fields } = (await attachedSpecs(over)).spec;
  expect(plugins).toHaveLength(1);
  expect(fields).toEqual(expected);
});

test("backups run where they should though the Cluster's own target stays as it is", async () => {
  const targetsOf = async (over: Partial<BackupArgs>): Promise<readonly unknown[]> =>
    (await attachedSpecs(over)).schedules.map(({ target }) => target);
  expect(await targetsOf({})).toEqual(["prefer-standby", "prefer-standby"]);
  expect(await targetsOf({ backupTarget: "primary" })).toEqual(["primary", "primary"]);
  const { schedules } = await attachedSpecs({ snapshots: SNAPSHOTS });
  expect(schedules).toContainEqual(
    expect.objectContaining({ method: "volumeSnapshot", online: true, target: "prefer-standby" }),
  );
});

/** Owned by Helm, as a Cluster of others would be. */
const OWNED = {
  metadata: {
    managedFields: [
      {
        manager: "helm",
        operation: "Update",
        fieldsV1: { "f:spec": { "f:plugins": {}, "f:backup": { "f:target": {} } } },
      },
    ],
  },
  spec: { plugins: [{ name: "barman-cloud.cloudnative-pg.io" }], backup: { target: "primary" } },
};

/** What a preview says of a Cluster, and which one it reads. */
async function previewOf(
  over: Partial<BackupArgs>,
  live: object = OWNED,
  opts?: pulumi.ComponentResourceOptions,
  isPreview = true,
): Promise<{ readonly errors: readonly string[]; readonly read: readonly string[] }> {
  const read: string[] = [];
  const monitor: pulumi.runtime.Mocks = {
    call: () => ({}),
    newResource: ({ id, name, type }) => {
      if (id) read.push(`${type} ${id}`);
      return { id: id || name, state: id ? live : { status: {} } };
    },
  };
  return { errors: await errorsOf(() => attach(over, opts), monitor, isPreview), read };
}

// claim: docs/kubernetes/running-cluster.md: an attachment sets what…
test("a preview refuses to attach over fields of others, with the field, its manager and the way out", async () => {
  const { errors, read } = await previewOf({ backupTarget: "prefer-standby" });
  expect(read).toEqual(["kubernetes:postgresql.cnpg.io/v1:Cluster db/orders"]);
  expect(errors).toHaveLength(1);
  expect(errors[0]).toContain("CnpgBackup orders: 2 errors");
  expect(errors[0]).toContain(
    'PB205 clusterName: spec.plugins of Cluster db/orders belongs to the field manager "helm", with another value; ' +
      "remove it there, or set takeOverPlugins: true to replace it",
  );
  expect(errors[0]).toContain("PB205 backupTarget: spec.backup.target of Cluster db/orders belongs to");
  expect(errors[0]).toContain("change it there, leave backupTarget out, or set takeOverPlugins: true");
  const alone = (await previewOf({})).errors[0];
  expect(alone).toContain("spec.plugins");
  expect(alone).not.toContain("spec.backup");
  const deferred = await previewOf({ takeOverPlugins: pulumi.output(false) });
  expect(deferred.errors).toHaveLength(1);
});

test.each<[string, Partial<BackupArgs>, object?]>([
  ["that takes them over", { takeOverPlugins: pulumi.output(true) }],
  ["of a Cluster that it is attached to", {}, withManager("pgbackstop")],
  ["of a Cluster with the plugin of this engine", {}, { ...OWNED, spec: { plugins: [{ name: "pgbackstop" }] } }],
  ["of a Cluster that nobody has touched", {}, { metadata: {}, spec: {} }],
  ["whose provider is not known yet", {}, {}],
])("a preview has nothing to say about fields %s", async (_what, over, live) => {
  const { errors, read } = await previewOf(over, live);
  expect(errors).toEqual([]);
  expect(read).toHaveLength(1);
});

function withManager(manager: string): object {
  const own = { manager, operation: "Apply", fieldsV1: { "f:spec": { "f:plugins": {} } } };
  const { managedFields } = OWNED.metadata;
  return { ...OWNED, metadata: { managedFields: [...managedFields, own] } };
}

test("a preview reads no Cluster that the update may make; each update reads it, and compares no managers", async () => {
  for (const over of [
    { clusterName: pulumi.output("orders") },
    { namespace: pulumi.output("db") },
    { readCluster: false },
    { takeOverPlugins: true },
    { replaceBarmanObjectStore: true },
  ]) {
    expect(await previewOf(over), Object.keys(over)[0]).toEqual({ errors: [], read: [] });
    const { errors, read } = await previewOf(over, OWNED, {}, false);
    expect([errors, read], Object.keys(over)[0]).toEqual([[], ["kubernetes:postgresql.cnpg.io/v1:Cluster db/orders"]]);
  }
  expect(await previewOf({}, OWNED, { dependsOn: [] })).toEqual({ errors: [], read: [] });
  const named = await previewOf({ clusterName: pulumi.output("orders"), readCluster: true });
  expect(named.errors).toHaveLength(1);
  expect((await previewOf({}, OWNED, {}, false)).read).toHaveLength(1);
});

const S3_AT = { bucket: "own-pg", endpoint: "s3.example.net", region: "eu", quirks: "generic" as const };
const KEYS = { accessKeyId: "marker-id", secretAccessKey: "marker-secret", sessionToken: "marker-token" };
const EXISTING = { name: "vault", accessKeyIdKey: "id", secretAccessKeyKey: "key", passphraseKey: "pass" };
const CIPHER = { passphrase: "marker-pass" };

describe.each<[string, RepositoryTarget, Partial<ConstructorParameters<typeof CnpgBackup>[1]>]>([
  ["a bucket with keys and cipher", { name: "t", path: "/p", s3: { ...S3_AT, credentials: KEYS }, cipher: CIPHER }, {}],
  ["a bucket with an existing Secret", { name: "t", path: "/p", s3: { ...S3_AT, existingSecret: EXISTING } }, {}],
  ["a role", { name: "t", path: "/p", s3: { ...S3_AT, quirks: "aws", keyType: "web-id" } }, {}],
  ["a volume", { name: "t", path: "/pgbackstop/claims/nas/p" }, {}],
  ["a volume with a cipher", { name: "t", path: "/pgbackstop/claims/nas/p", cipher: CIPHER }, {}],
  [
    "a bucket of Dalibo's plugin",
    { name: "t", path: "/p", s3: { ...S3_AT, credentials: KEYS } },
    { engine: "pgbackrest" },
  ],
  [
    "a bucket of Barman",
    { name: "t", path: "/p", s3: { ...S3_AT, credentials: KEYS } },
    { engine: "barman-cloud", schedules: { full: { cron: "0 3 * * 0" } } },
  ],
])("a target that comes later: %s", (_what, target, over) => {
  const make = async (at: () => pulumi.Input<RepositoryTarget>, seen: object): Promise<readonly string[]> => {
    const objects = await renderedObjects(() => {
      const { operatorVersion, silence } = common();
      const made = new CnpgBackup("orders", {
        namespace: "db",
        clusterName: "orders",
        ...given({ operatorVersion }),
        silence: { ...silence, PB097: "a test", PB030: "a test" },
        repositories: { repo1: { at: at(), keepDays: 14, compress: { type: "lz4" } } },
        schedules: { full: { cron: "0 3 * * 0" } },
        ...(over.engine === undefined ? { drills: { weekly: { cron: "0 5 * * 6" } } } : {}),
        ...over,
      });
      const { access, drilled, stanza, topology } = made;
      const outputs = {
        access,
        drilled,
        stanza,
        topology,
        isOpen: pulumi.isSecret(topology).then((secret) => !secret),
      };
      pulumi.output<object>(outputs).apply((all) => Object.assign(seen, all));
    });
    return objects.map((object) => JSON.stringify(object)).sort();
  };

  test("it gives the objects and outputs of a plain one, besides its own Secret", async () => {
    const expected = {};
    const seen = {};
    const plain = await make(() => target, expected);
    const shared = { ...target, secretLocation: false };
    const deferred = await make(() => pulumi.secret(Promise.resolve(shared)), seen);
    const extra = deferred.filter((object) => !plain.includes(object));
    expect(plain.filter((object) => !deferred.includes(object))).toEqual([]);
    for (const object of extra) expect(JSON.parse(object)).toMatchObject({ kind: "Secret", data: {} });
    expect(JSON.stringify(seen)).toBe(JSON.stringify(expected));
    expect(seen).toMatchObject({ isOpen: true });
    expect(JSON.stringify(seen)).not.toContain("marker");
    // What the configuration encrypts needs its passphrase.
    if (target.cipher !== undefined)
      for (const part of ['"ENCRYPTION_PASS":', '"repo1Secret":"orders-repo1"'])
        expect(plain.join().includes(part), part).toBe(true);
  });

  test("a secret one that does not say which part of it is secret stays secret as a whole", async () => {
    const seen = {};
    await make(() => pulumi.secret(Promise.resolve(target)), seen);
    expect(seen).toMatchObject({ isOpen: false });
  });
});

test("a copy takes location, image and volumes of the existing Cluster from it", async () => {
  // The provider returns the whole object for a patch of some fields.
  const spec = {
    imageName: "postgresql:18.6",
    storage: { size: "1500Mi", storageClass: "fast" },
    walStorage: { size: "5Gi" },
  };
  let hosts: unknown;
  const objects = (await renderedObjects(
    () => {
      const { snapshots: _snapshots, ...args } = common();
      const legacy = new CnpgBackup("legacy", { ...args, hasWalStorage: true });
      pulumi.all([legacy.writeHost, legacy.readOnlyHost, legacy.readHost]).apply((names) => (hosts = names));
      void new CnpgRestore("copy", { namespace: "db", like: legacy.like, source: legacy.source });
    },
    (type) => (type.endsWith(":ClusterPatch") ? { spec } : {}),
  )) as KubernetesObject[];
  const copy = objects.filter(({ kind, metadata }) => kind === "Cluster" && metadata.name === "copy");
  expect(copy).toMatchObject([
    {
      spec: {
        imageName: "postgresql:18.6",
        storage: { size: "2Gi", storageClass: "fast" },
        walStorage: { size: "5Gi" },
        bootstrap: { recovery: { source: "source" } },
        externalClusters: [{ plugin: { parameters: { stanza: "orders" } } }],
      },
    },
  ]);
  expect(hosts).toEqual(["orders-rw.db.svc", "orders-ro.db.svc", "orders-r.db.svc"]);
});

test("a restored cluster without repositories archives nowhere, makes no backup, and says so", async () => {
  const warnings = vi.spyOn(pulumi.log, "warn").mockImplementation(async () => {});
  let outputs: unknown;
  let backups: unknown;
  const objects = (await renderedObjects(() => {
    const { repositories } = common();
    const source = { stanza: "orders", repositories };
    const made = new CnpgRestore("copy", { namespace: "db", storageGiB: 1, source });
    backups = made.access.backups;
    pulumi
      .all([made.repositoryNames, made.scheduleNames, made.destinations, made.applicationSecret, made.caSecret])
      .apply((values) => (outputs = values));
  })) as KubernetesObject[];
  expect(outputs).toEqual([[], [], "", "copy-app", "copy-ca"]);
  expect(backups).toEqual({});
  const kinds = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort();
  expect(kinds).toEqual(["Cluster copy", "ConfigMap copy-program-000000000000", "ConfigMap copy-source-pgbackstop"]);
  const cluster = objects.find(({ kind }) => kind === "Cluster") as { spec?: object };
  expect(cluster.spec).not.toHaveProperty("plugins");
  expect(cluster.spec).not.toHaveProperty("backup");
  expect(warnings.mock.calls.map(([text]) => text.slice(0, 5))).toContain("PB142");
});

test("the names of a cluster's Services and Secrets", async () => {
  let outputs: unknown;
  let deferredHosts: unknown;
  const secrets: string[] = [];
  await renderedObjects(() => {
    const { snapshots: _snapshots, ...others } = common();
    const args = { ...others, clusterName: "orders", storageGiB: 1, poolers: { web: {}, reports: { type: "ro" } } };
    const made = new CnpgCluster("orders", args);
    const { applicationSecret, caSecret, poolerHosts, readHost, readOnlyHost } = made;
    pulumi
      .all([readOnlyHost, readHost, poolerHosts, caSecret, applicationSecret])
      .apply((values) => (outputs = values));
    const bootstraps = {
      own: { initdb: { secret: { name: "app-keys" } } },
      all: { initdb: { import: { type: "monolith", source: { externalCluster: "old" }, databases: ["*"] } } },
    };
    const deferred = pulumi.output(Promise.resolve("late"));
    new CnpgCluster("late", { ...args, clusterName: deferred }).poolerHosts.apply((names) => (deferredHosts = names));
    for (const [clusterName, bootstrap] of Object.entries(bootstraps))
      new CnpgCluster(clusterName, { ...args, clusterName, spec: { bootstrap } }).applicationSecret.apply((secret) =>
        secrets.push(`${clusterName} ${secret}`),
      );
  });
  expect(outputs).toEqual([
    "orders-ro.db.svc",
    "orders-r.db.svc",
    { web: "orders-web.db.svc", reports: "orders-reports.db.svc" },
    "orders-ca",
    "orders-app",
  ]);
  expect(deferredHosts).toEqual({ web: "late-web.db.svc", reports: "late-reports.db.svc" });
  expect(secrets.sort()).toEqual(["all ", "own app-keys"]);
});

// claim: docs/kubernetes/restore.md: a restore has the application's database and role of its source: CloudNativePG
//   would create `app` in it
test("a restore names the application's database and role of the cluster that it comes from", async () => {
  const outputs: Record<string, unknown> = {};
  const objects = await renderedObjects(() => {
    const { snapshots: _snapshots, ...args } = common();
    const bootstrap = { initdb: { database: "shop", owner: pulumi.output("seller") } };
    const made = new CnpgCluster("c", { ...args, clusterName: "c", storageGiB: 1, spec: { bootstrap } });
    const restored = { like: made.like, namespace: "db", source: made.source };
    const copies = {
      same: new CnpgRestore("same", restored),
      replica: new CnpgRestore("replica", { ...restored, replica: { enabled: true } }),
      plain: new CnpgRestore("plain", { ...restored, source: { ...made.source, database: "app", owner: "app" } }),
      unnamed: new CnpgRestore("unnamed", {
        ...restored,
        source: new CnpgCluster("d", { ...args, clusterName: "d", storageGiB: 1 }).source,
      }),
    };
    for (const [name, copy] of Object.entries(copies))
      copy.applicationSecret.apply((secret) => (outputs[name] = secret));
  });
  const recoveryOf = (name: string): unknown =>
    valueAt(
      objects.find((each) => valueAt(each, "kind") === "Cluster" && valueAt(each, "metadata", "name") === name),
      "spec",
      "bootstrap",
      "recovery",
    );
  expect(recoveryOf("same")).toMatchObject({ database: "shop", owner: "seller" });
  expect(recoveryOf("plain")).toMatchObject({ database: "app", owner: "app" });
  expect(recoveryOf("unnamed")).not.toHaveProperty("database");
  expect(outputs).toEqual({ same: "same-app", replica: "", plain: "plain-app", unnamed: "unnamed-app" });
});

test("a copy with another engine reads the backups of the cluster by the engine that wrote them", async () => {
  const objects = (await renderedObjects(() => {
    const { snapshots: _snapshots, ...args } = common();
    const made = new CnpgCluster("c", { ...args, clusterName: "c", storageGiB: 1 });
    void new CnpgRestore("copy", {
      like: made.like,
      namespace: "db",
      engine: ClusterEngine.BarmanCloud,
      source: made.source,
      repositories: common("/copy").repositories,
      schedules: { full: { cron: "0 3 * * 0" } },
    });
  })) as KubernetesObject[];
  const copy = objects.find(({ kind, metadata }) => kind === "Cluster" && metadata.name === "copy");
  expect(copy).toMatchObject({ spec: { externalClusters: [{ plugin: { name: "pgbackstop" } }] } });
});

test("names of Secrets, and what a copy needs, are those of the final Cluster", async () => {
  const outputs: Record<string, unknown> = {};
  await renderedObjects(() => {
    const { snapshots: _snapshots, ...args } = common();
    const spec = {
      certificates: { serverCASecret: "own-ca" },
      bootstrap: { initdb: { secret: { name: "own-app" } } },
      tablespaces: [
        { name: "logs", owner: { name: "app" }, storage: { size: pulumi.output("2Gi"), storageClass: "fast" } },
      ],
      postgresql: { extensions: [{ name: "vector", image: { reference: "pgvector:1" }, bin_path: ["bin"] }] },
    };
    const made = new CnpgCluster("c", { ...args, clusterName: "c", storageGiB: 1, spec });
    const restored = { like: made.like, namespace: "db", source: made.source };
    const copy = new CnpgRestore("copy", { ...restored, spec: { bootstrap: { recovery: { database: "shop" } } } });
    const { applicationSecret, caSecret, like } = made;
    pulumi
      .output({
        applicationSecret,
        caSecret,
        like: like.spec,
        copied: copy.applicationSecret,
      })
      .apply((values) => Object.assign(outputs, values));
  });
  expect(outputs).toEqual({
    applicationSecret: "own-app",
    caSecret: "own-ca",
    like: {
      tablespaces: [{ name: "logs", owner: { name: "app" }, storage: { size: "2Gi", storageClass: "fast" } }],
      postgresql: { extensions: [{ name: "vector", image: { reference: "pgvector:1" }, bin_path: ["bin"] }] },
    },
    copied: "copy-app",
  });
});

const S3 = {
  bucket: "orders-pg",
  endpoint: "s3.example.net",
  region: "eu",
  credentials: { accessKeyId: "id", secretAccessKey: "key" },
};
const COMMON = {
  schedules: { full: { cron: "0 3 * * 0" } },
  silence: { PB003: "a test", PB042: "a test" },
};

function targetOf(passphrase: pulumi.Input<string>): RepositoryTarget {
  return { name: "bucket", path: "/orders", s3: S3, cipher: { passphrase } };
}

const DATABASES: readonly (readonly [name: string, make: (at: pulumi.Input<RepositoryTarget>) => void])[] = [
  [
    "PostgresHost",
    (at) =>
      new PostgresHost("db", {
        ...COMMON,
        connection: { local: {} },
        dataDirectory: "/var/lib/postgresql/18/main",
        repositories: { repo1: { at, keepDays: 7 } },
      }),
  ],
  [
    "CnpgCluster",
    (at) =>
      new CnpgCluster("db", { ...COMMON, namespace: "n", storageGiB: 1, repositories: { repo1: { at, keepDays: 7 } } }),
  ],
  [
    "CnpgBackup",
    (at) =>
      new CnpgBackup("db", {
        ...COMMON,
        namespace: "n",
        clusterName: "db",
        repositories: { repo1: { at, keepDays: 7 } },
      }),
  ],
  [
    "CnpgRestore",
    (at) => {
      const source = { stanza: "old", repositories: { repo1: { at } } };
      new CnpgRestore("db", {
        namespace: "n",
        storageGiB: 1,
        postgresVersion: 18,
        source,
        silence: { PB142: "a test" },
      });
    },
  ],
];

/** Messages of what a program throws, at once or while its outputs resolve. */
async function errorsOf(
  make: () => void,
  monitor: pulumi.runtime.Mocks = {
    call: () => ({}),
    newResource: ({ name }) => ({ id: name, state: { status: {} } }),
  },
  isPreview = false,
): Promise<string[]> {
  const errors: unknown[] = [];
  const keep = (error: unknown): void => void errors.push(error);
  process.on("unhandledRejection", keep);
  await pulumi.runtime.setMocks(monitor, "shop", "prod", isPreview);
  try {
    make();
  } catch (error) {
    errors.push(error);
  }
  await pulumi.runtime.disconnect().catch(keep);
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", keep);
  for (const error of errors) expect(error).toSatisfy(pulumi.InputPropertiesError.isInstance);
  return [...new Set(errors.map((error) => (error as Error).message))];
}

const WRONG: readonly (readonly [passphrase: string, fault: string])[] = [
  ["", "is empty"],
  ["marker\n", "has a line break"],
  [" marker", "has a blank at its beginning or end"],
];

test.each(DATABASES)("%s refuses an unusable passphrase, at once or when it comes", async (name, make) => {
  for (const [passphrase, fault] of WRONG) {
    const plain = await errorsOf(() => make(targetOf(passphrase)));
    const deferred = await errorsOf(() => make(targetOf(pulumi.secret(passphrase))));
    const whole = await errorsOf(() => make(pulumi.secret(targetOf(passphrase))));
    for (const errors of [plain, deferred, whole]) {
      expect(errors).toHaveLength(1);
      expect(errors[0]).toContain(`repo1.at.cipher.passphrase: the passphrase ${fault};`);
      expect(errors[0]).not.toContain("marker");
    }
    expect(plain[0]).toContain(name === "CnpgRestore" ? "CnpgCluster" : name);
  }
  expect(await errorsOf(() => make(targetOf("inner blank and # are fine")))).toEqual([]);
});

test("an existing passphrase is refused in the same words", async () => {
  const errors = await errorsOf(() => new CipherPassphrase("key", { existing: pulumi.secret("marker\n") }));
  expect(errors.join("\n")).toMatch(/CipherPassphrase key: .*\n {2}PB105 existing: the passphrase has a line break;/);
});

test("a wrong value that comes later is one finding, and no object that reads it is created", async () => {
  const made: string[] = [];
  const monitor: pulumi.runtime.Mocks = {
    call: () => ({}),
    newResource: ({ name }) => {
      made.push(name);
      return { id: name, state: { status: {} } };
    },
  };
  const at = targetOf("passphrase");
  const make = (cron: pulumi.Input<string>): CnpgCluster =>
    new CnpgCluster("db", {
      namespace: "n",
      storageGiB: 1,
      repositories: { repo1: { at, keepDays: 7 } },
      schedules: { full: { cron: "0 3 * * 0" }, incr: { cron } },
    });
  const roles = ["config-content", "cluster", "schedule-incr"].map((role) => `db-${role}`);
  const deferred = (cron: string): pulumi.Output<string> => pulumi.output(Promise.resolve(cron));
  expect(await errorsOf(() => make(deferred("0 3 * * 1")), monitor)).toEqual([]);
  expect(made).toEqual(expect.arrayContaining(roles));
  made.length = 0;
  const errors = await errorsOf(() => make(deferred("every day")), monitor);
  expect(errors).toHaveLength(1);
  expect(errors[0]).toContain("schedules.incr.cron");
  // The configuration has the schedule, and the Cluster waits for it.
  expect(made.filter((role) => roles.includes(role))).toEqual([]);
});
