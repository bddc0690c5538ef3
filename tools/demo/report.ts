/** Step 6 of the demo: the table, and how to read the same repositories with stock pgBackRest. */
import { join } from "node:path";
import { formatBytes, formatTable, type Progress } from "../parts/progress";
import type { S3Server } from "../parts/servers/s3Server";
import type { TestCluster } from "../parts/postgres/testCluster";
import type { Outage } from "./journey";
import type { Restored } from "./restored";
import type { Runtime } from "./runtime";

/**
 * WAL that PostgreSQL may hold back before a switch. The demo's cluster has no archive_timeout, so this is a text, not
 * computed.
 */
const RPO_TEXT = "one unfinished segment (16 MiB); with archive_timeout = 60 s: 60 s + the push";

export async function printTable(
  progress: Progress,
  runtime: Runtime,
  measured: { readonly restored: Restored; readonly outage: Outage },
): Promise<void> {
  const rows = [["repository", "label", "backup", "stored", "ratio", "WAL range", "seconds"]];
  for (const repo of await runtime.state()) {
    const newest = repo.backups.at(-1);
    if (newest === undefined) continue;
    const { label, sizeBytes, repositoryBytes, seconds } = newest;
    const ratio = (sizeBytes / repositoryBytes).toFixed(2);
    rows.push([
      `repo${repo.key}`,
      label,
      formatBytes(sizeBytes),
      formatBytes(repositoryBytes),
      ratio,
      `${repo.walMin} … ${repo.walMax?.slice(-8)}`,
      String(seconds),
    ]);
  }
  progress.line(formatTable(rows, [2, 3, 4, 6]));
  const { restored, outage } = measured;
  progress.line(
    `  measured RTO ${restored.rtoSeconds.toFixed(1)} s (restore from repo2 to the first connection after replay; ${restored.tables} tables, ${restored.rows.toLocaleString("en")} rows equal)`,
  );
  progress.line(
    `  outage: repo1 was current ${outage.repo1LagSeconds.toFixed(1)} s after ${outage.segments} segments; repo2 lacked ${outage.missingWalCount}, healed in ${outage.healSeconds.toFixed(1)} s`,
  );
  progress.line(`  worst-case RPO: ${RPO_TEXT}`);
  progress.line(
    `  stock pgBackRest reads the same repositories:\n    pgbackrest --config-path=${join(runtime.folder, "etc")} --stanza=demo info`,
  );
}

/** For `--keep`: what to call and what to look at. */
export function printLookAround(
  progress: Progress,
  folder: string,
  runtime: Runtime,
  cluster: TestCluster,
  bucket: S3Server,
  pulumiPath: string,
): void {
  progress.line("\nKept. Ctrl-C stops the servers; the folder stays until you remove it.");
  progress.line(`  folder       ${folder}`);
  progress.line(`  PostgreSQL   host=${cluster.socketPath} port=${cluster.port} user=${cluster.superuser}`);
  progress.line(`  S3           https://${bucket.endpoint}/${bucket.bucket} (CA ${bucket.caFile})`);
  progress.line(`  the runtime  ${runtime.argv(["info"]).join(" ")}`);
  progress.line(
    `  the stack    PULUMI_BACKEND_URL=file://${join(folder, "pulumi", "state")} PULUMI_CONFIG_PASSPHRASE=demo ${pulumiPath} stack --stack demo`,
  );
}
