/**
 * Removal of old volume snapshots under a real kube-apiserver's rules. Strict validation accepts the components'
 * objects. The account's Role suffices for the program and allows nothing else. A Job of the CronJob removes snapshots
 * in the lab. No storage here takes snapshots, so `harness/kubernetes/snapshotObjects.ts` writes Backups and
 * VolumeSnapshots as CloudNativePG does.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { CnpgBackup } from "../../components/databases/cnpgBackup";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { run, type RunResult } from "../../tools/parts/process";
import { type ApiServer, startApiServer } from "../harness/kubernetes/apiServer";
import type { Kubectl, KubernetesObject } from "../harness/kubernetes/kubectl";
import { type Lab, startLab } from "../harness/kubernetes/lab";
import { apiServerParts, labParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";
import { type TakenSnapshot, takenSnapshot } from "../harness/kubernetes/snapshotObjects";
import { startWebServer, type WebServer } from "../harness/doubles/messageServers";
import { findRuntime, type RuntimeProgram } from "../harness/real/runtimeCli";
import { NIGHTLY } from "../../tools/parts/nightly";

const BACKUPS = "backups.postgresql.cnpg.io";
const SNAPSHOTS = "volumesnapshots.snapshot.storage.k8s.io";
const SILENCE = {
  PB095: "only snapshots here",
  PB003: "one copy",
  PB007: "a test",
  PB009: "one copy",
  PB030: "one copy",
  PB042: "no drill",
};
const DAY_MS = 86_400_000;

/** A cluster whose only backups are snapshots: cold ones, because nothing has the WAL between several volumes. */
function orders(snapshots: CnpgClusterArgs["snapshots"], notifySecret?: string): void {
  new CnpgCluster("orders", {
    namespace: "default",
    engine: "volumeSnapshot",
    storageGiB: 1,
    spec: { walStorage: { size: "1Gi" } },
    repositories: {},
    schedules: { full: { cron: "0 3 * * *" } },
    instances: 2,
    snapshots: { className: "csi", online: false, ...snapshots },
    silence: SILENCE,
    ...(notifySecret === undefined ? {} : { notifySecret }),
  });
}

function daysAgo(days: number): string {
  return new Date(Date.now() - days * DAY_MS).toISOString().replace(/\.\d+Z$/, "Z");
}

/** Stores them as the operator does: the status is a subresource, and the server assigns uids. */
async function store(kubectl: Kubectl, taken: TakenSnapshot): Promise<string> {
  const { backup } = takenSnapshot(taken);
  const [stored] = await kubectl.apply([without(backup, "uid", "creationTimestamp")]);
  const patch = JSON.stringify({ status: backup["status"] });
  await kubectl.runOk(["patch", BACKUPS, backup.metadata.name, "--subresource=status", "--type=merge", "-p", patch]);
  const { snapshots } = takenSnapshot({ ...taken, uid: String(stored?.metadata["uid"]) });
  await kubectl.apply(snapshots.map((snapshot) => without(snapshot, "uid", "creationTimestamp")));
  return backup.metadata.name;
}

function without(object: KubernetesObject, ...fields: readonly string[]): KubernetesObject {
  const { status: _status, ...rest } = object;
  const metadata = Object.fromEntries(Object.entries(object.metadata).filter(([name]) => !fields.includes(name)));
  return { ...rest, metadata } as KubernetesObject;
}

async function namesOf(kubectl: Kubectl, kind: string): Promise<string[]> {
  return (await kubectl.list(kind, "default")).map(({ metadata }) => metadata.name).sort();
}

function containerOf(objects: readonly object[]): { readonly args: readonly string[] } {
  const cron = objects.find((object) => (object as KubernetesObject).kind === "CronJob") as
    | KubernetesObject
    | undefined;
  const spec = cron?.["spec"] as {
    jobTemplate: { spec: { template: { spec: { containers: [{ args: string[] }] } } } };
  };
  return spec.jobTemplate.spec.template.spec.containers[0];
}

