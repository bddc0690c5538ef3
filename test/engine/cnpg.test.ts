/**
 * The components for CloudNativePG on the real engine, with a double of the Kubernetes provider: what a preview shows,
 * what an update creates, what a second update and a newer package change, and which mistakes fail before anything is
 * created.
 */
import { createHash } from "node:crypto";
import { brotliDecompressSync } from "node:zlib";
import { Provider } from "@pulumi/kubernetes/provider";
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CipherPassphrase } from "../../components/credentials/cipherPassphrase";
import type { CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { CnpgBackup } from "../../components/databases/cnpgBackup";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgPlugin } from "../../components/databases/cnpgPlugin";
import { PostgresHost } from "../../components/databases/postgresHost";
import { Monitoring } from "../../components/monitoring/monitoring";
import { Runbook } from "../../components/monitoring/runbook";
import { NODE_IMAGE } from "../../components/plan/cluster/images";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { failureOf, stateTexts } from "../harness/compare/engineTexts";
import { ProviderDouble } from "../harness/doubles/providerDouble";
import { KUBERNETES } from "../harness/doubles/providerSchemas";
import { textOf, type Values } from "../harness/doubles/providerValues";
import { NIGHTLY } from "../../tools/parts/nightly";
import { PLUGIN_NAME } from "../../runtime/cnpg/names";

const CLUSTER = "kubernetes:postgresql.cnpg.io/v1:Cluster";
const SCHEDULE = "kubernetes:postgresql.cnpg.io/v1:ScheduledBackup";
const CONFIG_MAP = "kubernetes:core/v1:ConfigMap";
const SECRET = "kubernetes:core/v1:Secret";
const RULES = "kubernetes:monitoring.coreos.com/v1:PrometheusRule";
const MARKERS = { accessKeyId: "marker-access-key-id-51", secretAccessKey: "marker-secret-access-key-52" };

const FULL = { label: "20261120-064059F", stop: 1795156859 };

let programFolder: ProgramFolder;
let kubernetes: ProviderDouble;
const printed: string[] = [];

/** What a sidecar reports to the ConfigMap for which the update waits. */
async function reportFull(inputs: Values): Promise<{ id: string; outputs: Values }> {
  const metadata = inputs["metadata"] as Values;
  const id = `${textOf(metadata["namespace"])}/${textOf(metadata["name"])}`;
  if (!id.endsWith("-full")) return { id, outputs: {} };
  const repo = [1, 2].map((key) => ({ key, full: FULL, wal: null }));
  return { id, outputs: { data: { destinations: JSON.stringify([{ repo }]) } } };
}
const gone = async (): Promise<void> => undefined;

beforeAll(async () => {
  kubernetes = await ProviderDouble.start(KUBERNETES, {
    live: { [CONFIG_MAP]: { create: reportFull, delete: gone } },
  });
  programFolder = await makeProgramFolder([kubernetes]);
});
afterAll(() => {
  kubernetes?.stop();
  removeProgramFolder(programFolder);
});

function bucket(name: string, endpoint: string, region: string, cipher: CipherPassphrase): S3CompatibleRepository {
  return new S3CompatibleRepository(name, {
    endpoint,
    region,
    path: "/orders",
    bucket: { existing: { name: "orders-pg", credentials: MARKERS } },
    cipher: cipher.ref,
  });
}

interface Changes extends Partial<CnpgClusterArgs> {
  /** Repositories besides the two. */
  readonly more?: CnpgClusterArgs["repositories"];
}

