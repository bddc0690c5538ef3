/**
 * Sends 300 segments that waited for an S3 server, with Barman's sidecar and then with ours, into the same server. The
 * time runs until the last segment is stored. Each segment holds 1 MiB of text. A measurement, not a promise: it
 * prints segments per second.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { installBarman } from "../harness/kubernetes/barman";
import { CLUSTERS, installPlugin } from "../harness/kubernetes/clusterCalls";
import { barmanImages } from "../harness/kubernetes/images";
import { type Lab, OPERATOR_NAMESPACE, startLab } from "../harness/kubernetes/lab";
import { barmanLabParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";
import { createStores, exposeStores, repositoryIn } from "../harness/kubernetes/stores";

const SEGMENTS = 300;
/** Limit for one engine. On a busy machine, Barman's sidecar took ten minutes. */
const ENGINE_MS = 1_800_000;

describe("a backlog of WAL", { timeout: ENGINE_MS }, async () => {
  const parts = await barmanLabParts("a backlog of WAL in the lab");
  if (parts === null) return;
  const folder = mkdtempSync(join(tmpdir(), "pgb-backlog-"));
  let lab: Lab;
  let server: S3Server;
  /** Segments per second by engine. */
  const rates: Record<string, number> = {};

  beforeAll(async () => {
    [server] = (await createStores("store")) as [S3Server];
    lab = await startLab(parts.lab, { name: "backlog", images: barmanImages(parts.barman, folder) });
    await exposeStores(lab, [server]);
    await installBarman(lab, parts.barman);
    await installPlugin(lab, OPERATOR_NAMESPACE);
  });
  afterAll(async () => {
    await lab?.stop();
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
    process.stdout.write(
      `    segments per second: ${Object.entries(rates)
        .map(([engine, rate]) => `${engine} ${rate.toFixed(1)}`)
        .join(", ")}\n`,
    );
  });

  const stored = (name: string): string[] =>
    readdirSync(join(server.bucketPath, name), { recursive: true, encoding: "utf8" }).flatMap(
      (path) => /\/([0-9A-F]{24})(?:-[0-9a-f]{40})?(?:\.\w+)?$/.exec(path)?.[1] ?? [],
    );

  test.each(["barman-cloud", "runtime"] as const)("is sent by engine %s when the server is back", async (engine) => {
    const name = engine === "runtime" ? "ours" : "barman";
    await lab.kubectl.apply(
      await renderedObjects(
        () =>
          new CnpgCluster(name, {
            namespace: "default",
            engine,
            operatorVersion: "1.30.0",
            storageGiB: 10,
            parameters: { shared_buffers: "32MB", max_wal_size: "8GB" },
            archiveTimeoutSeconds: 3600,
            repositories: { repo1: repositoryIn(server, `/${name}`, 7) },
            schedules: { full: { cron: "0 3 * * 0", immediate: false } },
            silence: { PB003: "one place to measure", PB042: "no drill here" },
          }),
      ),
    );
    await lab.kubectl.waitForCondition(CLUSTERS, name, "Ready");
    await lab.kubectl.waitForCondition(CLUSTERS, name, "ContinuousArchiving");
    await server.stop();
    const fill =
      "select pg_logical_emit_message(false, 'fill', string_agg(md5(i::text || random()), '')) from generate_series(1, 32768) i";
    const names: string[] = [];
    for (let segment = 0; segment < SEGMENTS; segment += 20) {
      const batch = Array.from({ length: 20 }, () => [
        "-c",
        fill,
        "-c",
        "select pg_walfile_name(pg_switch_wal())",
      ]).flat();
      const result = await lab.kubectl.exec(`${name}-1`, "postgres", ["psql", "-XAtqd", "app", ...batch]);
      names.push(...result.stdout.split("\n").filter((line) => /^[0-9A-F]{24}$/.test(line)));
    }
    expect(names).toHaveLength(SEGMENTS);
    const before = new Set(stored(name));
    await server.start();
    const isBegun = (): boolean => stored(name).some((segment) => !before.has(segment));
    await expect.poll(isBegun, { timeout: 180_000, interval: 100 }).toBe(true);
    const beganAtMs = performance.now();
    await expect
      .poll(() => new Set([...before, ...stored(name)]).size - before.size >= SEGMENTS, {
        timeout: ENGINE_MS,
        interval: 250,
      })
      .toBe(true);
    rates[engine] = SEGMENTS / ((performance.now() - beganAtMs) / 1000);
    expect(stored(name)).toEqual(expect.arrayContaining(names));
  });
});
