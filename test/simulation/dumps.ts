/** Verbs of logical dumps. A test file mocks what PostgreSQL's programs print. */
import { utf8 } from "../../runtime/base/bytes";
import { fail } from "../../runtime/base/errors";
import { logicalDump } from "../../runtime/operations/dump/logicalDump";
import { combinedError } from "../../runtime/operations/shared/results";
import { syncDumps } from "../../runtime/operations/sync/syncDumps";
import type { Lease } from "../../runtime/repository/lease";
import type { Repository } from "../../runtime/repository/repository";
import { server } from "../runtime/operations/backup/support";
import type { Bucket } from "./bucket";
import { ROOT } from "./files";
import { FACTS, type Stage } from "./host";

export type DumpStage = Stage & { dumpLeaseOf(repo: Repository): Promise<Lease> };

/** Each chunk is a stored file. */
const PART_SIZE_BYTES = 1;

export async function dump(stage: DumpStage, repos: readonly Repository[]): Promise<string> {
  const { ctx, dumpLeaseOf, host, world } = stage;
  const address = { host: host.name, port: 5432, user: "postgres", database: "postgres" };
  const rows = [{ name: utf8("shop"), encoding: "UTF8", allows: true, owned: true }];
  const session = { ...server(host.dataDirectory, ctx), address, query: async () => ({ rows }) };
  const programs = {
    directory: ROOT,
    has: async () => true,
    command: (name: string, args: readonly string[]) => [name, ...args],
  };
  const dumped = { session, address, programs, cluster: FACTS.cluster, versionNum: 150_020, isSuperuser: true };
  const deps = { lease: dumpLeaseOf, openServer: async () => dumped as never, keep: () => keepOf(stage) };
  const results = await logicalDump(repos, deps, { databases: [], partSizeBytes: PART_SIZE_BYTES }, ctx);
  for (const result of results)
    if (result.ok) world.judge(world.truth.dumps.report(bucketOf(stage, result.repoIndex), result.value));
  const error = combinedError("dump", results);
  if (error !== null) throw error;
  return results.map((result) => (result.ok ? result.value : "")).join(" ");
}

export async function copyDumps(stage: DumpStage, from: number, to: number): Promise<string> {
  const { ctx, dumpLeaseOf, repositories, world } = stage;
  const [source, target] = repositories([from, to]).toSorted((left) => (left.key === from ? -1 : 1));
  if (source === undefined || target === undefined) throw new Error("dumps are copied between two repositories");
  const options = { keep: keepOf(stage), takeLease: () => dumpLeaseOf(target), dryRun: false };
  const { labels, problems } = await syncDumps(source, target, options, ctx);
  for (const label of labels) world.judge(world.truth.dumps.report(bucketOf(stage, to), label));
  if (problems.length > 0) throw fail("command", problems.join("; "));
  return labels.join(" ");
}

function keepOf({ world }: Stage): { count: number } | undefined {
  const { keepDumps } = world.scenario;
  return keepDumps === undefined ? undefined : { count: keepDumps };
}

function bucketOf({ world }: Stage, repoIndex: number): Bucket {
  return world.buckets[repoIndex - 1] as Bucket;
}