describe("a real API server", async () => {
  const parts = await apiServerParts("removal of old snapshots");
  if (parts === null) return;
  let server: ApiServer;
  let program: RuntimeProgram;
  let account: string;
  let objects: readonly object[];
  beforeAll(async () => {
    program = await findRuntime();
    server = await startApiServer(parts, "snapshots");
    await server.define(["cnpg", "snapshots"]);
    objects = await renderedObjects(() => orders({ keepDays: 7, keepCount: 2 }));
    await server.kubectl.apply(objects);
    account = mkdtempSync(join(tmpdir(), "pgbk-account-"));
    writeFileSync(join(account, "token"), await server.kubectl.runOk(["create", "token", "orders-expire"]), {
      mode: 0o600,
    });
    writeFileSync(join(account, "ca.crt"), readFileSync(server.caFile));
    writeFileSync(join(account, "namespace"), "default");
  });
  afterAll(async () => {
    await server?.stop();
    rmSync(account ?? "", { recursive: true, force: true });
  });

  /** Runs the CronJob's command with the address and the account that a pod would get. */
  const expire = (...more: readonly string[]): Promise<RunResult> => {
    const { hostname, port } = new URL(server.url);
    const args = containerOf(objects).args.map((arg) =>
      arg.replace("$(KUBERNETES_SERVICE_HOST)", hostname).replace("$(KUBERNETES_SERVICE_PORT)", port),
    );
    return run(program.node, [program.file, `--kubernetes-account-path=${account}`, ...more, ...args], {
      timeoutMs: 60_000,
    });
  };
  const may = async (...args: readonly string[]): Promise<boolean> =>
    (
      await server.kubectl.run(["auth", "can-i", ...args, "--as=system:serviceaccount:default:orders-expire"])
    ).stdout.trim() === "yes";

  test("accepts the components' objects, alone, beside an archiver, and beside an existing Cluster, and no unknown field", async () => {
    const at = (): CnpgClusterArgs["repositories"] => ({
      repo1: {
        at: new S3CompatibleRepository("one", {
          endpoint: "s3.example.net",
          region: "eu",
          bucket: { existing: { name: "orders-pg", credentials: { accessKeyId: "id", secretAccessKey: "secret" } } },
        }).target,
        keepDays: 14,
      },
    });
    const common = { namespace: "default", schedules: { full: { cron: "0 3 * * 0" } }, silence: SILENCE };
    const snapshots = { cron: "0 5 * * *", keepCount: 3 };
    const programs = [
      () =>
        void new CnpgCluster("beside", {
          ...common,
          storageGiB: 1,
          repositories: at(),
          snapshots: { ...snapshots, ownerReference: "backup" },
        }),
      () =>
        void new CnpgBackup("legacy", {
          ...common,
          clusterName: "legacy",
          operatorVersion: "1.30.0",
          repositories: at(),
          snapshots,
        }),
    ];
    for (const declare of programs) {
      const declared = await renderedObjects(declare);
      expect(declared.map((object) => (object as KubernetesObject).kind)).toEqual(
        expect.arrayContaining(["ServiceAccount", "Role", "RoleBinding", "CronJob"]),
      );
      const plain = declared.filter(
        (object) =>
          (object as KubernetesObject).kind !== "Cluster" || !JSON.stringify(object).includes("patchFieldManager"),
      );
      expect(await server.kubectl.refusal(plain)).toBe("");
    }
    for (const object of objects) {
      const { kind, spec } = object as KubernetesObject & { spec?: { jobTemplate: object } };
      if (kind !== "CronJob" || spec === undefined) continue;
      expect(await server.kubectl.refusal([{ ...object, spec: { ...spec, timezone: "UTC" } }])).toContain(
        "spec.timezone",
      );
      expect(await server.kubectl.refusal([{ ...object, spec: { ...spec, timeZone: "Europe/Nowhere" } }])).toContain(
        "timeZone",
      );
    }
  });

  // claim: README.md: the account that removes them has no other rights, and the job runs (a real API server; the
  //   objects are made as the operator makes them, the kubelet is a double)
  test("lets its account list and delete these two kinds in this namespace, and nothing else", async () => {
    for (const kind of [BACKUPS, SNAPSHOTS]) {
      expect([kind, await may("list", kind), await may("delete", kind)]).toEqual([kind, true, true]);
      for (const verb of ["create", "update", "patch", "watch", "deletecollection"])
        expect([kind, verb, await may(verb, kind)]).toEqual([kind, verb, false]);
      for (const verb of ["list", "delete"])
        expect([kind, verb, await may(verb, kind, "-n", "kube-system")]).toEqual([kind, verb, false]);
    }
    for (const kind of [
      "secrets",
      "pods",
      "configmaps",
      "persistentvolumeclaims",
      "clusters.postgresql.cnpg.io",
      "volumesnapshotcontents.snapshot.storage.k8s.io",
    ]) {
      for (const verb of ["get", "list", "delete", "create"])
        expect([kind, verb, await may(verb, kind)]).toEqual([kind, verb, false]);
    }
  });

  test("removes only expired ones, with all their volumes, and gives a reason for each", async () => {
    const { kubectl } = server;
    const schedule = "orders-full";
    const stored = (days: number, over: Partial<TakenSnapshot> = {}): Promise<string> =>
      store(kubectl, { schedule, at: daysAgo(days), volumes: ["wal"], ...over });
    const kept = [await stored(0.5, { phase: "running" }), await stored(1), await stored(8)];
    const gone = [await stored(9), await stored(10, { phase: "failed" })];
    const owned = await stored(20, { owner: "backup" });
    const others = [
      await stored(30, { schedule: "invoices-full", cluster: "invoices" }),
      await stored(30, { schedule: "by-hand" }),
    ];
    const all = [await namesOf(kubectl, BACKUPS), await namesOf(kubectl, SNAPSHOTS)];

    const dry = await expire("--dry-run");
    expect(dry.exitCode, dry.stdout).toBe(0);
    expect(dry.stdout).toContain(
      `[DRY-RUN] remove ${gone[0]} (the Backup, ${gone[0]}, ${gone[0]}-wal): older than 7 days, and not one of the newest 2`,
    );
    expect([await namesOf(kubectl, BACKUPS), await namesOf(kubectl, SNAPSHOTS)]).toEqual(all);

    const real = await expire();
    expect(real.exitCode, real.stdout).toBe(0);
    expect(real.stdout).toContain(`keep ${kept[1]}: younger than 7 days`);
    expect(real.stdout).toContain(`keep ${kept[2]}: one of the newest 2`);
    expect(real.stdout).toContain("3 kept, 3 removed");
    expect(await namesOf(kubectl, BACKUPS)).toEqual([...kept, ...others].sort());
    // No garbage collector runs here to remove the snapshots that the Backup owned.
    const volumes = [...kept, ...others, owned].flatMap((name) => [name, `${name}-wal`]);
    expect(await namesOf(kubectl, SNAPSHOTS)).toEqual(volumes.sort());
    expect(real.stdout).not.toContain(readFileSync(join(account, "token"), "utf8"));
  });

  test("reports a missing right, and continues with the rest once it is granted", async () => {
    const { kubectl } = server;
    await kubectl.runOk([
      "patch",
      "role",
      "orders-expire",
      "--type=json",
      "-p",
      JSON.stringify([{ op: "replace", path: "/rules/1/verbs", value: ["list"] }]),
    ]);
    const name = await store(kubectl, { schedule: "orders-full", at: daysAgo(40), volumes: ["tbs-hot", "wal"] });
    const refused = await expire();
    expect(refused.exitCode).toBe(104);
    expect(refused.stdout).toMatch(
      new RegExp(`ERROR: \\[105\\]: ${name}: unable to delete volumesnapshots ${name}: 403 .*cannot delete resource`),
    );
    expect(await namesOf(kubectl, BACKUPS)).not.toContain(name);
    expect((await namesOf(kubectl, SNAPSHOTS)).filter((each) => each.startsWith(name))).toHaveLength(3);
    await kubectl.apply(
      objects.filter((object) => (object as KubernetesObject).kind === "Role"),
      { force: true },
    );
    // The Backup is gone: the program identifies its snapshots by their labels.
    const again = await expire();
    expect(again.exitCode, again.stdout).toBe(0);
    expect((await namesOf(kubectl, SNAPSHOTS)).filter((each) => each.startsWith(name))).toEqual([]);
  });

  test("is read page by page", async () => {
    const { kubectl } = server;
    const taken = Array.from({ length: 60 }, (_, index) =>
      takenSnapshot({ schedule: "orders-full", at: daysAgo(100 + index) }),
    );
    await kubectl.apply(
      taken.flatMap(({ snapshots }) => snapshots.map((snapshot) => without(snapshot, "uid", "creationTimestamp"))),
    );
    const result = await expire();
    expect(result.stdout).toMatch(/3 kept, 6[0-2] removed/);
    expect(
      (await namesOf(kubectl, SNAPSHOTS)).filter((name) => taken.some(({ backup }) => backup.metadata.name === name)),
    ).toEqual([]);
  });

  test("ends the program with the reason if the server is down, the account is missing or its token is wrong", async () => {
    const args = [
      "--snapshot-cluster=orders",
      "--snapshot-schedule=orders-full",
      "--snapshot-keep-days=7",
      "--log-level-file=off",
      "cnpg-expire",
    ];
    const call = (...more: readonly string[]): Promise<RunResult> =>
      run(program.node, [program.file, ...more, ...args], { timeoutMs: 60_000 });
    const { hostname, port } = new URL(server.url);
    const away = await call(
      `--kubernetes-account-path=${account}`,
      "--kubernetes-host=127.0.0.1",
      "--kubernetes-port=1",
    );
    expect([away.exitCode, away.stdout]).toEqual([
      49,
      expect.stringContaining("unable to reach the API server at 127.0.0.1:1"),
    ]);
    const nobody = await call(
      "--kubernetes-account-path=/nowhere",
      `--kubernetes-host=${hostname}`,
      `--kubernetes-port=${port}`,
    );
    expect([nobody.exitCode, nobody.stdout]).toEqual([41, expect.stringContaining("automountServiceAccountToken")]);
    const stranger = join(account, "stranger");
    mkdirSync(stranger);
    for (const [name, text] of Object.entries({
      token: "not a token",
      "ca.crt": readFileSync(server.caFile),
      namespace: "default",
    })) {
      writeFileSync(join(stranger, name), text);
    }
    const refused = await call(
      `--kubernetes-account-path=${stranger}`,
      `--kubernetes-host=${hostname}`,
      `--kubernetes-port=${port}`,
    );
    expect([refused.exitCode, refused.stdout]).toEqual([
      105,
      expect.stringContaining("unable to list volumesnapshots: 401"),
    ]);
  });
});

