/** `verify`: reads everything in every repository (or in `--repo`). Unlike stock the exit code tells: 26 when anything is wrong. */
import { type BackupError, fail } from "../base/errors";
import type { RepoResult } from "../base/parallel";
import { combinedError } from "../operations/results";
import { type Verdict, type VerifyCounts, verify } from "../operations/verify";
import { toBackupError } from "../base/errors";
import type { Command } from "./host";

/** WAL segment size when no cluster is there to ask. */
const WAL_SEGMENT_SIZE_BYTES = 16 * 1024 * 1024;

export const verifyCommand: Command = async (host) => {
  const { config, ctx } = host;
  const walSegmentSizeBytes = await host
    .loadControl()
    .then((control) => control.walSegmentSizeBytes)
    .catch(() => WAL_SEGMENT_SIZE_BYTES);
  const results: RepoResult<Verdict>[] = [];
  // One repository after the other: each has the whole pool, and the report reads in order.
  for (const repo of host.repositories()) {
    try {
      results.push({ repoKey: repo.key, ok: true, value: await verify(repo, host.pool(), walSegmentSizeBytes, ctx) });
    } catch (error) {
      results.push({ repoKey: repo.key, ok: false, error: toBackupError(error) });
    }
  }
  for (const result of results) if (result.ok) for (const problem of result.value.problems) ctx.log.warn(`repo${result.repoKey}: ${problem}`);
  if (config.output !== "none")
    host.print(
      results.map((result) => (result.ok ? verdictText(config.stanza ?? "", result.value) : errorText(result.repoKey, result.error))).join(""),
    );
  const error = combinedError("verify", results);
  if (error !== null) throw error;
  const damaged = results.filter((result) => result.ok && !result.value.ok).map((result) => `repo${result.repoKey}`);
  if (damaged.length > 0) {
    throw fail("checksum", `verify found errors in ${damaged.join(", ")}`, {
      hint: "heal copies missing WAL from a repository that has it; restore from a repository that is valid.",
    });
  }
  return 0;
};

function errorText(repoKey: number, error: BackupError): string {
  return `repo${repoKey}: error: [${error.name}] ${error.message}\n`;
}

/** Stock's lines, one block a repository, plus the gaps that stock does not see. */
function verdictText(stanza: string, verdict: Verdict): string {
  const lines = [`stanza: ${stanza}`, `repo: ${verdict.repoKey}`, `status: ${verdict.ok ? "ok" : "error"}`];
  for (const archive of verdict.archives) {
    lines.push(
      `  archiveId: ${archive.archiveId}, total WAL checked: ${archive.counts.total}, total valid WAL: ${archive.counts.valid}`,
      countsLine(archive.counts),
    );
    for (const [first, last] of archive.gaps) lines.push(`    WAL gap: ${first} to ${last}`);
  }
  for (const backup of verdict.backups) {
    lines.push(
      `  backup: ${backup.label}, status: ${backup.status}, total files checked: ${backup.counts.total}, total valid files: ${backup.counts.valid}`,
      countsLine(backup.counts),
    );
  }
  return `${lines.join("\n")}\n`;
}

function countsLine(counts: VerifyCounts): string {
  return `    missing: ${counts.missing}, checksum invalid: ${counts.checksumInvalid}, size invalid: ${counts.sizeInvalid}, other: ${counts.other}`;
}