function openOrders({ more, ...over }: Changes = {}, keepDays = 14): Promise<Stack> {
  return openStack(programFolder, "orders", async () => {
    const key = new CipherPassphrase("orders-key", {}, { protect: false });
    const b2 = bucket("orders-b2", "s3.eu-central-003.backblazeb2.com", "eu-central-003", key);
    const r2 = bucket("orders-r2", "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com", "auto", key);
    const plugin = new CnpgPlugin("pgbackstop", {});
    const orders = new CnpgCluster(
      "orders",
      {
        namespace: "orders",
        plugin: plugin.ref,
        instances: 3,
        postgresVersion: 18,
        storageGiB: 50,
        repositories: { repo1: { at: b2.target, keepDays }, repo2: { at: r2.target, keepDays: 90 }, ...more },
        schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } },
        poolers: { web: { parameters: { max_client_conn: "500" } } },
        silence: { PB042: "restored by hand every month" },
        ...over,
      },
      { protect: false },
    );
    return {
      writeHost: orders.writeHost,
      destinations: orders.destinations,
      topology: orders.topology,
      schedules: orders.scheduleNames,
      end: plugin.certificatesEnd,
    };
  });
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function specOf(type: string, id: string): Values {
  const result = kubernetes.find(type, id);
  if (result === null)
    throw new Error(
      `no ${type} ${id} among ${kubernetes
        .all(type)
        .map((each) => each.id)
        .join(", ")}`,
    );
  return result.inputs["spec"] as Values;
}

test("a preview shows the cluster, its plugin and its schedules, and creates nothing", async () => {
  const { stdout, stderr, changeSummary } = await (await openOrders()).preview({ diff: true });
  printed.push(stdout, stderr);
  expect(Object.keys(changeSummary)).toEqual(["create"]);
  for (const text of [
    'schedule            : "0 0 3 * * 0"',
    "isWALArchiver",
    "cnpg.io/pluginName",
    "s3://orders-pg/orders",
    "18.6-202608310817-standard-trixie",
  ])
    expect(stdout).toContain(text);
  expect(stdout).not.toMatch(/PB\d{3} /);
  expect(stdout.length).toBeLessThan(100_000);
  expect(kubernetes.all()).toEqual([]);
});

test("an update creates the cluster, and a second one changes nothing", async () => {
  const { outputs, stdout } = await (await openOrders()).up();
  printed.push(stdout);
  expect(outputs["writeHost"]?.value).toBe("orders-rw.orders.svc");
  expect(outputs["schedules"]?.value).toEqual(["orders-full", "orders-incr"]);
  const newestFull = { label: FULL.label, stoppedAt: "2026-11-20T06:40:59Z" };
  expect(JSON.parse(String(outputs["destinations"]?.value))).toEqual([
    { repository: "repo1", newestFull, newestWal: null },
    { repository: "repo2", newestFull, newestWal: null },
  ]);
  expect(
    new Set(
      kubernetes
        .all()
        .map(({ id, type }) => `${type.replace(/^kubernetes:/, "")} ${id.replace(/[0-9a-f]{12}$/, "HASH")}`),
    ),
  ).toEqual(
    new Set([
      "core/v1:ConfigMapPatch cnpg-system/pgbackstop-program-HASH",
      "core/v1:Secret cnpg-system/pgbackstop-server-tls",
      "core/v1:Secret cnpg-system/pgbackstop-client-tls",
      "core/v1:SecretPatch cnpg-system/pgbackstop-server-tls",
      "core/v1:SecretPatch cnpg-system/pgbackstop-client-tls",
      "core/v1:ServiceAccount cnpg-system/pgbackstop",
      "apps/v1:Deployment cnpg-system/pgbackstop",
      "policy/v1:PodDisruptionBudget cnpg-system/pgbackstop",
      "core/v1:Service cnpg-system/pgbackstop",
      "core/v1:ConfigMap orders/orders-served-HASH",
      "core/v1:ConfigMap orders/orders-pgbackstop",
      "core/v1:ConfigMapPatch orders/orders-pgbackstop",
      "core/v1:Secret orders/orders-repo1",
      "core/v1:SecretPatch orders/orders-repo1",
      "core/v1:Secret orders/orders-repo2",
      "core/v1:SecretPatch orders/orders-repo2",
      "postgresql.cnpg.io/v1:Cluster orders/orders",
      "postgresql.cnpg.io/v1:ScheduledBackup orders/orders-full",
      "postgresql.cnpg.io/v1:ScheduledBackup orders/orders-incr",
      "postgresql.cnpg.io/v1:Pooler orders/orders-web",
      "rbac.authorization.k8s.io/v1:Role orders/orders-full",
      "rbac.authorization.k8s.io/v1:RoleBinding orders/orders-full",
      "core/v1:ConfigMap orders/orders-full",
    ]),
  );
  const [plugin] = specOf(CLUSTER, "orders/orders")["plugins"] as Values[];
  const programs = kubernetes.all(`${CONFIG_MAP}Patch`);
  const program = programs.find(({ id }) => id.startsWith("cnpg-system/pgbackstop-program-"));
  const { sha256 } = (program?.inputs["data"] ?? {}) as Values;
  expect(plugin).toMatchObject({
    name: "pgbackstop",
    isWALArchiver: true,
    parameters: {
      runtime: sha256,
      runtimeUrl: "http://pgbackstop.cnpg-system.svc:9091",
      image: NODE_IMAGE,
      configMap: "orders-pgbackstop",
      repo1Secret: "orders-repo1",
      repo2Secret: "orders-repo2",
    },
  });
  expect(plugin?.["parameters"]).not.toHaveProperty("bundle");
  const packed = (program?.inputs["binaryData"] ?? {}) as Values;
  const unpacked = brotliDecompressSync(Buffer.from(textOf(packed[`runtime-${textOf(sha256)}`]), "base64"));
  expect(createHash("sha256").update(unpacked).digest("hex")).toBe(sha256);
  const note = kubernetes.all(CONFIG_MAP).find(({ id }) => id.startsWith("orders/orders-served-"));
  expect(note?.inputs).not.toHaveProperty("binaryData");
  expect(textOf(kubernetes.find(CONFIG_MAP, "orders/orders-pgbackstop")?.inputs["data"])).toContain(
    "repo2-retention-full=90",
  );
  expect(kubernetes.find(SECRET, "orders/orders-repo1")?.inputs["data"]).toMatchObject({
    ACCESS_KEY_ID: base64(MARKERS.accessKeyId),
  });
  expect(specOf(SCHEDULE, "orders/orders-full")).toMatchObject({ schedule: "0 0 3 * * 0", immediate: true });

  const again = await (await openOrders()).up();
  expect(Object.keys(again.summary.resourceChanges ?? {})).toEqual(["same"]);
});

