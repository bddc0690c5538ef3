/** A migration's declaration without an engine: ordered steps, rights to named objects, secrets only in Secrets. */
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { ClusterAccess } from "../../../../components/databases/cnpgArgs";
import type { HostAccess } from "../../../../components/databases/hostAccess";
import { Migration } from "../../components/migration";
import { type MigrationArgs, MigrationStage, WorkloadKind } from "../../components/migrationArgs";
import { NODE_IMAGE } from "../../../../components/plan/cluster/images";
import { renderedObjects } from "../../../../test/harness/kubernetes/rendered";
import { plain, type Value } from "../../../../test/harness/doubles/providerValues";

vi.mock("../../../../components/internal/runtimeBundle", () => ({
  runtimeBundleSha256: () => "0".repeat(64),
  runtimeBundleBrotli: () => "YnI=",
}));

vi.mock("../../components/programs", () => ({ kubernetesProgram: () => "a3Vi", migrateProgram: () => "bWln" }));

const SECRET = "plan-ted-pass-word";
const DIGEST = "0".repeat(64);
const URL = "http://pgbackstop.cnpg-system.svc:9091";
const HOST: HostAccess = {
  connection: { local: {} },
  user: "root",
  runtimeArgv: ["/usr/local/bin/pgbackstop"],
  databaseUser: "postgres",
};
const CLUSTER: ClusterAccess = {
  namespace: "db",
  clusterName: pulumi.output("orders"),
  backups: { full: [{ cluster: { name: "orders" } }] },
  verbs: {
    args: ["--config=/pgbackstop/config/pgbackrest.conf", "--stanza=orders"],
    volumeMounts: [{ name: "config", mountPath: "/pgbackstop/config" }],
    volumes: [{ name: "config", configMap: { name: "orders-pgbackstop" } }],
    drills: { weekly: { template: { spec: { restartPolicy: "Never" } } } },
    hold: {},
  },
};

interface Declared {
  readonly type: string;
  readonly name: string;
  readonly inputs: Record<string, unknown> & {
    readonly metadata?: { readonly name: string; readonly namespace: string };
  };
}

const REPORTS: Record<string, string> = { verify: '{"ok":true}', finish: '{"mayRetireSource":true}' };
let declared: Declared[] = [];

beforeEach(() => {
  declared = [];
});
afterAll(() => vi.restoreAllMocks());

async function declare(
  args: MigrationArgs,
): Promise<{ readonly mayGo: boolean | undefined; readonly steps: readonly string[]; readonly report: string }> {
  const reported: { mayGo?: boolean; steps: string[]; report: string } = { steps: [], report: "" };
  await pulumi.runtime.setMocks(
    {
      call: () => ({}),
      newResource: ({ id, type, name, inputs }) => {
        declared.push({ type, name, inputs: plain(inputs as Value) as Declared["inputs"] });
        const verb = /-(?:told-)?(plan|copy|verify|finish|release)$/.exec(name)?.[1] ?? "";
        const state = {
          ...(inputs as object),
          stdout: REPORTS[verb] ?? "",
          ...(name.includes("-told-") ? { data: { report: REPORTS[verb] ?? "" } } : {}),
        };
        return { id: id === undefined || id === "" ? name : id, state };
      },
    },
    "shop",
    "prod",
  );
  try {
    const made = new Migration("to-18", args);
    made.mayRetireSource.apply((value) => (reported.mayGo = value));
    made.steps.apply((value) => (reported.steps = value));
    made.report.apply((value) => (reported.report = value));
  } finally {
    await pulumi.runtime.disconnect();
  }
  return { mayGo: reported.mayGo, steps: reported.steps, report: reported.report };
}

const ofKind = (kind: string): Declared[] => declared.filter(({ inputs }) => inputs["kind"] === kind);
const namesOf = (result: readonly Declared[]): string[] => result.map(({ inputs }) => inputs.metadata?.name ?? "");
const args = (given: Partial<MigrationArgs> = {}): MigrationArgs => ({
  source: { address: "old.example.net", password: pulumi.secret(SECRET), ca: "PEM" },
  target: { cluster: CLUSTER },
  drill: "weekly",
  workloads: [
    { kind: WorkloadKind.Deployment, name: "web", namespace: "shop" },
    { kind: WorkloadKind.StatefulSet, name: "queue" },
  ],
  secrets: [{ name: "shop-database", namespace: "shop", values: { host: "orders-rw.db", uri: pulumi.secret(SECRET) } }],
  ...given,
});

