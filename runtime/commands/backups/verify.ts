/**
 * `verify`: reads everything in every repository (or in `--repo`). Unlike stock it exits with 26 when anything is
 * wrong, and with 104 when files could not be read, about which it then says nothing.
 */
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import type { RepoResult } from "../../base/parallel";
import { differingNames } from "../../operations/shared/namedWal";
import { combinedError } from "../../operations/shared/results";
import { BEHIND_S } from "../../operations/info/status";
import { behindLines } from "../../operations/verify/ends";
import { gapHolders } from "../../operations/verify/gapHolders";
import { type Verdict, verify } from "../../operations/verify/verify";
import type { VerifyCounts } from "../../operations/verify/tally";
import { type JsonValue, renderJson } from "../../format/repository/json";
import type { MissingWalStore } from "../../local/missingWal";
import { conflictError } from "../../operations/archivePush/conflicts";
import type { Repository } from "../../repository/repository";
import { saveRun } from "../../local/runRecords";
import type { Command, Invocation } from "../../process/commandProcess";

export const verifyCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const walSegmentSizeBytes = await proc
    .loadControl()
    .then((control) => control.walSegmentSizeBytes)
    .catch(() => WAL_SEGMENT_SIZE_BYTES);
  const isPast = config.repos.some((repo) => repo.targetTimeMs !== undefined);
  const options = {
    settledBeforeMs: ctx.clock.nowMs() - BEHIND_S * 1000,
    ...(config.set === undefined ? {} : { set: config.set }),
    ...(config.verify.samplePercent === undefined ? {} : { samplePercent: config.verify.samplePercent }),
  };
  const results: RepoResult<Verdict>[] = [];
  // Sequential: each repository gets the whole pool, and the report reads in order.
  for (const repo of proc.repositories()) {
    try {
      results.push({
        repoIndex: repo.key,
        ok: true,
        value: await verify(repo, proc.pool(), walSegmentSizeBytes, ctx, options),
      });
    } catch (error) {
      results.push({ repoIndex: repo.key, ok: false, error: toBackupError(error) });
    }
  }
  compareNamed(results);
  addConflicts(results, proc.missingWal());
  // The records and the newest WAL of today say nothing about the past.
  if (!isPast) addMissing(results, proc.missingWal());
  await addHolders(results, proc.repositories());
  for (const result of results) {
    if (!result.ok) continue;
    for (const problem of result.value.problems) ctx.log.warn(`repo${result.repoIndex}: ${problem}`);
    for (const orphan of result.value.orphans) ctx.log.info(`repo${result.repoIndex}: ${orphan}`);
    for (const { archiveId, gaplessFrom } of result.value.archives)
      if (gaplessFrom !== null) ctx.log.info(`repo${result.repoIndex}: ${trimmedText(archiveId, gaplessFrom)}`);
  }
  if (config.output === "json") proc.print(`${renderJson(verdictsJson(config.stanza ?? "", results))}\n`);
  else if (config.output !== "none") {
    const text = results.map((result) =>
      result.ok
        ? verdictText(config.stanza ?? "", result.value, config.verify.verbose)
        : errorText(result.repoIndex, result.error),
    );
    proc.print(text.join(""));
  }
  const error = combinedError("verify", results) ?? verdictsError(results);
  if (config.set === undefined && !isPast) await rememberVerdicts(proc, results, error?.exitCode ?? 0);
  if (error !== null) throw error;
  return 0;
};

/** Info files that are gone, or were read and are wrong. Any other error says nothing about the content. */
const DAMAGE = ["checksum", "crypto", "fileInvalid", "fileMissing", "format"] as const;

function verdictsError(results: readonly RepoResult<Verdict>[]): BackupError | null {
  const namesOf = (isMeant: (verdict: Verdict) => boolean): string =>
    results
      .filter((result) => result.ok && isMeant(result.value))
      .map(({ repoIndex }) => `repo${repoIndex}`)
      .join(", ");
  const damaged = namesOf(({ isDamaged }) => isDamaged);
  const unread = namesOf(({ ok }) => !ok);
  if (damaged !== "") {
    return fail("checksum", `verify found errors in ${damaged}`, {
      hint: "heal copies missing WAL from another repository. Restore from a valid repository.",
    });
  }
  if (unread === "") return null;
  return fail("command", `verify could not read all files of ${unread}`, {
    hint: "This says nothing about those files. Run verify again once the repository answers.",
    retryable: true,
  });
}