// claim: docs/kubernetes/restarts.md: another retention restarts nothing; a newer runtime arrives on request (the
//   provider is a double)
test("a changed retention changes one ConfigMap in place, and no part of a pod", async () => {
  const before = kubernetes.calls.length;
  await (await openOrders({}, 21)).up();
  expect(kubernetes.calls.slice(before).filter((call) => /^(create|update|delete) /.test(call))).toEqual([
    `update ${CONFIG_MAP}Patch`,
  ]);
  expect(textOf(kubernetes.find(CONFIG_MAP, "orders/orders-pgbackstop")?.inputs["data"])).toContain(
    "repo1-retention-full=21",
  );
});

// claim: README.md: the update of a…
test("an update fails without a full backup in a new repository, until there is one", async () => {
  const before = kubernetes.calls.length;
  const three = async (): Promise<Stack> => {
    const repo3 = { at: { name: "nas", path: "/pgbackstop/claims/nas/orders" }, keepDays: 7 };
    return openOrders({ more: { repo3 } }, 21);
  };
  const message = "repo3 has no full backup: nothing can be restored from there";
  kubernetes.plan("update", { type: CONFIG_MAP, message });
  await expect((await three()).up()).rejects.toThrow(message);
  await (await three()).up();
  const calls = kubernetes.calls.slice(before).filter((call) => call.endsWith(` ${CONFIG_MAP}`));
  expect(calls.filter((call) => /^(create|update|delete) /.test(call))).toEqual([
    `update ${CONFIG_MAP}`,
    `update ${CONFIG_MAP}`,
  ]);
  if (!NIGHTLY) return;
  expect(Object.keys((await (await three()).preview()).changeSummary)).toEqual(["same"]);
  await (await openOrders({}, 21)).up();
});