describe("into a cluster", () => {
  test("the plan alone is one Job, and no source may be removed", async () => {
    const { mayGo, steps } = await declare(args());
    expect(namesOf(ofKind("Job"))).toEqual(["to-18-plan"]);
    expect(steps).toHaveLength(1);
    expect(mayGo).toBe(false);
  });

  // claim: packages/migration/docs/program.md: `Migration` declares each stage as ordered steps, with rights to named
  //   objects only, and secrets only in Secrets and files
  test("all stages are Jobs and a Backup in order, and outputs have the answers", async () => {
    const { mayGo, report } = await declare(args({ until: MigrationStage.Retire }));
    const order = [
      "plan",
      "stop-workloads",
      "copy",
      "verify",
      "repoint-secrets",
      "start-workloads",
      "first-drill",
      "finish",
    ];
    expect(namesOf(ofKind("Job")).toSorted()).toEqual(order.map((role) => `to-18-${role}`).toSorted());
    expect(namesOf(ofKind("Backup"))).toEqual(["orders-to-18-first-backup-backup"]);
    expect(mayGo).toBe(true);
    expect(report).toBe(REPORTS["verify"]);
  });

  // claim: packages/migration/docs/program.md: `Migration` declares each stage…
  test("a secret is in Secrets, and nowhere else", async () => {
    await declare(args({ until: MigrationStage.Retire }));
    const others = declared.filter(({ inputs }) => inputs["kind"] !== "Secret");
    expect(JSON.stringify(others)).not.toContain(SECRET);
    const secrets = ofKind("Secret");
    expect(namesOf(secrets).toSorted()).toEqual(["to-18-record", "to-18-servers", "to-18-values"]);
    expect(JSON.stringify(secrets)).toContain(SECRET);
  });

  // claim: packages/migration/docs/program.md: `Migration` declares each stage…
  test("rights are limited to named objects", async () => {
    await declare(args({ until: MigrationStage.Copy }));
    const rules = Object.fromEntries(ofKind("Role").map(({ inputs }) => [inputs.metadata?.namespace, inputs["rules"]]));
    expect(rules).toEqual({
      db: [
        { apiGroups: ["apps"], resources: ["statefulsets"], resourceNames: ["queue"], verbs: ["get"] },
        { apiGroups: ["apps"], resources: ["statefulsets/scale"], resourceNames: ["queue"], verbs: ["patch"] },
        { apiGroups: [""], resources: ["pods"], verbs: ["list"] },
        { apiGroups: [""], resources: ["secrets"], resourceNames: ["to-18-record"], verbs: ["get", "patch"] },
        {
          apiGroups: [""],
          resources: ["configmaps"],
          resourceNames: ["to-18-report-plan", "to-18-report-copy", "to-18-report-verify"],
          verbs: ["get", "patch"],
        },
      ],
      shop: [
        { apiGroups: ["apps"], resources: ["deployments"], resourceNames: ["web"], verbs: ["get"] },
        { apiGroups: ["apps"], resources: ["deployments/scale"], resourceNames: ["web"], verbs: ["patch"] },
        { apiGroups: [""], resources: ["pods"], verbs: ["list"] },
        { apiGroups: [""], resources: ["secrets"], resourceNames: ["shop-database"], verbs: ["get", "patch"] },
      ],
    });
  });

  test("a cluster's own Secrets sign in to it, and finish reads its repositories", async () => {
    await declare(args({ until: MigrationStage.Retire }));
    const finish = ofKind("Job").find(({ inputs }) => inputs.metadata?.name === "to-18-finish");
    const text = JSON.stringify(finish?.inputs["spec"]);
    expect(text).toContain('"name":"orders-superuser"');
    expect(text).toContain("--stanza=orders");
    expect(text).toContain('"name":"orders-pgbackstop"');
    const texts = ofKind("ConfigMap").find(({ inputs }) => inputs.metadata?.name === "to-18-words")?.inputs[
      "data"
    ] as Record<string, string>;
    expect(Object.keys(texts).sort()).toEqual(["copy", "finish", "plan", "verify"]);
    expect(texts["finish"]).toContain("--from-server=host=old.example.net user=postgres sslmode=verify-full ");
    expect(texts["finish"]).toContain(
      "--to-server=host=orders-rw.db user=postgres sslmode=verify-full sslrootcert=/pgbackstop/servers/to-ca.pem\n",
    );
  });
});

test("a source that is shut down for good is not asked, and its Secrets may be gone", async () => {
  const source = { address: "old.example.net", passwordSecret: { name: "old", key: "password" } };
  const sourcesOf = async (sourceStopped: boolean): Promise<unknown> => {
    declared = [];
    await declare(args({ source, sourceStopped, until: MigrationStage.Retire }));
    const job = ofKind("Job").find(({ inputs }) => inputs.metadata?.name === "to-18-finish");
    const spec = job?.inputs["spec"] as { template: { spec: { volumes: { name: string; projected: object }[] } } };
    return spec.template.spec.volumes.find(({ name }) => name === "servers")?.projected;
  };
  const of = (name: string, key: string, path: string, more = {}): object => ({
    secret: { name, ...more, items: [{ key, path }] },
  });
  const own = [of("orders-superuser", "password", "to-password"), of("orders-ca", "ca.crt", "to-ca.pem")];
  expect(await sourcesOf(false)).toMatchObject({ sources: [of("old", "password", "from-password"), ...own] });
  const gone = of("old", "password", "from-password", { optional: true });
  expect(await sourcesOf(true)).toMatchObject({ sources: [gone, ...own] });
});

