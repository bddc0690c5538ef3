/**
 * Verifies the logical dumps of a repository: has each one all its files, with the sizes and hashes in its manifest?
 *
 * A directory without a manifest is being written, or was interrupted: no fault. One that is removed while it is read
 * does not count.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import { type DumpFile, dumpFiles, type DumpManifest, dumpPartName } from "../../format/repository/dumpManifest";
import { dumpPath } from "../../format/repository/repoPath";
import {
  type DumpDirectory,
  findLostParts,
  hasDump,
  listDumpDirectories,
  loadDumpManifest,
} from "../../repository/dumpStore";
import { statusOf, Tally, type VerifyCounts } from "./tally";
import { type BackupsInput, type BackupVerdict, isInSample, manifestStatus } from "./verifyBackups";
import type { VerifyDumpJob } from "./verifyDumpFile";
import type { VerifyFileResult } from "./verifyFile";

export interface DumpVerdict extends Pick<BackupVerdict, "label" | "status"> {
  /** Files outside of the sample are not counted. */
  readonly counts: VerifyCounts;
}

type DumpsInput = Pick<BackupsInput, "pool" | "repo" | "samplePercent">;

/** Ascending by label. */
export async function verifyDumps(
  input: DumpsInput,
  problems: string[],
  ctx: Context,
): Promise<readonly DumpVerdict[]> {
  const verdicts: DumpVerdict[] = [];
  for (const directory of await listDumpDirectories(input.repo)) {
    if (!directory.hasManifest) continue;
    const faults: string[] = [];
    const verdict = await verifyOne(input, directory, faults, ctx);
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    // Removal begins with the manifest.
    if (verdict.status !== "valid" && !(await hasDump(input.repo, directory.directory))) continue;
    problems.push(...faults);
    verdicts.push(verdict);
  }
  return verdicts;
}

async function verifyOne(
  { pool, repo, samplePercent }: DumpsInput,
  { directory, files, label }: DumpDirectory,
  problems: string[],
  ctx: Context,
): Promise<DumpVerdict> {
  const tally = new Tally(problems);
  let manifest: DumpManifest;
  try {
    manifest = await loadDumpManifest(repo, directory);
  } catch (error) {
    problems.push(`dump ${label}: [${toBackupError(error).name}] ${toBackupError(error).message}`);
    return { label, status: manifestStatus(error), counts: tally.counts() };
  }
  const lost = new Set(await findLostParts(repo, directory, manifest, files));
  const { cipherPass } = manifest;
  await mapParallel(dumpFiles(manifest), pool.slots * LIMITS.filesPerWorker, async (file) => {
    // With a sample too, what a listing shows is judged for all.
    const lacking = partsOf(file).find((name) => lost.has(name));
    if (lacking !== undefined)
      tally.add(lostPart(`${dumpPath(repo.stanza, directory)}/${lacking}`, files.has(lacking)));
    else if (isInSample(samplePercent, ctx))
      tally.add(
        await pool.run<VerifyDumpJob>({ kind: "verifyDump", repoIndex: repo.key, directory, cipherPass, ...file }),
      );
  });
  const counts = tally.counts();
  return { label, status: statusOf(counts), counts };
}

function partsOf({ content, fileName }: DumpFile): readonly string[] {
  return content.partSizesBytes.map((_sizeBytes, index) => dumpPartName(fileName, index + 1));
}

function lostPart(path: string, isThere: boolean): VerifyFileResult {
  return isThere
    ? { status: "size", text: `invalid size '${path}'` }
    : { status: "missing", text: `file missing '${path}'` };
}