// claim: docs/kubernetes/restarts.md: another retention restarts nothing…
test.runIf(NIGHTLY)("another runtime of the plugin is taken only on request", async () => {
  const note = kubernetes.all(CONFIG_MAP).find(({ id }) => id.startsWith("orders/orders-served-"));
  if (note === undefined) throw new Error("no runtime");
  const data = note.inputs["data"] as Values;
  const sha256 = textOf(data["sha256"]);
  // What the cluster took from an older plugin: another digest, another image.
  const digest = "0".repeat(64);
  const older = {
    ...note.inputs,
    metadata: { name: "orders-served-000000000000", namespace: "orders" },
    data: { ...data, image: "node:older", sha256: digest },
  };
  const state = await (await openOrders({}, 21)).exportStack();
  const { resources } = state.deployment as {
    resources: { urn: string; id?: string; inputs?: object; outputs?: object }[];
  };
  const row = resources.find(({ urn }) => urn.endsWith("::orders-runtime"));
  const cluster = resources.find(({ urn }) => urn.endsWith("::orders-cluster"));
  if (row === undefined || cluster === undefined) throw new Error("not in the state");
  const asOlder = (text: string): string =>
    text
      .replaceAll(note.id.slice("orders/".length), "orders-served-000000000000")
      .replaceAll(sha256, digest)
      .replaceAll(NODE_IMAGE, "node:older");
  for (const resource of [row, cluster])
    Object.assign(resource, JSON.parse(asOlder(JSON.stringify(resource))) as object);
  await (await openOrders({}, 21)).importStack(state);
  kubernetes.changeByHand({ ...note, id: "orders/orders-served-000000000000" }, older);

  const unasked = await (await openOrders({}, 21)).preview();
  expect(Object.keys(unasked.changeSummary)).toEqual(["same"]);
  const asked = await (await openOrders({ followRuntime: true }, 21)).preview({ diff: true });
  expect(asked.changeSummary).toMatchObject({ replace: 1, update: 1 });
  expect(asked.stdout).toContain(note.id.slice("orders/".length));
});

/** The cluster of a team, inside the team's own component with its own provider. */
function openOfTeam(name: string, opts: pulumi.ComponentResourceOptions): Promise<Stack> {
  return openStack(programFolder, "team", async () => {
    const own = new Provider("own", { context: "team" });
    const labelled: pulumi.ResourceTransform = ({ type, props, opts: options }) =>
      type === CLUSTER
        ? { props: { ...props, metadata: { ...props["metadata"], labels: { team: "shop" } } }, opts: options }
        : undefined;
    const team = new pulumi.ComponentResource(
      "acme:team:Team",
      "team",
      {},
      { providers: [own], transforms: [labelled] },
    );
    const key = new CipherPassphrase("team-key", {}, { protect: false, parent: team });
    const at = bucket("team-b2", "s3.eu-central-003.backblazeb2.com", "eu-central-003", key).target;
    const shop = new CnpgCluster(
      name,
      {
        namespace: "team",
        clusterName: "shop",
        storageGiB: 5,
        repositories: { repo1: { at, keepDays: 14 } },
        schedules: { full: { cron: "0 3 * * 0" } },
        silence: { PB003: "a test", PB042: "a test" },
      },
      { protect: false, parent: team, ...opts },
    );
    return { labels: shop.cluster.metadata.labels, schedule: shop.schedules["full"]?.metadata.name };
  });
}

test("transforms, provider and aliases of a program count for every object, and objects are reachable", async () => {
  const { outputs } = await (await openOfTeam("shop", {})).up();
  expect(outputs["labels"]?.value).toEqual({ team: "shop" });
  expect(outputs["schedule"]?.value).toBe("shop-full");
  const { resources } = (await (await openOfTeam("shop", {})).exportStack()).deployment as {
    resources: { type: string; provider?: string }[];
  };
  const objects = resources.filter(({ type }) => type.startsWith("kubernetes:"));
  expect(objects.length).toBeGreaterThan(4);
  for (const { provider, type } of objects) expect(provider, type).toMatch(/pulumi:providers:kubernetes::own::/);

  const { changeSummary } = await (await openOfTeam("store", { aliases: [{ name: "shop" }] })).preview();
  expect(Object.keys(changeSummary).toSorted()).toEqual(expect.not.arrayContaining(["create", "delete", "replace"]));
});