/**
 * For metrics; a run records its own end. A verified `--set` says nothing about other backups, the past nothing about
 * the repository of today, and a repository that was not read keeps its last verdict.
 */
async function rememberVerdicts(
  { config, ctx }: Invocation,
  results: readonly RepoResult<Verdict>[],
  exitCode: number,
): Promise<void> {
  const endedAtS = Math.floor(ctx.clock.nowMs() / 1000);
  const known = results.filter((result) =>
    result.ok ? result.value.ok || result.value.isDamaged : isError(result.error, ...DAMAGE),
  );
  const repos = Object.fromEntries(
    known.map((result) => [String(result.repoIndex), { ok: result.ok && result.value.ok, endedAtS }]),
  );
  await saveRun(config.spoolPath, config.stanza ?? "", { command: "verify", endedAtS, exitCode, repos }).catch(
    (error: unknown) => ctx.log.debug(`unable to record the verdicts: ${toBackupError(error).message}`),
  );
}

/** If two repositories have different content under one name, both are in doubt: each fits its own checksum. */
function compareNamed(results: RepoResult<Verdict>[]): void {
  const named = new Map(
    results.flatMap((result) => (result.ok ? [[result.repoIndex, result.value.named] as const] : [])),
  );
  const differing = differingNames(named);
  addProblems(results, (repoIndex) =>
    differing.filter(({ repoIndexes }) => repoIndexes.includes(repoIndex)).map(({ text }) => text),
  );
}

/** Adds this host's conflicts: where the archive differs from its server, a restore cannot pass. */
function addConflicts(results: RepoResult<Verdict>[], missingWal: MissingWalStore): void {
  addProblems(results, (repoIndex) => {
    const conflict = conflictError(repoIndex, missingWal.listConflicts(repoIndex));
    return conflict === null ? [] : [conflict.message];
  });
}

/** Adds acknowledged WAL that a repository lacks: by this host's records, and by what another repository has. */
function addMissing(results: RepoResult<Verdict>[], missingWal: MissingWalStore): void {
  const ends = new Map(
    results.flatMap((result) => (result.ok ? [[result.repoIndex, result.value.ends] as const] : [])),
  );
  addProblems(results, (repoIndex, { named }) => {
    const names = missingWal.clusters(repoIndex).flatMap((cluster) =>
      missingWal.list(repoIndex, cluster).filter((name) => {
        // Another host, or another version, may have copied it since.
        const stored = named.get(`${cluster.version}-${cluster.systemId}/${name}`);
        const wanted = missingWal.sha1Of(repoIndex, name, cluster);
        return stored === undefined || (wanted !== null && wanted !== stored);
      }),
    );
    const missing = `${names.length} acknowledged WAL file(s) are missing here, the first is ${names[0]}: 'heal' copies them`;
    return [...(names.length === 0 ? [] : [missing]), ...behindLines(repoIndex, ends)];
  });
}

function addProblems(
  results: RepoResult<Verdict>[],
  linesOf: (repoIndex: number, verdict: Verdict) => readonly string[],
): void {
  for (const [position, result] of results.entries()) {
    const lines = result.ok ? linesOf(result.repoIndex, result.value) : [];
    if (!result.ok || lines.length === 0) continue;
    const problems = [...result.value.problems, ...lines];
    results[position] = { ...result, value: { ...result.value, ok: false, isDamaged: true, problems } };
  }
}

/** Where another repository has what is missing, the user need not take a new backup. */
async function addHolders(results: RepoResult<Verdict>[], repos: readonly Repository[]): Promise<void> {
  for (const [position, result] of results.entries()) {
    const repo = repos.find(({ key }) => key === result.repoIndex);
    if (!result.ok || repo === undefined) continue;
    const others = repos.filter((other) => other !== repo);
    const lines: string[] = [];
    for (const archive of result.value.archives) lines.push(...(await gapHolders({ repo, ...archive }, others)));
    results[position] = { ...result, value: { ...result.value, problems: [...result.value.problems, ...lines] } };
  }
}