describe("into a host", () => {
  test("steps run over its connection, with passwords outside the arguments", async () => {
    const units = [{ host: HOST, names: ["shop.timer", "shop.service"] }];
    const { mayGo } = await declare({
      source: args().source,
      target: { host: HOST },
      units,
      until: MigrationStage.Retire,
    });
    expect(ofKind("Job")).toEqual([]);
    const copy = declared.find(({ name }) => name === "to-18-copy");
    expect(copy?.inputs["create"]).not.toContain(SECRET);
    const script = JSON.stringify(copy?.inputs["stdin"]);
    for (const part of [
      "account=postgres seconds=604800 what='migrate copy' file_account=postgres",
      `write_file from-password ${SECRET}`,
      "write_file from-ca.pem PEM",
      "unpack_file migrate.cjs bWln",
      "--output=json --log-level=info copy",
    ])
      expect(script).toContain(part);
    const option = `'--from-password-file='"$directory"'/from-password'`;
    expect(script).toContain(JSON.stringify(` ${option} `).slice(1, -1));
    const [stop, start] = ["stop", "start"].map(
      (arg) => declared.find(({ name }) => name === `to-18-${arg}-units`)?.inputs,
    );
    expect(stop?.["stdin"]).toContain(
      "account=root seconds=604800 what='stop shop.timer, shop.service'\n" +
        "  run systemctl stop -- shop.timer\n  run systemctl stop -- shop.service\n}",
    );
    expect(start?.["stdin"]).toContain("  run systemctl start -- shop.service\n  run systemctl start -- shop.timer\n}");
    expect(mayGo).toBe(true);
  });

  test("its own server and Node.js are those of its access", async () => {
    const server = { socketDirectory: "/run/pg", port: 5433, user: "pg" };
    await declare({ source: args().source, target: { host: { ...HOST, nodePath: "/opt/node", server } } });
    const script = String(declared.find(({ name }) => name === "to-18-plan")?.inputs["stdin"]);
    expect(script).toContain(`report 81 /opt/node ''"$directory"'/migrate.cjs'`);
    expect(script).toContain("'--to-server=host=/run/pg port=5433 user=pg'");
  });

  test("workloads elsewhere need a namespace for their Jobs, and get one", async () => {
    const given = {
      source: args().source,
      target: { host: HOST },
      until: MigrationStage.Copy,
      workloads: args().workloads ?? [],
    };
    await expect(declare(given)).rejects.toThrow(/no namespace for the Jobs/);
    declared = [];
    await declare({ ...given, namespace: "shop" });
    expect(namesOf(ofKind("Job"))).toEqual(["to-18-stop-workloads"]);
  });
});

test("all errors are reported at once, with the remedy", async () => {
  const wrong = { source: { address: "a", host: HOST }, target: { address: "b" }, processMax: 0 };
  await expect(declare(wrong)).rejects.toThrow(/processMax: 0 is not a number/);
  await expect(declare({ source: { host: HOST, cluster: CLUSTER }, target: { cluster: CLUSTER } })).rejects.toThrow(
    /source: host and cluster are given/,
  );
});

describe("a migration's Jobs", () => {
  const target: ClusterAccess = {
    namespace: "orders",
    clusterName: pulumi.output("orders"),
    backups: { full: [{ cluster: { name: "orders" } }] },
    verbs: { args: [], volumeMounts: [], volumes: [], drills: { weekly: {} }, hold: {} },
  };
  const startsOf = async (more: Partial<MigrationArgs>): Promise<string> => {
    const source = { address: "old.example.net", password: "secret" };
    return JSON.stringify(
      await renderedObjects(
        () =>
          void new Migration("orders", {
            source,
            target: { cluster: target },
            until: "retire",
            drill: "weekly",
            ...more,
          }),
      ),
    );
  };

  test("ask the backup program that the plugin serves, an image contains, or a ConfigMap carries", async () => {
    const runtime = { sha256: DIGEST, url: URL, image: NODE_IMAGE, onRequest: false };
    const served = await startsOf({ plugin: { name: "pgbackstop", runtime } });
    expect(served).toContain(`"${DIGEST}","${URL}",""`);
    expect(served).not.toContain("orders-program-");
    const imaged = await startsOf({ runtimeImage: "registry.example.net/pgbackstop@sha256:01" });
    expect(imaged).toContain("registry.example.net/pgbackstop@sha256:01");
    expect(imaged).not.toContain("orders-program-");
    expect(await startsOf({})).toContain('"name":"orders-program-000000000000"');
  });
});