function openWatched(maxRepositoryGB: number): Promise<Stack> {
  return openStack(programFolder, "watched", async () => {
    const key = new CipherPassphrase("ledger-key", {}, { protect: false });
    const ledger = new CnpgCluster(
      "ledger",
      {
        namespace: "ledger",
        storageGiB: 50,
        repositories: {
          repo1: {
            at: bucket("ledger-b2", "s3.eu-central-003.backblazeb2.com", "eu-central-003", key).target,
            keepDays: 14,
          },
        },
        schedules: { full: { cron: "0 3 * * *" } },
        drills: { monthly: { cron: "0 5 1 * *" } },
        objectives: { rpoSeconds: 300, rtoMinutes: 30, maxRepositoryGB },
        monitoring: { podMonitor: true, labels: { release: "prometheus" } },
        silence: { PB003: "one bucket will do here" },
      },
      { protect: false },
    );
    const monitoring = new Monitoring("backups", {
      topologies: [ledger.topology],
      kubernetes: { namespace: "monitoring", ruleLabels: { release: "prometheus" } },
    });
    const runbook = new Runbook("recovery", { topologies: [ledger.topology] });
    return { rules: monitoring.rulesFile, dashboard: monitoring.dashboardJson, runbook: runbook.markdown };
  });
}

/** The expression of each rule in the object, by alert and labels. */
function rulesOf(spec: Values): Map<string, string> {
  const groups = spec["groups"] as { rules: { alert: string; expr: string; labels?: object }[] }[];
  return new Map(
    groups
      .flatMap(({ rules }) => rules)
      .map(({ alert, expr, labels }) => [`${alert} ${JSON.stringify(labels ?? {})}`, expr]),
  );
}

// claim: docs/monitoring.md: `Monitoring` in a real update: objects, a second update that changes nothing, an objective
//   that changes only its own rule; Kubernetes' provider is a double
test.runIf(NIGHTLY)(
  "one update creates its monitoring: scrape targets, rules, a dashboard; a second one changes nothing",
  async () => {
    const { outputs } = await (await openWatched(100)).up();
    expect(specOf("kubernetes:monitoring.coreos.com/v1:PodMonitor", "ledger/ledger")).toMatchObject({
      selector: { matchLabels: { "cnpg.io/cluster": "ledger" } },
    });
    const rules = rulesOf(specOf(RULES, "monitoring/backups"));
    expect([...rules.keys()].map((key) => key.split(" ")[0])).toEqual(
      expect.arrayContaining([
        "PgbackstopBackupTooOld",
        "PgbackstopBackupMissing",
        "PgbackstopRpoMissed",
        "PgbackstopRtoMissed",
        "PgbackstopRepositoryLarge",
      ]),
    );
    const file = String(outputs["rules"]?.value);
    for (const key of rules.keys()) expect(file).toContain(key.split(" ")[0]);
    const dashboard = kubernetes.find(CONFIG_MAP, "monitoring/backups-dashboard")?.inputs["data"] as Values;
    expect(dashboard["backups.json"]).toBe(outputs["dashboard"]?.value);
    expect((JSON.parse(String(outputs["dashboard"]?.value)) as { panels: unknown[] }).panels.length).toBeGreaterThan(5);
    expect(String(outputs["runbook"]?.value)).toContain("kubectl get -n ledger cluster ledger");

    const again = await (await openWatched(100)).up();
    expect(Object.keys(again.summary.resourceChanges ?? {})).toEqual(["same"]);
  },
);

