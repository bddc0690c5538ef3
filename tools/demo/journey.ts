/**
 * Step 4 of the demo: WAL reaches both repositories; one goes down, the other stays up to date; missing WAL is counted
 * and healed.
 */
import { sleep } from "../parts/process";
import type { Progress } from "../parts/progress";
import type { S3Server } from "../parts/servers/s3Server";
import type { TestCluster } from "../parts/postgres/testCluster";
import type { RepositoryState, Runtime } from "./runtime";

export interface Outage {
  readonly segments: number;
  /** From the last switch until repo1 held everything. */
  readonly repo1LagSeconds: number;
  readonly missingWalCount: number;
  readonly healSeconds: number;
}

const OUTAGE_SEGMENTS = 6;
const HEAL_RUNS_MAX = 5;
const WAIT_MS = 120_000;

export async function archiveMore(progress: Progress, cluster: TestCluster, runtime: Runtime): Promise<void> {
  const segment = await progress.step("more rows, then a switch of WAL", async () => {
    await writeRows(cluster, 20_000);
    return cluster.switchWal();
  });
  await progress.step(`both repositories hold ${segment}`, async (note) => {
    const seconds = await waitUntil(runtime, (repos) => repos.every((repo) => holds(repo, segment)));
    note(`after ${seconds.toFixed(1)} s`);
  });
}

export async function outageAndHealing(
  progress: Progress,
  cluster: TestCluster,
  runtime: Runtime,
  bucket: S3Server,
): Promise<Outage> {
  await progress.step("the S3 server stops", () => bucket.stop());
  const last = await progress.step(`rows and ${OUTAGE_SEGMENTS} WAL switches in the meantime`, async () => {
    let segment = "";
    for (let turn = 0; turn < OUTAGE_SEGMENTS; turn++) {
      await writeRows(cluster, 5000);
      segment = await cluster.switchWal();
    }
    return segment;
  });
  const repo1LagSeconds = await progress.step(`repo1 keeps up: it holds ${last}`, async (note) => {
    const seconds = await waitUntil(runtime, ([repo1]) => repo1 !== undefined && holds(repo1, last), ["--repo=1"]);
    note(`after ${seconds.toFixed(1)} s`);
    return seconds;
  });
  const missingWalCount = await progress.step("repo2's missing WAL is counted", async (note) => {
    // PostgreSQL archives one segment after the other; each answer records what repo2 lacks.
    await cluster.waitForValue(
      "SELECT (last_archived_wal >= $q$SEGMENT$q$)::text FROM pg_stat_archiver".replace("SEGMENT", last),
      "true",
      WAIT_MS,
    );
    const repo2 = (await runtime.state()).find((repo) => repo.key === 2);
    note(`${repo2?.missingWalCount} segment(s) acknowledged that repo2 lacks`);
    return repo2?.missingWalCount ?? 0;
  });
  if (missingWalCount === 0) throw new Error("repo2 was down, but its missing WAL was not recorded");
  await progress.step("the S3 server is back", () => bucket.start());
  const healSeconds = await progress.step("heal", async (note) => {
    const beganAtMs = performance.now();
    // A segment in transit when the server came back counts as missing only after the first run; on a host the timer
    // also runs again.
    for (let run = 1; ; run++) {
      await runtime.callOk(["heal"]);
      const behind = (await runtime.state()).filter((repo) => repo.missingWalCount > 0 || !holds(repo, last));
      if (behind.length === 0) {
        note(`no missing WAL after ${run} run(s), both repositories hold the same WAL`);
        return (performance.now() - beganAtMs) / 1000;
      }
      if (run === HEAL_RUNS_MAX)
        throw new Error(`after ${run} runs of heal WAL is still missing: ${JSON.stringify(behind)}`);
      await sleep(1000);
    }
  });
  return { segments: OUTAGE_SEGMENTS, repo1LagSeconds, missingWalCount, healSeconds };
}

function writeRows(cluster: TestCluster, count: number): Promise<unknown> {
  const sql = `INSERT INTO orders SELECT m + g, g % 50000, now(), 'new', md5((m + g)::text)
                 FROM generate_series(1, ${count}) g, (SELECT max(id) AS m FROM orders) newest`;
  return cluster.sql(sql, [], "shop");
}

function holds(repo: RepositoryState, segment: string): boolean {
  return repo.walMax !== null && repo.walMax >= segment;
}

async function waitUntil(
  runtime: Runtime,
  isThere: (repos: readonly RepositoryState[]) => boolean,
  only: readonly string[] = [],
): Promise<number> {
  const beganAtMs = performance.now();
  for (;;) {
    if (isThere(await runtime.state(only))) return (performance.now() - beganAtMs) / 1000;
    if (performance.now() - beganAtMs > WAIT_MS)
      throw new Error(`missing after ${WAIT_MS / 1000} s: ${JSON.stringify(await runtime.state())}`);
    await sleep(200);
  }
}
