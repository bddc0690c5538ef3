/**
 * Random programs with a random part of their values deferred: a preview says a part of what it says when all values
 * are known, in the same words, and what it shows of files and topology is the same.
 */
// claim: docs/reference/components.md: "Plain arguments": every other…
import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { apart, splitKnown } from "../../../../components/internal/inputs";
import type { RepositorySecrets } from "../../../../components/plan/cluster/clusterPlan";
import type { DeployedRuntime, EngineContext } from "../../../../components/render/engines/engine";
import { renderAttachment, renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { renderFullBackupGate } from "../../../../components/render/kubernetes/fullBackupGate";
import type { RenderedObject } from "../../../../components/render/kubernetes/objects";
import { recoverySource } from "../../../../components/render/kubernetes/source";
import { NIGHTLY } from "../../../../tools/parts/nightly";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import { checkClusterPlan, planCluster } from "../../../../components/plan/cluster/planCluster";
import { type Finding, findingText } from "../../../../components/plan/findings/findings";
import type { HostSettings } from "../../../../components/plan/model/databaseSettings";
import { attempt, DeferredRead, merged, readOr, view, without } from "../../../../components/plan/model/deferred";
import type { ClusterDatabasePlan, HostPlan } from "../../../../components/plan/model/plan";
import { resolveHost } from "../../../../components/plan/model/resolveDatabase";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { checkHost } from "../../../../components/plan/rules";
import { topologyOf } from "../../../../components/plan/topology/topology";
import { hostFilesOf } from "../../../../components/render/host/hostParts";
import * as fc from "../../../harness/properties";
import { declaredCluster, SECRETS } from "../../clusters";
import { deferred as deferredValue, inputsOf, withInputs } from "../../deferredInputs";
import { BUCKET, NAS, R2, settings } from "../../plans";

const SHARED = {
  archiveTimeoutSeconds: 45,
  acknowledge: { mode: "named", repositories: ["repo1"] },
  objectives: { rpoSeconds: 300, rtoMinutes: 90, pitrRtoMinutes: 95, pitrDays: 7, maxRepositoryGB: 100 },
  drillChecks: {
    heartbeat: { sql: "SELECT now()", database: "shop" },
    assertions: [
      { name: "orders", sql: "SELECT true" },
      { name: "users", sql: "SELECT true" },
    ],
    backupAgeHours: 200,
  },
  drills: {
    weekly: { cron: "0 5 * * 6", timeZone: "UTC", from: "repo2", pick: "newest", level: "quick", maxMinutes: 200 },
    turns: { cron: "0 5 15 * *", repositories: ["repo1", "repo2"], elsewhere: true },
  },
  sizing: { databaseGiB: 10, walGiBPerDay: 2, changedGiBPerDay: 1, compressedTo: 0.4 },
  streaming: { intervalSeconds: 9, synchronous: "named", repositories: ["repo1"], groupMilliseconds: 20 },
  options: { "protocol-timeout": "3700" },
};
const COMMON = {
  port: 8443,
  uriStyle: "path",
  quirks: "minio",
  keyType: "shared",
  facts: { versioning: true, immutableDays: 3, lockMode: "governance", undeleteDays: 8, storageClass: "STANDARD" },
};
const RICH = {
  ...BUCKET,
  at: { ...BUCKET.at, s3: { ...BUCKET.at.s3, ...COMMON } },
  compress: { type: "gz", level: 4 },
  bundle: true,
  blockIncremental: true,
  options: { "retention-archive": "3" },
  schedules: { diff: { cron: "0 4 * * 3", timeZone: "Europe/Paris", jitterSeconds: 12, deadlineSeconds: 7200 } },
};

const HOST = {
  ...settings(),
  ...SHARED,
  agent: true,
  port: 5433,
  user: "pg",
  processMax: 3,
  repositories: { repo1: NAS, repo2: RICH },
  directories: { lib: "/opt/own/lib", units: "/etc/systemd/system", metrics: "/var/own/metrics" },
  maintenance: { verify: { cron: "5 5 * * 5", enabled: true, samplePercent: 35 }, stale: {}, heal: { enabled: true } },
  monitoring: { listen: "127.0.0.1:9854", otlp: { existingFile: "/run/s/otlp.env" } },
  postgres: { version: 17, install: true },
} as object as HostSettings;

const CLUSTER = {
  ...declaredCluster(),
  ...SHARED,
  clusterName: "orders",
  repositories: { repo1: RICH, repo2: R2 },
  image: "registry.example.net/postgresql:18.2",
  parameters: { shared_buffers: "1GB" },
  poolers: { web: { type: "ro", instances: 3, poolMode: "transaction" } },
  snapshots: { online: false, cron: "0 7 * * *", keepDays: 5, acceptDowntime: true },
  sidecar: { cpu: "150m", memory: "500Mi" },
  processMax: 3,
  bootstrap: {
    recovery: {
      stanza: "ledger",
      repositories: { repo1: RICH, repo2: R2 },
      from: ["repo2"],
      continueArchive: false,
      target: { time: "2026-11-20T06:40:59Z" },
    },
  },
  spec: {
    primaryUpdateStrategy: "supervised",
    storage: { resizeInUseVolumes: false },
    managed: { roles: [{ name: "reader", passwordSecret: { name: "reader" }, disablePassword: false }] },
    postgresql: { parameters: { work_mem: "8MB" }, shared_preload_libraries: ["pg_stat_statements"] },
  },
  staleCheck: { cron: "21 * * * *", timeZone: "Europe/Rome" },
} as object as DeclaredCluster;

const MONITORED = {
  monitoring: {
    podMonitor: true,
    prometheusRule: true,
    tls: true,
    labels: { release: "stack" },
    runbookUrl: "https://r",
  },
  notifySecret: "notices",
  podPlacement: { nodeSelector: { pool: "backups" }, imagePullSecrets: ["registry"], annotations: { mesh: "no" } },
  metadata: { labels: { own: "1" } },
  spec: {
    enablePDB: false,
    storage: { resizeInUseVolumes: false },
    walStorage: { size: "5Gi" },
    tablespaces: [{ name: "archive", owner: { name: "shop" }, storage: { size: "9Gi" } }],
    postgresql: { extensions: [{ name: "vector", image: { reference: "registry.example.net/vector:1" } }] },
  },
};

/** What an engine of others supports. */
function ofEngine(engine: string): DeclaredCluster {
  const s3 = { ...BUCKET.at.s3, ...COMMON, quirks: "b2" };
  const keeps = { keepDays: 40, compress: { type: "gz", level: 4 } };
  const repositories =
    engine === "volumeSnapshot" ? {} : { repo1: { ...keeps, at: { ...BUCKET.at, encrypted: false, s3 } } };
  return {
    namespace: "db",
    engine,
    clusterName: "orders",
    storageGiB: 20,
    archiveTimeoutSeconds: 45,
    repositories,
    schedules: { full: { cron: "0 3 * * 0", target: "primary" } },
    parameters: { shared_buffers: "1GB" },
    ...(engine === "volumeSnapshot"
      ? { snapshots: { className: "fast", keepDays: 5, online: true } }
      : { sidecar: { cpu: "150m", memory: "500Mi", cpuLimit: "1" } }),
  } as DeclaredCluster;
}

/** Other values of the same type, most of them mistakes. */
const OTHERS: Readonly<Record<string, readonly unknown[]>> = {
  number: [0, -1, 1, 2, 1e6],
  string: ["", "a b", "x", "primary", "any", "/p", "* * * * *", "repo9"],
  boolean: [true, false],
};

/** What a cluster is rendered from. */
interface Live {
  readonly settings: DeclaredCluster;
  readonly secrets: RepositorySecrets;
  readonly runtime: DeployedRuntime;
  readonly pluginName: string;
}

interface Form {
  readonly args: DeclaredCluster;
  readonly type: string;
  readonly render: typeof renderCluster;
}

const INPUTS: Omit<Live, "settings"> = {
  secrets: SECRETS,
  runtime: { configMap: "orders-runtime", image: "node:24", sha256: "0123" },
  pluginName: "pgbackstop.dev",
};
/** Of these, and of sections that may come as a whole. */
const LIVE = [
  "secrets.repo1",
  "secrets.repo2.accessKeyId.key",
  "secrets.repo2.secretAccessKey.name",
  "secrets.repo2.passphrase.name",
  "pluginName",
  ...["configMap", "image", "sha256"].map((name) => `runtime.${name}`),
  ...["spec.storage", "spec.storage.resizeInUseVolumes", "metadata.labels"].map((at) => `settings.${at}`),
];
/** As clusters have it. */
const IN_CLUSTER = {
  ...RICH,
  at: { ...RICH.at, s3: { ...RICH.at.s3, quirks: "b2" } },
  schedules: { diff: { cron: "0 4 * * 3" } },
};
const RESTORED = {
  ...CLUSTER,
  repositories: { repo1: IN_CLUSTER, repo2: R2 },
  schedules: { full: { cron: "0 3 * * 0", suspend: false, target: "primary", ownerReference: "none" } },
  bootstrap: {
    recovery: {
      stanza: "ledger",
      repositories: { repo1: { at: IN_CLUSTER.at }, repo2: { at: R2.at } },
      from: ["repo2"],
      target: { time: "2026-11-20T06:40:59Z" },
    },
  },
} as object as DeclaredCluster;
const { bootstrap: _bootstrap, ...FRESH } = RESTORED;
const FORMS: Readonly<Record<string, Form>> = {
  "a restored cluster": { args: RESTORED, type: "CnpgClusterArgs", render: renderCluster },
  "a new cluster": { args: { ...FRESH, ...MONITORED }, type: "CnpgClusterArgs", render: renderCluster },
  "an existing cluster": {
    args: { ...FRESH, ...MONITORED, operatorVersion: "1.30.0", replaceBarmanObjectStore: true },
    type: "CnpgBackupArgs",
    render: (context) => renderAttachment(context),
  },
  "Dalibo's plugin": { args: ofEngine("pgbackrest"), type: "CnpgClusterArgs", render: renderCluster },
  "Barman's plugin": { args: ofEngine("barman-cloud"), type: "CnpgClusterArgs", render: renderCluster },
  "snapshots alone": { args: ofEngine("volumeSnapshot"), type: "CnpgClusterArgs", render: renderCluster },
};

function objectsOf(render: Form["render"], live: Live): readonly RenderedObject[] {
  const { database, definition, schedules, source } = planCluster("orders", live.settings);
  const context = merged({ database, definition, schedules }, without(live, "settings")) as EngineContext;
  const from = source === null ? null : recoverySource(context, source);
  return [...render(context, from), ...renderFullBackupGate(context)];
}

function valueOf(value: unknown): Promise<unknown> {
  return new Promise((resolve) => pulumi.output(value as object).apply(resolve));
}

interface Program {
  readonly changed: readonly (readonly [path: string, index: number])[];
  readonly left: readonly string[];
  readonly deferred: readonly string[];
}

function programs(
  paths: readonly string[],
  sections: readonly string[],
  max = { changed: 4, deferred: 6 },
): fc.Arbitrary<Program> {
  return fc.record({
    changed: fc.array(fc.tuple(fc.constantFrom(...paths), fc.nat(20)), { maxLength: max.changed }),
    left: fc.subarray([...sections], { maxLength: Math.min(3, sections.length) }),
    deferred: fc.subarray([...paths], { minLength: 1, maxLength: Math.min(max.deferred, paths.length) }),
  });
}

function made<T extends object>(
  base: T,
  { changed, deferred, left }: Program,
  standIn: (value: unknown) => unknown = marker(),
): { readonly known: T; readonly deferred: T } {
  const rest = Object.fromEntries(Object.entries(base).filter(([name]) => !left.includes(name))) as T;
  const known = changed.reduce(
    (values, [path, index]) =>
      withInputs(values, [path], (value) => {
        const others = OTHERS[typeof value];
        return others === undefined ? value : others[index % others.length];
      }),
    rest,
  );
  return { known, deferred: withInputs(known, deferred, standIn) };
}

function marker(): () => string {
  let next = 0;
  return () => unknownMarker(next++);
}

/** What is known of it, beside the same part of the other one. */
function knownParts(deferred: unknown, known: unknown): [shown: unknown, expected: unknown][] {
  if (typeof deferred !== "object" || deferred === null) return [[deferred, known]];
  return Object.keys(deferred).flatMap((key) => {
    const value = attempt(() => (deferred as Record<string, unknown>)[key]);
    return value instanceof DeferredRead
      ? []
      : knownParts(value, (known as Record<string, unknown> | undefined)?.[key]);
  });
}

function expectSame(deferred: () => unknown, known: () => unknown): void {
  const shown = attempt(deferred);
  if (shown instanceof DeferredRead) return;
  const parts = knownParts(shown, known());
  expect(parts.map(([value]) => value)).toEqual(parts.map(([, value]) => value));
}

function expectPart(deferred: readonly Finding[], known: readonly Finding[]): void {
  const all = known.map(findingText);
  expect(deferred.map(findingText).filter((text) => !all.includes(text))).toEqual([]);
}

/** Copies say themselves that they are minimums. */
function shownTopology(plan: HostPlan | ClusterDatabasePlan): object {
  const { copies: _copies, ...others } = topologyOf(plan);
  return others;
}

const RUNS = NIGHTLY ? 400 : 25;
const SECTIONS = ["drills", "drillChecks", "objectives", "sizing", "streaming", "schedules", "options", "acknowledge"];
const pathsOf = (type: string, values: object): string[] => inputsOf(type, values).paths.map(({ path }) => path);

describe("a part of what is known, and nothing else", () => {
  test("of a host", () => {
    const paths = pathsOf("PostgresHostArgs", HOST);
    const property = fc.property(programs(paths, [...SECTIONS, "maintenance", "monitoring", "postgres"]), (program) => {
      const { known, deferred } = made(HOST, program);
      const plan = resolveHost("ledger", known, "/usr/bin/node");
      const part = resolveHost("ledger", view(deferred), "/usr/bin/node");
      const findings = checkHost(plan);
      expectPart(checkHost(part), findings);
      if (findings.some(({ severity }) => severity === "error")) return;
      expectSame(
        () => shownTopology(part),
        () => shownTopology(plan),
      );
      expectSame(
        () => hostFilesOf(part).map(({ path }) => path),
        () => hostFilesOf(plan).map(({ path }) => path),
      );
      for (const file of readOr(() => hostFilesOf(part), []))
        expectSame(
          () => file.text,
          () => hostFilesOf(plan).find(({ path }) => path === file.path)?.text,
        );
    });
    fc.assert(property, { numRuns: RUNS });
  });

  test("of a cluster", () => {
    const paths = pathsOf("CnpgClusterArgs", CLUSTER);
    const property = fc.property(programs(paths, [...SECTIONS, "bootstrap", "snapshots", "spec"]), (program) => {
      const { known, deferred } = made(CLUSTER, program);
      const plan = planCluster("orders", known);
      const part = planCluster("orders", view(deferred));
      const findings = checkClusterPlan(plan, false);
      expectPart(checkClusterPlan(part, false), findings);
      if (findings.some(({ severity }) => severity === "error")) return;
      expectSame(
        () => shownTopology(part.database),
        () => shownTopology(plan.database),
      );
    });
    fc.assert(property, { numRuns: RUNS });
  });

  test.each(Object.keys(FORMS))("objects of %s, which are the same bytes once all is known", async (form) => {
    const { args, render, type } = FORMS[form] as Form;
    const errorsOf = (declared: DeclaredCluster): Finding[] =>
      checkClusterPlan(planCluster("orders", declared), render !== renderCluster).filter(
        ({ severity }) => severity === "error",
      );
    expect(errorsOf(args)).toEqual([]);
    const inputs = pathsOf(type, args);
    const paths = [...inputs.map((path) => `settings.${path}`), ...LIVE];
    const property = fc.asyncProperty(programs(paths, [], { changed: 1, deferred: 25 }), async (program) => {
      const { known, deferred } = made({ settings: args, ...INPUTS }, program, deferredValue);
      if (errorsOf(known.settings).length > 0) return;
      // Only an argument says that there is no ConfigMap: one that comes later has a name.
      if (known.runtime.configMap === "" && program.deferred.includes("runtime.configMap")) return;
      const expected = objectsOf(render, known);
      const { derive, now } = apart(splitKnown<object>(deferred), (values) => objectsOf(render, values as Live));
      expect(now.map(({ role }) => role)).toEqual(expected.map(({ role }) => role));
      for (const [index, { manifest }] of expected.entries()) {
        expectSame(
          () => now[index]?.manifest,
          () => manifest,
        );
        const filled = await valueOf(derive((objects) => objects[index]?.manifest));
        expect(JSON.stringify(filled)).toBe(JSON.stringify(manifest));
      }
    });
    // Once it was lost: the field that the user's own setting goes into.
    const spec = { changed: [], left: [], deferred: ["settings.spec.storage"] };
    await fc.assert(property, { numRuns: RUNS, examples: [[spec]] });
  });
});