// claim: docs/monitoring.md: `Monitoring` in a real…
test.runIf(NIGHTLY)(
  "the preview shows a changed objective as the change of its own rule, and of no other",
  async () => {
    const before = rulesOf(specOf(RULES, "monitoring/backups"));
    const { stdout } = await (await openWatched(250)).preview({ diff: true });
    const changed = stdout.split("\n").filter((line) => /^ *[~+-] +expr *:/.test(line));
    expect(changed.length).toBeGreaterThan(0);
    for (const line of changed) expect(line).toMatch(/100000000000.*=>.*250000000000/);
    await (await openWatched(250)).up();
    const after = rulesOf(specOf(RULES, "monitoring/backups"));
    const other = [...after].filter(([key, expr]) => before.get(key) !== expr).map(([key]) => key.split(" ")[0]);
    expect([after.size, other]).toEqual([before.size, ["PgbackstopRepositoryLarge"]]);
  },
);

/** A transform of one kind of objects: what it makes of their inputs, and more options. */
interface ObjectChange {
  readonly kind: string;
  readonly change?: (inputs: Values) => Values;
  readonly opts?: pulumi.CustomResourceOptions;
}

function openKept({ change = (inputs) => inputs, kind, opts }: ObjectChange, over = {}): Promise<Stack> {
  return openStack(programFolder, "kept", async () => {
    const key = new CipherPassphrase("kept-key", {}, { protect: false });
    const { target } = bucket("kept-b2", "s3.eu-central-003.backblazeb2.com", "eu-central-003", key);
    const changed: pulumi.ResourceTransform = ({ opts: own, props, type }) =>
      type.endsWith(`:${kind}`) ? { opts: pulumi.mergeOptions(own, opts), props: change(props) } : undefined;
    const args: CnpgClusterArgs = {
      namespace: "kept",
      storageGiB: 1,
      instances: 3,
      firstBackupTimeoutMinutes: 0,
      repositories: { repo1: { at: target, keepDays: 14 } },
      schedules: { full: { cron: "0 3 * * 0" } },
      drills: { weekly: { cron: "0 5 * * 6" } },
      poolers: { web: {} },
      silence: { PB003: "a test" },
    };
    new CnpgCluster("kept", { ...args, ...over }, { protect: false, transforms: [changed] });
  });
}

const inSpec =
  (fields: object) =>
  (inputs: Values): Values => ({ ...inputs, spec: { ...(inputs["spec"] as object), ...fields } });

// claim: docs/kubernetes/fields.md: a transform that changes what was judged, of any object that runs backups, fails
//   the preview; what `ignoreChanges` or a targeted update keeps is no error
test("a transform of what was judged fails the preview and the update, and what is kept is no error", async () => {
  const configured = (inputs: Values): Values => {
    const data = inputs["data"] as Record<string, string>;
    return { ...inputs, data: { ...data, "pgbackrest.conf": `${data["pgbackrest.conf"]}repo1-s3-bucket=other\n` } };
  };
  const changes: readonly (readonly [ObjectChange, string])[] = [
    [{ kind: "ScheduledBackup", change: inSpec({ suspend: true }) }, "PB202 spec.suspend"],
    [{ kind: "CronJob", change: inSpec({ suspend: true }) }, "PB202 spec.suspend"],
    [{ kind: "ConfigMapPatch", change: configured }, "PB202 data.pgbackrest.conf"],
    [{ kind: "Pooler", change: inSpec({ cluster: { name: "other" } }) }, "PB202 spec.cluster.name"],
    [{ kind: "Cluster", change: inSpec({ plugins: [] }) }, "PB201 spec.plugins"],
  ];
  for (const [change, expected] of changes) {
    const stack = await openKept(change);
    expect(await failureOf(stack.preview(), printed), change.kind).toContain(expected);
  }
  const [suspended] = changes[0] ?? [];
  if (suspended === undefined) throw new Error("no change");
  // Nothing is made that was not judged, also without a preview.
  expect(await failureOf((await openKept(suspended)).up(), printed)).toContain("PB202 spec.suspend");
  expect(kubernetes.find("kubernetes:postgresql.cnpg.io/v1:ScheduledBackup", "kept/kept-full")).toBeNull();

  await (await openKept({ kind: "none" })).up();
  const ignoring = { kind: "Cluster", opts: { ignoreChanges: ["spec.instances"] } };
  const kept = await openKept(ignoring, { instances: 2, parameters: { work_mem: "8MB" } });
  const { stdout } = await kept.up();
  expect(stdout).toMatch(/PB206 spec\.instances: it stays as it was/);
  expect(specOf(CLUSTER, "kept/kept")).toMatchObject({ instances: 3, postgresql: { parameters: { work_mem: "8MB" } } });
  const other = await openKept({ kind: "none" }, { instances: 2, schedules: { full: { cron: "0 4 * * 0" } } });
  const resources = ((await other.exportStack()).deployment as { resources: { urn: string }[] }).resources;
  const target = resources.flatMap(({ urn }) => (/:ScheduledBackup::/.test(urn) ? [urn] : []));
  const targeted = await other.up({ target });
  expect(targeted.stdout).not.toMatch(/PB20\d/);
  expect(specOf(CLUSTER, "kept/kept")).toMatchObject({ instances: 3 });
  await other.destroy();
});

