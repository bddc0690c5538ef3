/**
 * CloudNativePG in the lab without any plugin: a cluster becomes ready, PostgreSQL answers over exec, the operator's
 * webhooks refuse invalid objects, and the kubelet's double does what other tests need.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { POSTGRES_IMAGE } from "../harness/kubernetes/images";
import { type Lab, startLab } from "../harness/kubernetes/lab";
import { conditionOf } from "../harness/kubernetes/kubectl";
import { labParts } from "../harness/kubernetes/parts";

const CNPG = "postgresql.cnpg.io/v1";
const metadata = (name: string): { name: string; namespace: string } => ({ name, namespace: "default" });
const cluster = (name: string, more: object = {}): object => ({
  apiVersion: CNPG,
  kind: "Cluster",
  metadata: metadata(name),
  spec: {
    instances: 1,
    imageName: POSTGRES_IMAGE,
    storage: { size: "1Gi" },
    enablePDB: false,
    postgresql: { parameters: { shared_buffers: "32MB" } },
    ...more,
  },
});

describe("CloudNativePG", async () => {
  const parts = await labParts("CloudNativePG in the lab");
  if (parts === null) return;
  let lab: Lab;
  let outside: Server;
  beforeAll(async () => {
    outside = createServer((_, response) => response.end("from outside"));
    await new Promise<void>((resolve) => outside.listen(0, "127.0.0.1", resolve));
    lab = await startLab(parts, { name: "cluster" });
  });
  afterAll(async () => {
    outside?.close();
    await lab?.stop();
  });

  test("brings up a cluster whose PostgreSQL answers", async () => {
    await lab.kubectl.apply([cluster("orders")]);
    const ready = await lab.kubectl.waitForCondition("clusters.postgresql.cnpg.io", "orders", "Ready");
    expect(conditionOf(ready, "Ready")?.reason).toBe("ClusterIsReady");
    const sql = (text: string) => lab.kubectl.exec("orders-1", "postgres", ["psql", "-Atc", text]);
    expect(await sql("SELECT current_setting('server_version_num')::int / 10000, pg_is_in_recovery()")).toMatchObject({
      exitCode: 0,
      stdout: "18|f\n",
    });
    const wrong = await sql("SELECT nonsense");
    expect(wrong.exitCode).toBe(1);
    expect(wrong.stderr).toContain('column "nonsense" does not exist');
    const opened = "database system is ready to accept connections";
    await expect.poll(() => lab.kubectl.logs("orders-1", "postgres"), { timeout: 60_000 }).toContain(opened);
  });

  test("has webhooks that refuse objects that the schema allows", async () => {
    const backup = (schedule: string): object => ({
      apiVersion: CNPG,
      kind: "ScheduledBackup",
      metadata: metadata("nightly"),
      spec: { schedule, cluster: { name: "orders" }, method: "plugin", pluginConfiguration: { name: "toy.example" } },
    });
    const archivers = [
      { name: "a.example", isWALArchiver: true },
      { name: "b.example", isWALArchiver: true },
    ];
    expect(await lab.kubectl.refusal([cluster("two", { plugins: archivers })])).toContain(
      "Cannot enable more than one WAL archiver plugin",
    );
    expect(await lab.kubectl.refusal([backup("0 0 3 * * *")])).toBe("");
    // CloudNativePG accepts it and reads it as minute 3 of every hour.
    expect(await lab.kubectl.refusal([backup("0 3 * * *")])).toContain("Warning:");
    expect(await lab.kubectl.refusal([backup("0 3 * *")])).toContain("Expected 5 to 6 fields, found 4");
  });

  test("the kubelet's double runs sidecars, renews secrets, and lets pods reach a server of the test", async () => {
    const address = await lab.expose("outside", (outside.address() as AddressInfo).port);
    const url = `http://${address}:${(outside.address() as AddressInfo).port}/`;
    const secret = (text: string): object => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: metadata("words"),
      stringData: { answer: text },
    });
    const program = `process.on("SIGTERM", () => process.exit(0)); fetch("${url}").then((r) => r.text()).then((t) => { console.log(t); setInterval(() => 0, 1000); })`;
    await lab.kubectl.apply([
      secret("first"),
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: metadata("reader"),
        spec: {
          terminationGracePeriodSeconds: 1,
          securityContext: { runAsUser: 26, fsGroup: 26 },
          initContainers: [
            {
              name: "sidecar",
              image: "docker.io/library/node:24",
              command: ["node", "-e", program],
              restartPolicy: "Always",
              startupProbe: { exec: { command: ["sh", "-c", "kill -0 1"] } },
            },
          ],
          containers: [
            {
              name: "main",
              image: POSTGRES_IMAGE,
              command: ["sleep", "infinity"],
              securityContext: { readOnlyRootFilesystem: true },
              volumeMounts: [{ name: "words", mountPath: "/words", readOnly: true }],
            },
          ],
          volumes: [{ name: "words", projected: { sources: [{ secret: { name: "words" } }], defaultMode: 0o400 } }],
        },
      },
    ]);
    await lab.kubectl.waitForCondition("pods", "reader", "Ready");
    const shell = async (script: string): Promise<string> =>
      (await lab.kubectl.exec("reader", "main", ["sh", "-c", script])).stdout.trim();
    expect(await shell("id -u; cat /words/answer; echo; touch /tmp/nothing 2>/dev/null || echo closed")).toBe(
      "26\nfirst\nclosed",
    );
    await expect.poll(() => lab.kubectl.logs("reader", "sidecar"), { timeout: 60_000 }).toContain("from outside");
    await lab.kubectl.apply([secret("second")]);
    await expect.poll(() => shell("cat /words/answer"), { timeout: 120_000 }).toBe("second");
    await lab.kubectl.runOk(["delete", "pod", "reader", "--timeout=110s"]);
  });
});
