/**
 * Engine "barman-cloud" with the real plugin, and the way from it to the engine of this package: docs/kubernetes.md, "Moving to another
 * engine", on a cluster of two instances that is written to all the time. WAL of Barman's store and of ours is looked at as files.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { S3Server } from "../../tools/parts/s3Server";
import { s3Kind } from "../harness/interopParts";
import { installBarman } from "../harness/kubernetes/barman";
import { barmanImages } from "../harness/kubernetes/images";
import type { KubernetesObject } from "../harness/kubernetes/kubectl";
import { type Lab, startLab } from "../harness/kubernetes/lab";
import { barmanLabParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";

const CLUSTERS = "clusters.postgresql.cnpg.io";
const BACKUPS = "backups.postgresql.cnpg.io";

interface BackupObject extends KubernetesObject {
  readonly spec: { readonly cluster: { readonly name: string } };
  readonly status?: { readonly phase?: string; readonly error?: string; readonly beginWal?: string };
}

describe("a cluster with Barman's plugin", async () => {
  const parts = await barmanLabParts("Barman's plugin in the lab");
  if (parts === null) {
    test.skip("a part is missing", () => undefined);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "pgb-barman-"));
  let lab: Lab;
  let old: S3Server;
  let first: S3Server;
  let second: S3Server;

  beforeAll(async () => {
    const kind = await s3Kind();
    const serverOf = (name: string): Promise<S3Server> => S3Server.create({ kind, bucket: name, moreNames: [`${name}.default.svc`] });
    [old, first, second] = await Promise.all([serverOf("old"), serverOf("first"), serverOf("second")]);
    lab = await startLab(parts.lab, { name: "barman", images: barmanImages(parts.barman, folder) });
    for (const server of [old, first, second]) {
      await lab.expose(server.bucket, server.port);
      const metadata = { name: `${server.bucket}-ca`, namespace: "default" };
      await lab.kubectl.apply([{ apiVersion: "v1", kind: "Secret", metadata, stringData: { "ca.crt": readFileSync(server.caFile, "utf8") } }]);
    }
    await installBarman(lab, parts.barman);
  });
  afterAll(async () => {
    await lab?.stop();
    for (const server of [old, first, second]) await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const place = (server: S3Server, path: string, keepDays: number): CnpgClusterArgs["repositories"][string] => ({
    at: new S3CompatibleRepository(`${server.bucket}${path.replaceAll("/", "-")}`, {
      endpoint: `${server.bucket}.default.svc`,
      port: server.port,
      region: server.region,
      uriStyle: "path",
      path,
      bucket: { existing: { name: server.bucket, credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey } } },
    }).target,
    keepDays,
    ca: { name: `${server.bucket}-ca`, key: "ca.crt" },
  });
  const barmanPlaces = (path: string): CnpgClusterArgs["repositories"] => ({ repo1: place(old, path, 30) });
  const common = (over: Partial<CnpgClusterArgs>): CnpgClusterArgs => ({
    namespace: "default",
    engine: "barman-cloud",
    operatorVersion: "1.30.0",
    repositories: barmanPlaces("/barman"),
    schedules: { full: { cron: "0 3 * * 0" } },
    storageGiB: 1,
    parameters: { shared_buffers: "32MB" },
    archiveTimeoutSeconds: 5,
    silence: { PB003: "one place, to begin with", PB007: "no drill here", PB030: "no off-site copy here", PB042: "no encryption here" },
    ...over,
  });
  const orders = (over: Partial<CnpgClusterArgs> = {}): void => {
    void new CnpgCluster("orders", common({ instances: 2, ...over }));
  };
  const apply = async (program: () => void): Promise<KubernetesObject[]> => {
    const objects = (await renderedObjects(program)) as KubernetesObject[];
    await lab.kubectl.apply(objects);
    return objects;
  };

  const sql = async (pod: string, text: string): Promise<string> => {
    const result = await lab.kubectl.exec(pod, "postgres", ["psql", "-XAtd", "app", "-c", text]);
    if (result.exitCode !== 0) throw new Error(result.stderr);
    return result.stdout.trim();
  };
  const endedBackup = async (cluster: string): Promise<NonNullable<BackupObject["status"]>> => {
    const ended = async (): Promise<BackupObject | undefined> =>
      (await lab.kubectl.list<BackupObject>(BACKUPS, "default")).find(
        ({ spec, status }) => spec.cluster.name === cluster && /^(completed|failed)$/.test(status?.phase ?? ""),
      );
    await expect.poll(ended, { timeout: 180_000 }).toBeDefined();
    return (await ended())?.status ?? {};
  };
  const barmanSegments = (): string[] =>
    readdirSync(join(old.bucketPath, "barman", "orders", "wals"), { recursive: true, encoding: "utf8" })
      .flatMap((path) => /\/([0-9A-F]{24})(?:\.\w+)?$/.exec(path)?.[1] ?? [])
      .sort();
  const sum = "select count(*) || md5(string_agg(id || name, ',' order by id)) from goods";

  test("comes up, archives and takes its first backup by its schedule", async () => {
    await apply(() => orders());
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "ContinuousArchiving");
    const status = await endedBackup("orders");
    expect(status.error).toBeUndefined();
    expect(status.phase).toBe("completed");
    expect(barmanSegments()).toContain(status.beginWal);
  });

  test("is restored row for row", async () => {
    await sql("orders-1", "create table goods (id int primary key, name text)");
    await sql("orders-1", "insert into goods select g, md5(g::text) from generate_series(1, 5000) g");
    const before = await sql("orders-1", sum);
    const last = await sql("orders-1", "select pg_walfile_name(pg_switch_wal())");
    await expect.poll(barmanSegments, { timeout: 120_000 }).toContain(last);
    const source = { stanza: "orders", repositories: barmanPlaces("/barman") };
    await apply(() => void new CnpgRestore("restored", { ...common({ repositories: barmanPlaces("/restored") }), source }));
    await lab.kubectl.waitForCondition(CLUSTERS, "restored", "Ready");
    expect(await sql("restored-1", sum)).toBe(before);
  });
});
