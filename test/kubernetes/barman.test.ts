/**
 * Engine "barman-cloud" with the real plugin, and the move to this package's engine as in docs/kubernetes/engines.md,
 * "Moving to another engine". The cluster has two instances and takes writes all the time. The tests read the WAL of
 * Barman's store and of ours as files.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInThisContext } from "node:vm";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import { runbookOf } from "../../components/plan/runbook/databaseRunbook";
import type { Topology } from "../../components/plan/topology/topology";
import { runOk } from "../../tools/parts/process";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { installBarman } from "../harness/kubernetes/barman";
import {
  backupResult,
  CLUSTERS,
  endedBackup,
  endSegment,
  installPlugin,
  sqlIn,
} from "../harness/kubernetes/clusterCalls";
import { barmanImages } from "../harness/kubernetes/images";
import type { KubernetesObject } from "../harness/kubernetes/kubectl";
import { type Lab, OPERATOR_NAMESPACE, startLab } from "../harness/kubernetes/lab";
import { barmanLabParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";
import { createStores, exposeStores, repositoryIn, segmentsOf } from "../harness/kubernetes/stores";
import { NIGHTLY } from "../../tools/parts/nightly";

const ARCHIVE_TIMEOUT_S = 5;

describe("a cluster with Barman's plugin", async () => {
  const parts = await barmanLabParts("Barman's plugin in the lab");
  if (parts === null) return;
  const folder = mkdtempSync(join(tmpdir(), "pgb-barman-"));
  let lab: Lab;
  let old: S3Server;
  let first: S3Server;
  let second: S3Server;

  beforeAll(async () => {
    [old, first, second] = (await createStores("old", "first", "second")) as [S3Server, S3Server, S3Server];
    lab = await startLab(parts.lab, { name: "barman", images: barmanImages(parts.barman, folder) });
    await exposeStores(lab, [old, first, second]);
    await installBarman(lab, parts.barman);
  });
  afterAll(async () => {
    await lab?.stop();
    for (const server of [old, first, second]) await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const barmanRepositories = (path: string): CnpgClusterArgs["repositories"] => ({
    repo1: repositoryIn(old, path, 30),
  });
  const silence = (engine: CnpgClusterArgs["engine"]): Record<string, string> =>
    engine === "runtime"
      ? { PB007: "no encryption here", PB030: "no off-site copy here", PB042: "no drill here" }
      : { PB003: "one place, to begin with", PB042: "no drill here" };
  const common = (over: Partial<CnpgClusterArgs>): CnpgClusterArgs => ({
    namespace: "default",
    engine: "barman-cloud",
    operatorVersion: "1.30.0",
    repositories: barmanRepositories("/barman"),
    schedules: { full: { cron: "0 3 * * 0" } },
    storageGiB: 1,
    parameters: { shared_buffers: "32MB" },
    archiveTimeoutSeconds: ARCHIVE_TIMEOUT_S,
    // kubectl cannot replace a Job, and nothing here waits for it.
    firstBackupTimeoutMinutes: 0,
    silence: silence(over.engine),
    ...over,
  });
  const orders = (over: Partial<CnpgClusterArgs> = {}): CnpgCluster =>
    new CnpgCluster("orders", common({ instances: 2, ...over }));
  const apply = async (program: () => void): Promise<KubernetesObject[]> => {
    const objects = (await renderedObjects(program)) as KubernetesObject[];
    await lab.kubectl.apply(objects);
    return objects;
  };

  const sql = (pod: string, text: string): Promise<string> => sqlIn(lab, pod, text);
  const barmanSegments = (): string[] =>
    readdirSync(join(old.bucketPath, "barman", "orders", "wals"), { recursive: true, encoding: "utf8" })
      .flatMap((path) => /\/([0-9A-F]{24})(?:\.\w+)?$/.exec(path)?.[1] ?? [])
      .sort();
  const sum = "select count(*) || md5(string_agg(id || name, ',' order by id)) from goods";

  // claim: docs/kubernetes/engines.md: engine `barman-cloud` with Barman's own plugin: archives, takes scheduled
  //   backups, restores row for row
  test("comes up, archives and takes its first backup by its schedule", async () => {
    await apply(() => orders());
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "ContinuousArchiving");
    const status = await endedBackup(lab, "orders");
    expect(status.error).toBeUndefined();
    expect(status.phase).toBe("completed");
    expect(barmanSegments()).toContain(status.beginWal);
  });

  /** Runs the runbook's commands as printed. `pulumi up` is a double that applies the declared objects. */
  const carryOut = async (id: string): Promise<void> => {
    let topology = "";
    await renderedObjects(() => void orders().topology.apply((text) => (topology = text)));
    const { steps } =
      runbookOf(JSON.parse(topology) as Topology)?.scenarios.find((one) => one.id === id) ??
      expect.fail(`there is no ${id}`);
    let text = "";
    for (const { commands, language } of steps.filter(({ isOptional }) => isOptional !== true)) {
      if (language === "ts") text = commands.join("\n").replace("at: other.target", "at: other.target, ca");
      else
        for (const command of commands) {
          if (command === "pulumi up") {
            await apply(() => {
              const { at: target, ca } = repositoryIn(old, "/restored", 30);
              const args = { CnpgRestore, orders: orders(), other: { target }, ca };
              (
                runInThisContext(`({ ${Object.keys(args).join(", ")} }) => { ${text} }`) as (given: typeof args) => void
              )(args);
            });
            continue;
          }
          const output = await lab.shell(command, { timeoutMs: 400_000 });
          expect([command, output.exitCode, output.exitCode === 0 ? "" : output.stdout + output.stderr]).toEqual([
            command,
            0,
            "",
          ]);
        }
    }
  };

  // claim: docs/kubernetes/engines.md: engine `barman-cloud` with Barman's…
  test("is restored row for row by its runbook's commands", async () => {
    await sql("orders-1", "create table goods (id int primary key, name text)");
    await sql("orders-1", "insert into goods select g, md5(g::text) from generate_series(1, 5000) g");
    const before = await sql("orders-1", sum);
    const last = await endSegment(lab, "orders-1");
    await expect.poll(barmanSegments, { timeout: 180_000 }).toContain(last);
    for (const id of ["archiving", "latest"]) await carryOut(id);
    expect(await sql("orders-restored-1", sum)).toBe(before);
  });

  describe.runIf(NIGHTLY)("moves to our engine under writes", () => {
    /** Repository indexes that Barman's store does not use: its Secret must not change while instances use it. */
    const ourRepositories = (path: string): CnpgClusterArgs["repositories"] => ({
      repo2: repositoryIn(first, path, 14),
      repo3: repositoryIn(second, path, 14),
    });
    const segmentsHeld = (server: S3Server): string[] => segmentsOf(server, "ours");
    const fullBackupsOf = (server: S3Server): string[] =>
      readdirSync(join(server.bucketPath, "ours", "backup", "orders")).filter((name) =>
        existsSync(join(server.bucketPath, "ours", "backup", "orders", name, "backup.manifest")),
      );
    /** Ids of confirmed commits, one row each. */
    const acknowledged: number[] = [];
    let oldBackup = "";
    let lastOfBarman = "";
    /**
     * A time shortly after the new archive gets its first WAL, the commits confirmed before it, and the segment of a
     * commit after it.
     */
    let window: { readonly time: string; readonly acknowledged: readonly number[]; readonly end: string } = {
      time: "",
      acknowledged: [],
      end: "",
    };
    let stopLoad = async (): Promise<void> => {};
    const primary = async (): Promise<string> =>
      (await lab.kubectl.find<{ status: { currentPrimary: string } }>(CLUSTERS, "orders"))?.status.currentPrimary ?? "";
    const salesOf = async (pod: string): Promise<number[]> =>
      (await sql(pod, "select string_agg(id::text, ',' order by id) from sales")).split(",").map(Number);
    const moreAcknowledged = async (count: number): Promise<void> => {
      const before = acknowledged.length;
      await expect.poll(() => acknowledged.length, { timeout: 180_000 }).toBeGreaterThan(before + count);
    };
    afterAll(() => stopLoad());

    test("gets writes", async () => {
      oldBackup = (await endedBackup(lab, "orders")).beginWal ?? "";
      await sql("orders-1", "create table sales (id int primary key)");
      let ended = false;
      const writing = (async () => {
        let pod = "orders-1";
        for (let id = 1; !ended; id++) {
          const isDone = await sql(pod, `insert into sales values (${id})`).then(
            () => true,
            () => false,
          );
          if (isDone) acknowledged.push(id);
          else pod = await primary().catch(() => pod);
        }
      })();
      stopLoad = async () => {
        ended = true;
        await writing;
      };
      await moreAcknowledged(10);
    });

    // claim: docs/kubernetes/engines.md: from `barman-cloud` to `runtime` under load and back: each segment in one of
    //   the archives, every acknowledged commit recovered, also in between
    test("to two repositories, without losing a segment between the two archives", async () => {
      await installPlugin(lab, OPERATOR_NAMESPACE);
      const before = (await renderedObjects(() => orders())) as KubernetesObject[];
      const after = await apply(() => orders({ engine: "runtime", repositories: ourRepositories("/ours") }));
      // Delete as an update does at its end, while instances are still being replaced.
      const nameOf = ({ kind, metadata }: KubernetesObject): string => `${kind}/${metadata.name}`;
      const gone = before.map(nameOf).filter((name) => !after.map(nameOf).includes(name));
      expect(gone.sort()).toEqual(["ObjectStore/orders-store", "Secret/orders-repo1"]);
      await lab.kubectl.runOk(["delete", "-n", "default", ...gone]);

      await expect.poll(() => readdirSync(first.bucketPath), { timeout: 180_000 }).toContain("ours");
      await expect.poll(() => segmentsHeld(first).length, { timeout: 180_000 }).toBeGreaterThan(1);
      lastOfBarman = barmanSegments().at(-1) ?? "";
      // The sidecar takes a full backup a minute after it starts. Until then there is only the WAL of both archives.
      const known = [...acknowledged];
      const now = `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
      let time = "";
      await expect.poll(async () => (time = await sql(await primary(), now)), { timeout: 180_000 }).not.toBe("");
      await moreAcknowledged(1);
      let end = "";
      await expect.poll(async () => (end = await endSegment(lab, await primary())), { timeout: 180_000 }).not.toBe("");
      window = { time, acknowledged: known, end };
      await lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
      await lab.kubectl.waitForCondition(CLUSTERS, "orders", "ContinuousArchiving");
      const pods = await lab.kubectl.list<{ metadata: { name: string }; spec: { initContainers: { name: string }[] } }>(
        "pods",
        "default",
      );
      const sidecars = pods
        .filter(({ metadata }) => /^orders-\d+$/.test(metadata.name))
        .map(({ spec }) => spec.initContainers.map(({ name }) => name).filter((name) => name.startsWith("plugin-")));
      expect(sidecars).toEqual([["plugin-pgbackstop"], ["plugin-pgbackstop"]]);
      for (const server of [first, second])
        await expect
          .poll(() => gapsIn([...barmanSegments(), ...segmentsHeld(server)], oldBackup), { timeout: 60_000 })
          .toEqual([]);
    });

    // claim: docs/kubernetes/engines.md: from `barman-cloud` to `runtime`…
    test("and recovers every commit between the switch and the first full backup: from the old backup, with the WAL of both", async () => {
      const pod = await primary();
      await expect.poll(() => segmentsHeld(first), { timeout: 180_000 }).toContain(window.end);
      const missing = segmentsHeld(first).filter((name) => name > lastOfBarman && name <= window.end);
      for (const name of missing) {
        const file = `/pgbackstop/run/${name}`;
        const get = `/pgbackstop/run/pgbackstop archive-get ${name} ${file} >&2 && gzip -c ${file} | base64 && rm ${file}`;
        const got = await lab.kubectl.exec(pod, "plugin-pgbackstop", ["sh", "-c", get]);
        expect(got.exitCode, got.stderr).toBe(0);
        writeFileSync(join(folder, name), gunzipSync(Buffer.from(got.stdout, "base64")));
        const to = [
          "--endpoint-url",
          `https://${old.endpoint}`,
          "--cloud-provider",
          "aws-s3",
          `s3://${old.bucket}/barman`,
          "orders",
        ];
        const env = {
          AWS_ACCESS_KEY_ID: old.accessKey,
          AWS_SECRET_ACCESS_KEY: old.secretKey,
          AWS_CA_BUNDLE: old.caFile,
        };
        const path = `${parts.barman.programs}:${process.env.PATH ?? ""}`;
        await runOk(join(parts.barman.programs, "barman-cloud-wal-archive"), [...to, join(folder, name)], {
          env: { ...env, PATH: path },
        });
      }
      await apply(() => {
        const from = { engine: "barman-cloud", stanza: "orders", repositories: barmanRepositories("/barman") } as const;
        const source = { ...from, target: { time: window.time } };
        void new CnpgRestore("between", {
          ...common({ engine: "runtime", repositories: ourRepositories("/between") }),
          source,
        });
      });
      await lab.kubectl.waitForCondition(CLUSTERS, "between", "Ready");
      const ids = await salesOf("between-1");
      expect(window.acknowledged.filter((id) => !ids.includes(id))).toEqual([]);
      expect(ids.at(-1)).toBeLessThan(acknowledged.at(-1) ?? 0);
    });

    // claim: docs/kubernetes/engines.md: from `barman-cloud` to `runtime`…
    test("and takes the first full backups without help", async () => {
      for (const server of [first, second])
        await expect.poll(() => fullBackupsOf(server), { timeout: 240_000, interval: 500 }).toHaveLength(1);
      // Barman's store received only the files that the previous test copied, and lost none.
      expect(barmanSegments().at(-1)).toBe(window.end);
      expect(barmanSegments()).toContain(oldBackup);
    });

    // claim: docs/kubernetes/engines.md: from `barman-cloud` to `runtime`…
    test("and recovers every acknowledged commit from either of them", async () => {
      await stopLoad();
      const pod = await primary();
      const last = await endSegment(lab, pod);
      for (const server of [first, second])
        await expect.poll(() => segmentsHeld(server), { timeout: 180_000 }).toContain(last);
      expect(gapsIn([...barmanSegments(), ...segmentsHeld(first)], oldBackup)).toEqual([]);
      await apply(() => {
        const source = { stanza: "orders", repositories: ourRepositories("/ours"), from: ["repo3"] };
        void new CnpgRestore("moved", {
          ...common({ engine: "runtime", repositories: ourRepositories("/moved") }),
          source,
        });
      });
      await lab.kubectl.waitForCondition(CLUSTERS, "moved", "Ready");
      expect(await sql("moved-1", sum)).toBe(await sql(pod, sum));
      const ids = await salesOf("moved-1");
      expect(acknowledged.filter((id) => !ids.includes(id))).toEqual([]);
    });

    // claim: docs/kubernetes/engines.md: from `barman-cloud` to `runtime`…
    test("and moves back, with a full backup by Barman at once", async () => {
      const held = new Set(segmentsHeld(first));
      await apply(() => orders());
      const isBarmans = async (): Promise<boolean> =>
        barmanSegments().some((name) => !held.has(name) && name > lastOfBarman);
      await expect.poll(isBarmans, { timeout: 240_000 }).toBe(true);
      await lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
      await lab.kubectl.waitForCondition(CLUSTERS, "orders", "ContinuousArchiving");
      const backup = {
        apiVersion: "postgresql.cnpg.io/v1",
        kind: "Backup",
        metadata: { name: "back", namespace: "default" },
      };
      const spec = {
        cluster: { name: "orders" },
        method: "plugin",
        pluginConfiguration: { name: "barman-cloud.cloudnative-pg.io" },
      };
      await lab.kubectl.apply([{ ...backup, spec }]);
      expect((await backupResult(lab, "back")).error).toBeUndefined();
      expect(gapsIn([...barmanSegments(), ...segmentsHeld(first)], oldBackup)).toEqual([]);
    });
  });
});

/** Segments missing between `from` and the newest one, on any timeline. Segments have 16 MiB, 256 per log. */
function gapsIn(segments: readonly string[], from: string): string[] {
  const numberOf = (name: string): number =>
    Number.parseInt(name.slice(8, 16), 16) * 256 + Number.parseInt(name.slice(16), 16);
  const there = new Set(segments.map(numberOf));
  const result: string[] = [];
  for (let number = numberOf(from); number <= Math.max(...there); number++)
    if (!there.has(number)) result.push(number.toString(16));
  return result;
}
