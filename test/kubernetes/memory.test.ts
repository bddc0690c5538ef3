/**
 * Measures a sidecar's memory during a backup: the proportional memory of its own process and of the backup's, ten
 * times a second. It backs up 2 GB, with one worker, with two, and with one beside a stream under load.
 */
// claim: docs/kubernetes/restarts.md: a sidecar's memory while it takes a backup, also while it streams what is written
//   meanwhile
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { given } from "../../runtime/base/given";
import { backupResult, CLUSTERS } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import { labParts } from "../harness/kubernetes/parts";

const ROWS = 7_000_000;
/** The promised memory by number of workers, below a sidecar's default limit (448 and 608 MiB). */
const SIZE_MIB_MAX: Readonly<Record<number, number>> = { 1: 256, 2: 448 };
/** Streaming holds up to 32 MiB of WAL, and each repository's pieces. 64 MiB of the limit are left to page cache. */
const STREAMED_MIB_MAX = 384;
/** Its size is measured, not its time. */
const BACKUP_MS = 1_200_000;
const CASES: readonly { what: string; processMax: number; streaming?: { intervalSeconds: number } }[] = [
  { what: "one worker", processMax: 1 },
  { what: "two workers", processMax: 2 },
  { what: "one worker and streaming", processMax: 1, streaming: { intervalSeconds: 2 } },
];

describe("a sidecar's memory", async () => {
  const parts = await labParts("the memory of a sidecar in the lab");
  if (parts === null) return;
  let stack: ComponentLab;
  beforeAll(async () => {
    stack = await startComponentLab(parts, "memory");
  });
  afterAll(() => stack?.stop());

  test.each(CASES)(
    "stays below its limit while a backup goes into both repositories, with $what",
    async ({ processMax, streaming, what }) => {
      const name = `big${processMax}${streaming === undefined ? "" : "s"}`;
      const options = { "archive-timeout": "600" };
      const sized = {
        storageGiB: 10,
        parameters: { max_wal_size: "4GB" },
        options,
        processMax,
        ...given({ streaming }),
      };
      await stack.declare(() => new CnpgCluster(name, { ...stack.common(`/${name}`), ...sized }));
      await stack.lab.kubectl.waitForCondition(CLUSTERS, name, "Ready");
      expect((await stack.firstBackup(name)).error).toBeUndefined();
      // With streaming from the first byte on; else from the backup on.
      const streamed = streaming === undefined ? null : watchMemory(name);
      const pod = `${name}-1`;
      await stack.sql(
        pod,
        `create table filler as select g as id, repeat(md5(g::text), 8) as text from generate_series(1, ${ROWS}) g`,
      );
      await stack.awaitSegment(name, await stack.endSegment(pod));

      const peak = watchMemory(name);
      const beganAtMs = performance.now();
      const object = {
        apiVersion: "postgresql.cnpg.io/v1",
        kind: "Backup",
        metadata: { name: `${name}-full`, namespace: "default" },
        spec: {
          cluster: { name },
          method: "plugin",
          pluginConfiguration: { name: "pgbackstop", parameters: { type: "full" } },
        },
      };
      await stack.lab.kubectl.apply([object]);
      let isOver = false;
      const result = backupResult(stack.lab, object.metadata.name, "default", BACKUP_MS).finally(() => {
        isOver = true;
      });
      // Waits for each segment: a busy machine writes WAL faster than it archives it. Autovacuum of the new table alone
      // writes as much as the table has.
      while (streaming !== undefined && !isOver) {
        await stack.sql(pod, "insert into filler select g, repeat(md5(g::text), 8) from generate_series(1, 50000) g");
        await stack.awaitSegment(name, await stack.endSegment(pod), BACKUP_MS);
      }
      const status = await result;
      const sizeMiB = Math.max(peak.stop(), streamed?.stop() ?? 0);
      expect(status.error).toBeUndefined();
      const elapsedS = (performance.now() - beganAtMs) / 1000;
      process.stdout.write(
        `    sidecar and backup with ${what}: ${sizeMiB.toFixed(0)} MiB at most, ${elapsedS.toFixed(0)} s\n`,
      );
      expect(sizeMiB).toBeGreaterThan(30);
      expect(sizeMiB).toBeLessThan(streaming === undefined ? (SIZE_MIB_MAX[processMax] ?? 0) : STREAMED_MIB_MAX);
    },
    2 * BACKUP_MS,
  );
});

/** Samples all processes that run the runtime for a cluster. */
function watchMemory(stanza: string): { stop(): number } {
  let peakKib = 0;
  const timer = setInterval(() => {
    const kib = processesOf(stanza).reduce((sum, pid) => sum + proportionalKib(pid), 0);
    peakKib = Math.max(peakKib, kib);
  }, 100);
  return {
    stop: () => {
      clearInterval(timer);
      return peakKib / 1024;
    },
  };
}

function processesOf(stanza: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const args = read(`/proc/${pid}/cmdline`).split("\0");
      return args.includes(`--stanza=${stanza}`) && args.some((arg) => arg.endsWith("/runtime.cjs"));
    });
}

function proportionalKib(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
}

/** Returns an empty string for a process that has ended. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
