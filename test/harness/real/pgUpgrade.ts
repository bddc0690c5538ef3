/** PostgreSQL's own pg_upgrade on test clusters: both versions' programs are on this machine. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { PostgresBinaries } from "../../../tools/parts/postgres/postgres";
import { run } from "../../../tools/parts/process";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { giveTo } from "../../../tools/parts/users";

/**
 * The minor releases of November 2026 keep `pg_attver` among a column's options. pg_upgrade to a newer major version
 * fails if that one's minor release is older, and Debian can have such a pair. A cluster without it upgrades to either.
 */
export const FORGET_ATTRIBUTE_VERSIONS =
  "UPDATE pg_attribute SET attoptions = NULLIF(ARRAY(SELECT o FROM unnest(attoptions) o WHERE o NOT LIKE 'pg_attver=%'), '{}') WHERE attoptions::text LIKE '%pg_attver=%'";

export async function forgetAttributeVersions(cluster: TestCluster): Promise<void> {
  for (const { datname } of await cluster.sql("SELECT datname FROM pg_database WHERE datallowconn"))
    await cluster.sql(FORGET_ATTRIBUTE_VERSIONS, [], String(datname));
}

/**
 * Shuts `former` down and makes a stopped cluster of `binaries` from it, with `settings`. The former one stays as
 * pg_upgrade leaves it. @throws Error with pg_upgrade's output
 */
export async function upgradeCluster(
  former: TestCluster,
  binaries: PostgresBinaries,
  settings: Readonly<Record<string, string | number | boolean>>,
  args: readonly string[] = [],
): Promise<TestCluster> {
  if (former.isRunning()) await forgetAttributeVersions(former);
  await former.stop();
  const cluster = await TestCluster.create({ binaries, settings });
  const work = join(cluster.dataPath, "..", "upgrade");
  mkdirSync(work);
  giveTo(work, cluster.user);
  const directories = [
    "-b",
    former.binaries.folder,
    "-B",
    binaries.folder,
    "-d",
    former.dataPath,
    "-D",
    cluster.dataPath,
  ];
  const result = await run(
    join(binaries.folder, "pg_upgrade"),
    [...directories, "-U", cluster.superuser, "-s", work, ...args],
    { user: cluster.user, cwd: work, timeoutMs: 180_000 },
  );
  if (result.exitCode !== 0)
    throw new Error(`pg_upgrade ended with exit code ${result.exitCode}\n${result.stdout}\n${result.stderr}`);
  return cluster;
}