// claim: docs/reference/components.md: a refused destroy of a protected CnpgCluster deletes none of its objects
test("a refused destroy of a protected cluster deletes none of its objects", async () => {
  const declare = (protect?: false): Promise<Stack> =>
    openStack(programFolder, "guarded", async () => {
      const key = new CipherPassphrase("guarded-key", {}, { protect: false });
      const { target } = bucket("guarded-b2", "s3.eu-central-003.backblazeb2.com", "eu-central-003", key);
      const args: CnpgClusterArgs = {
        namespace: "guarded",
        operatorVersion: "1.30.0",
        storageGiB: 1,
        firstBackupTimeoutMinutes: 0,
        repositories: { repo1: { at: target, keepDays: 14 } },
        schedules: { full: { cron: "0 3 * * 0" } },
        poolers: { web: {} },
        monitoring: { podMonitor: true },
        silence: { PB003: "a test", PB042: "a test" },
      };
      new CnpgCluster("guarded", args, protect === undefined ? {} : { protect });
    });
  const objects = (): string[] =>
    kubernetes
      .all()
      .map(({ id, type }) => `${type} ${id}`)
      .filter((each) => / guarded\//.test(each) && !/Patch /.test(each));
  const stack = await declare();
  await stack.up();
  const before = objects();
  expect(before).toContain("kubernetes:postgresql.cnpg.io/v1:ScheduledBackup guarded/guarded-full");
  expect(await failureOf(stack.destroy(), printed)).toContain("protected");
  expect(objects()).toEqual(before);
  const open = await declare(false);
  await open.up();
  await open.destroy();
  expect(objects()).toEqual([]);
});

test.runIf(NIGHTLY)(
  "fields of `spec` count as arguments; a transform of the archiver, or of what was judged, fails the preview",
  async () => {
    const declare = (spec: Values, change: (spec: Values) => Values): Promise<Stack> =>
      openStack(programFolder, "changed", async () => {
        const key = new CipherPassphrase("changed-key", {}, { protect: false });
        const { target } = bucket("changed-b2", "s3.eu-central-003.backblazeb2.com", "eu-central-003", key);
        const changed: pulumi.ResourceTransform = ({ opts, props, type }) =>
          type === CLUSTER ? { opts, props: { ...props, spec: change(props["spec"] as Values) } } : undefined;
        const args: CnpgClusterArgs = {
          namespace: "changed",
          storageGiB: 1,
          spec,
          repositories: { repo1: { at: target, keepDays: 14 } },
          schedules: { full: { cron: "0 3 * * 0" } },
          silence: { PB003: "a test", PB042: "a test" },
        };
        const { like, topology } = new CnpgCluster("changed", args, { transforms: [changed] });
        return { image: like.image, topology };
      });
    const same = (spec: Values): Values => spec;
    const previewed = await declare({ instances: 5, imageName: "own.example.net/pg:17" }, same);
    const { changeSummary } = await previewed.preview();
    expect(changeSummary).not.toHaveProperty("update");
    const failed = async (spec: Values, change: (spec: Values) => Values): Promise<string> =>
      failureOf((await declare(spec, change)).preview(), printed);
    expect(await failed({}, (spec) => ({ ...spec, plugins: [] }))).toContain("PB201 spec.plugins");
    expect(await failed({}, (spec) => ({ ...spec, instances: 2 }))).toContain("PB202 spec.instances");
    expect(await failed({ plugins: [{ name: PLUGIN_NAME, enabled: false }] }, same)).toContain("PB201 spec.plugins");
  },
);

// claim: docs/reference/rules.md: PB195 to PB199 and PB203: databases and plugins of one program are judged together,
//   each program for itself
test.runIf(NIGHTLY)(
  "what two databases of one program share is an error; two programs in one process do not see each other",
  async () => {
    const declare = (stackName: string, isTwice: boolean): Promise<Stack> =>
      openStack(programFolder, stackName, async () => {
        const key = new CipherPassphrase("shared-key", {}, { protect: false });
        const { target } = bucket("shared-b2", "s3.eu-central-003.backblazeb2.com", "eu-central-003", key);
        const repositories = { repo1: { at: target, keepDays: 14 } };
        const common = { operatorVersion: "1.30.0", repositories, schedules: { full: { cron: "0 3 * * 0" } } };
        const connection = { local: {} };
        new CnpgPlugin("plugin", {});
        new CnpgCluster("orders", { ...common, namespace: "a", storageGiB: 1 });
        new PostgresHost("ledger", { connection, repositories, dataDirectory: "/srv/pg" });
        if (!isTwice) return;
        new CnpgPlugin("another", {});
        new CnpgCluster("copied", { ...common, namespace: "b", storageGiB: 1, stanza: "orders" });
        new CnpgBackup("attached", { ...common, namespace: "a", clusterName: "orders", readCluster: false });
        new PostgresHost("twice", { connection, repositories, dataDirectory: "/srv/pg" });
        new PostgresHost("mixed", { connection, repositories, dataDirectory: "/srv/other", stanza: "orders" });
      });
    const failure = await failureOf((await declare("shared", true)).preview(), printed);
    for (const text of [
      "CnpgPlugin another: 1 error",
      "PB197 operatorNamespace",
      "PB196 clusterName: the Cluster that archives here is also that of CnpgCluster orders",
      "PB198 dataDirectory: this directory of the host is also that of PostgresHost ledger",
      "PB203 directories.lib: /usr/local/lib/pgbackstop of the host is also that of PostgresHost ledger",
    ])
      expect(failure).toContain(text);
    // The engine's answers decide which of two is judged first.
    const isShared = (judged: string, other: string): boolean =>
      new RegExp(
        `${judged}: 1 error in the arguments\\s+PB195 repositories\\.repo1\\.at: this repository with this stanza is also that of ${other}`,
      ).test(failure);
    const [host, cluster] = ["PostgresHost mixed", "Cnpg(Cluster|Backup) \\w+"] as const;
    expect(isShared(host, cluster) || isShared(cluster, host), failure).toBe(true);
    const stacks = await Promise.all(["apart-1", "apart-2"].map((name) => declare(name, false)));
    const previews = await Promise.all(stacks.map((stack) => stack.preview()));
    for (const { stderr, stdout } of previews) expect(stdout + stderr).not.toMatch(/PB19\d/);
  },
);

// claim: docs/kubernetes/keys.md: no key in a preview or a state
test("neither output nor state contains a key or a passphrase", () => {
  const texts = { printed: printed.join("\n"), state: stateTexts(programFolder.folder).join("\n") };
  for (const [where, text] of Object.entries(texts)) {
    expect(text.length).toBeGreaterThan(1000);
    for (const marker of Object.values(MARKERS))
      for (const form of [marker, base64(marker)]) expect(text.includes(form), `${marker} in ${where}`).toBe(false);
    expect(text.includes("BEGIN PRIVATE KEY"), `a private key in ${where}`).toBe(false);
  }
});