function trimmedText(archiveId: string, gaplessFrom: string): string {
  return `${archiveId}: retention-archive keeps all WAL from ${gaplessFrom} on. Older backups restore only to their own end.`;
}

function errorText(repoIndex: number, error: BackupError): string {
  return `repo${repoIndex}: error: [${error.name}] ${error.message}\n`;
}

/**
 * Same lines as stock pgBackRest, one block per repository, plus gaps that stock misses. `--verbose` also lists what
 * passed.
 */
function verdictText(stanza: string, verdict: Verdict, verbose: boolean): string {
  const lines = [`stanza: ${stanza}`, `repo: ${verdict.repoIndex}`, `status: ${verdict.ok ? "ok" : "error"}`];
  for (const { archiveId, counts, gaps, missingHistories } of verdict.archives) {
    const isComplete = gaps.length === 0 && missingHistories.length === 0;
    if (!verbose && counts.valid === counts.total && isComplete) continue;
    lines.push(
      `  archiveId: ${archiveId}, total WAL checked: ${counts.total}, total valid WAL: ${counts.valid}`,
      ...countsLine(counts, verbose),
    );
    for (const [first, last] of gaps) lines.push(`    WAL gap: ${first} to ${last}`);
    for (const [first, last] of missingHistories) lines.push(`    missing histories: ${first} to ${last}`);
  }
  const sets = [
    ...verdict.backups.map((backup) => ({ what: "backup", ...backup })),
    ...verdict.dumps.map((dump) => ({ what: "dump", ...dump })),
  ];
  for (const { counts, label, status, what } of sets) {
    if (!verbose && status === "valid") continue;
    lines.push(
      `  ${what}: ${label}, status: ${status}, total files checked: ${counts.total}, total valid files: ${counts.valid}`,
      ...countsLine(counts, verbose),
    );
  }
  const { total, valid } = verdict.stream;
  if (total > 0 && (verbose || valid < total))
    lines.push(`  streamed WAL, total pieces checked: ${total}, total valid pieces: ${valid}`);
  return `${lines.join("\n")}\n`;
}

function countsLine(counts: VerifyCounts, verbose: boolean): string[] {
  const all = [
    ["missing", counts.missing],
    ["checksum invalid", counts.checksumInvalid],
    ["size invalid", counts.sizeInvalid],
    ["other", counts.other],
  ] as const;
  const shown = all.filter(([, count]) => verbose || count > 0).map(([name, count]) => `${name}: ${count}`);
  // Stock has no such count.
  if (counts.unread > 0) shown.push(`not read: ${counts.unread}`);
  return shown.length === 0 ? [] : [`    ${shown.join(", ")}`];
}

/**
 * Ours:
 * `{"version":1,"stanza","repos":[{"key","status","archives","backups","stream","problems","orphans"},
 * "dumps" in one that has some, or {"key","status":"error","error"}]}`.
 */
function verdictsJson(stanza: string, results: readonly RepoResult<Verdict>[]): JsonValue {
  const repos = results.map((result): JsonValue => {
    if (!result.ok)
      return { key: result.repoIndex, status: "error", error: `[${result.error.name}] ${result.error.message}` };
    const { repoIndex, ok, archives, backups, dumps, problems, orphans, stream } = result.value;
    const setJson = ({ counts, label, status }: (typeof backups)[number]): JsonValue => ({
      label,
      status,
      ...countsJson(counts),
    });
    return {
      key: repoIndex,
      status: ok ? "ok" : "error",
      archives: archives.map(({ archiveId, counts, gaps }) => ({
        id: archiveId,
        ...countsJson(counts),
        gaps: gaps.map(([first, last]) => ({ first, last })),
      })),
      backups: backups.map(setJson),
      ...(dumps.length === 0 ? {} : { dumps: dumps.map(setJson) }),
      stream: { total: stream.total, valid: stream.valid },
      problems: [...problems],
      orphans: [...orphans],
    };
  });
  return { version: 1, stanza, repos };
}

function countsJson(counts: VerifyCounts): { [name: string]: number } {
  const { total, valid, missing, checksumInvalid, sizeInvalid, other, unread } = counts;
  return { total, valid, missing, "checksum-invalid": checksumInvalid, "size-invalid": sizeInvalid, other, unread };
}
