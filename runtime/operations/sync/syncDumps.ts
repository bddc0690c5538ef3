/**
 * Copies complete logical dumps into a repository that lacks them and would keep them, newest first. A copy has the
 * label of its dump, a passphrase of its own, and a directory that no other run writes (repository/dumpStore). Each
 * stream is compared with its hash while it is copied, and the manifest is written last.
 */
import type { Context } from "../../base/context";
import { assert, type BackupError, isError, toBackupError } from "../../base/errors";
import { formatSize } from "../../base/units";
import {
  type DumpContent,
  dumpFileName,
  dumpFiles,
  type DumpManifest,
  GLOBALS_FILE,
} from "../../format/repository/dumpManifest";
import { hasDump, publishDump, removeDump } from "../../repository/dumpStore";
import { type Lease, NO_LEASE } from "../../repository/lease";
import { newSubPass, type Repository } from "../../repository/repository";
import { removeRemains } from "../dump/dumpRemains";
import { DumpWriter } from "../dump/dumpWriter";
import { expiredDumps, type KeepDumps, type KnownDump, knownDump } from "../dump/keepDumps";
import { type CompleteDump, findCopies, findDumps, isComplete, readDumpFile } from "../dump/readDump";

export interface DumpSyncOptions {
  /** Which dumps the target keeps; undefined keeps all. */
  readonly keep: KeepDumps | undefined;
  /** Called only if something is to be copied: takes the lease for dumps of the target. */
  readonly takeLease: () => Promise<Lease>;
  readonly dryRun: boolean;
}

export interface DumpSyncOutcome {
  readonly labels: readonly string[];
  /** What could not be copied, one line each. */
  readonly problems: readonly string[];
}

/** Throws only on abort. */
export async function syncDumps(
  from: Repository,
  to: Repository,
  { dryRun, keep, takeLease }: DumpSyncOptions,
  ctx: Context,
): Promise<DumpSyncOutcome> {
  const labels: string[] = [];
  const problems: string[] = [];
  const missing = async (): Promise<readonly CompleteDump[]> => {
    const source = (await findDumps(from)).filter(isComplete);
    if (source.length === 0) return [];
    const wanted = missingDumps(
      source.map(({ label }) => label),
      (await findDumps(to)).map(knownDump),
      keep,
    );
    return wanted.flatMap((label) => source.find((dump) => dump.label === label) ?? []);
  };
  try {
    const planned = await missing();
    if (planned.length === 0) return { labels, problems };
    const lease = dryRun ? NO_LEASE : await takeLease();
    if (!dryRun) await removeRemains(to, lease, ctx);
    // Another run may have copied or removed some before the lease was ours.
    for (const dump of dryRun ? planned : await missing()) {
      const { label, manifest } = dump;
      const what = `dump ${label} from ${from.name} (${formatSize(sizeOf(manifest))})`;
      try {
        if (!dryRun) await copyDump(dump, to, lease, ctx);
        ctx.log.info(`${dryRun ? "[DRY-RUN] " : ""}${to.name}: copied ${what}`);
        labels.push(label);
      } catch (error) {
        const problem = problemOf(`dump ${label}`, error, ctx);
        if (await hasDump(from, dump.directory)) problems.push(problem);
        else ctx.log.info(`${to.name}: not copied, because ${from.name} has just removed it: dump ${label}`);
      }
    }
  } catch (error) {
    problems.push(problemOf("dumps", error, ctx));
  }
  return { labels, problems };
}

/** Labels of `source` that the target lacks, and would keep beside what it has; newest first. Pure. */
export function missingDumps(
  source: readonly string[],
  target: readonly KnownDump[],
  keep: KeepDumps | undefined,
): readonly string[] {
  const isHeld = (label: string): boolean => target.some((dump) => dump.label === label && dump.state === "complete");
  const missing = source.filter((label) => !isHeld(label));
  const all = [
    ...target.filter(({ label }) => !missing.includes(label)),
    ...missing.map((label): KnownDump => ({ label, state: "complete" })),
  ];
  const newest = all
    .flatMap(({ label, state }) => (state === "complete" ? [label] : []))
    .sort()
    .at(-1);
  const expired = keep === undefined || newest === undefined ? [] : expiredDumps(all, newest, keep);
  return missing
    .filter((label) => !expired.includes(label))
    .sort()
    .reverse();
}

/** @throws checksum, crypto, fileMissing of the source; lockAcquire when the lease was lost; either storage's errors */
async function copyDump(
  { directory: source, label, manifest, repo: from }: CompleteDump,
  to: Repository,
  lease: Lease,
  ctx: Context,
): Promise<void> {
  const directory = `${label}.${Buffer.from(ctx.random.bytes(4)).toString("hex")}`;
  const cipherPass = to.cipherPass === null ? null : newSubPass(ctx);
  const target = { key: to.key, repo: to, lease, cipherPass };
  const writer = new DumpWriter([{ repoIndex: to.key, ok: true, value: target }], { directory }, ctx);
  try {
    const copied = new Map<string, DumpContent>();
    for (const file of dumpFiles(manifest)) {
      const content = (await writer.write(file.fileName, readDumpFile(from, source, manifest, file))).get(to.key);
      if (content !== undefined) copied.set(file.fileName, content);
    }
    const contentOf = (fileName: string): DumpContent => {
      const content = copied.get(fileName);
      assert(content !== undefined, `'${fileName}' was not copied, and did not fail`);
      return content;
    };
    const databases = manifest.databases.map(({ encoding, name }) => {
      return { name, encoding, ...contentOf(dumpFileName(name)) };
    });
    const own: DumpManifest = { ...manifest, databases, globals: contentOf(GLOBALS_FILE), cipherPass };
    await publishDump(to, own, lease, ctx, directory);
  } catch (error) {
    await removeDump(to, directory).catch((failure: unknown) =>
      ctx.log.debug(`${to.name}: unable to remove '${directory}': ${toBackupError(failure).message}`),
    );
    throw error;
  }
  await removeFaulty(to, label, directory, lease, ctx);
}

/** What the target had of the dump. */
async function removeFaulty(
  to: Repository,
  label: string,
  own: string,
  lease: Pick<Lease, "check">,
  ctx: Context,
): Promise<void> {
  try {
    for (const { directory, fault } of await findCopies(to, label)) {
      if (directory === own || fault === null) continue;
      await lease.check();
      await removeDump(to, directory);
      ctx.log.info(`${to.name}: removed dump ${label}, which was not complete (${fault})`);
    }
  } catch (error) {
    ctx.log.warn(`${to.name}: unable to remove a faulty copy of dump ${label}: ${toBackupError(error).message}`);
  }
}

function sizeOf(manifest: DumpManifest): number {
  return dumpFiles(manifest).reduce((sum, { content }) => sum + content.sizeBytes, 0);
}

/** @throws the error itself on abort */
function problemOf(what: string, thrown: unknown, ctx: Context): string {
  if (ctx.signal.aborted || isError(thrown, "assert")) throw thrown;
  const { hints, message, name }: BackupError = toBackupError(thrown);
  return [`${what}: [${name}] ${message}`, ...hints.map((hint) => `HINT: ${hint}`)].join("\n");
}