describe.runIf(NIGHTLY)("a Job of the CronJob", async () => {
  const parts = await labParts("removal of old snapshots by a Job");
  if (parts === null) return;
  let lab: Lab;
  let hooks: WebServer;
  beforeAll(async () => {
    hooks = await startWebServer();
    lab = await startLab(parts, { name: "snapshots", operator: false });
    const definitions = [parts.manifests.definitions.cnpg, parts.manifests.definitions.snapshots];
    await lab.kubectl.applyFiles(...definitions);
    await lab.kubectl.runOk([
      "wait",
      "--for=condition=Established",
      "--timeout=60s",
      "customresourcedefinitions",
      "--all",
    ]);
  });
  afterAll(async () => {
    await lab?.stop();
    await hooks?.close();
  });

  // claim: README.md: the account that removes…
  // claim: docs/notifications.md: scheduled Jobs of clusters…
  test("runs the program from its ConfigMap in Node's stock image, and the garbage collector removes what Backups own", async () => {
    const { kubectl } = lab;
    const port = Number(new URL(hooks.origin).port);
    await lab.expose("hooks", port);
    const targets = [{ type: "webhook", url: `http://hooks.default.svc:${port}/` }];
    const stringData = { "notify.json": JSON.stringify({ targets }) };
    await kubectl.apply([
      { apiVersion: "v1", kind: "Secret", metadata: { name: "whom", namespace: "default" }, stringData },
    ]);
    await kubectl.apply(await renderedObjects(() => orders({ keepCount: 1, ownerReference: "backup" }, "whom")));
    const names: string[] = [];
    for (const days of [1, 2, 3]) {
      names.push(
        await store(kubectl, {
          schedule: "orders-full",
          at: daysAgo(days),
          volumes: ["wal"],
          owner: days === 3 ? "none" : "backup",
        }),
      );
    }
    await kubectl.runOk(["create", "job", "--from=cronjob/orders-expire", "now"]);
    await kubectl.waitForCondition("jobs", "now", "Complete", { timeoutMs: 240_000 });
    expect(await namesOf(kubectl, BACKUPS)).toEqual([names[0]]);
    const printed = hooks.requests.map(
      ({ body }) => JSON.parse(body) as { readonly event: string; readonly unit: string },
    );
    expect(printed.map(({ event, unit }) => `${event} ${unit}`)).toEqual([
      "start orders-expire",
      "success orders-expire",
    ]);
    await expect.poll(() => namesOf(kubectl, SNAPSHOTS), { timeout: 240_000 }).toEqual([names[0], `${names[0]}-wal`]);
  });
});
