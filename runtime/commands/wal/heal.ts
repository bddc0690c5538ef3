/**
 * `heal`: copies missing WAL into every repository, and sends what waits for the archive; exit 104 when some copies
 * failed, or repositories hold different contents of a file. `heal --segment` ends such a conflict.
 */
import { fail, isError } from "../../base/errors";
import type { Config } from "../../config/types";
import { heal } from "../../operations/heal/heal";
import { CONFLICT } from "../../operations/heal/decide";
import { healSegment } from "../../operations/heal/healSegment";
import { openLocalWal } from "../../operations/shared/localWal";
import { readyDirectoryOf } from "../../operations/slot/readyDirectory";
import { combinedError } from "../../operations/shared/results";
import type { ClusterAccess, Command, Invocation, LockAccess, MachineAccess } from "../../process/commandProcess";

/** The agent holds the lock while it copies missing WAL: seconds, unless much is missing. */
const LOCK_WAIT_MS = 60_000;
const LOCK_LOOK_MS = 1000;

const DECIDE_HINT =
  "Decide which content is right: 'heal --segment=NAME' takes that of pg_wal, with --trust-repo=N that of repository N. The other one is removed.";
const LOST_HINT = "Take a new backup, which does not need the missing segments; heal then stops looking for them.";

export const healCommand: Command = async (proc) => {
  const { ctx } = proc;
  proc.requireStarted();
  requireChoice(proc.config.heal);
  await lockHealing(proc);
  const control = await proc.loadControl();
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  const { walDirectory } = proc;
  const repos = proc.repositories();
  const local = openLocalWal(
    walDirectory,
    cluster,
    proc.config.archive.headerCheck,
    control.walSegmentSizeBytes,
    readyDirectoryOf(proc.config, proc.dataDirectory),
  );
  const { segment, trustIndex } = proc.config.heal;
  if (segment !== undefined) {
    const choice = { name: segment, trustIndex };
    const error = combinedError("heal", await healSegment(repos, proc.missingWal(), cluster, local, choice, ctx));
    if (error !== null) throw error;
    return 0;
  }
  const isEvery = repos.length === proc.config.repos.length;
  const isArchiver = await archives(proc);
  const request = { missingWal: proc.missingWal(), cluster, local, isEvery, sendsPending: isArchiver };
  const results = await heal(repos, request, ctx);
  for (const result of results) {
    if (!result.ok) continue;
    const { copied, settled, unhealed } = result.value;
    ctx.log.info(
      `repo${result.repoIndex}: ${copied} missing WAL file(s) copied, ${settled} no longer missing, ${unhealed.length} could not be copied`,
    );
  }
  const error = combinedError("heal", results);
  if (error !== null) throw error;
  const lost = results.flatMap((result) =>
    result.ok ? result.value.unhealed.map((line) => `repo${result.repoIndex}: ${line}`) : [],
  );
  if (lost.length > 0) {
    const conflicts = lost.filter((line) => line.includes(CONFLICT));
    throw fail("command", ["heal could not copy every WAL file:", ...lost].join("\n"), {
      hint: [...(conflicts.length > 0 ? [DECIDE_HINT] : []), ...(conflicts.length < lost.length ? [LOST_HINT] : [])],
    });
  }
  return 0;
};

/** @throws optionInvalid (31) */
function requireChoice({ segment, trustIndex }: Config["heal"]): void {
  if (segment === undefined && trustIndex !== undefined)
    throw fail("optionInvalid", "option 'trust-repo' not valid without option 'segment'");
}

/**
 * False for a standby and during a recovery: PostgreSQL archives nothing then, and waiting files are what a previous
 * primary left, perhaps of a history that the cluster has abandoned.
 */
async function archives(proc: ClusterAccess & MachineAccess): Promise<boolean> {
  for (const name of ["standby.signal", "recovery.signal", "recovery.conf"])
    if ((await proc.readFile(`${proc.dataDirectory}/${name}`)) !== null) return false;
  return true;
}

/**
 * Two healers on one host would copy the same files twice. Healers on different hosts may: same names, same content.
 * @throws lockAcquire (50), term
 */
async function lockHealing(proc: Invocation & LockAccess): Promise<void> {
  const { clock, log, signal } = proc.ctx;
  const endMs = clock.monotonicMs() + LOCK_WAIT_MS;
  for (let isFirst = true; ; isFirst = false) {
    try {
      proc.lock("heal", []);
      return;
    } catch (error) {
      if (!isError(error, "lockAcquire") || clock.monotonicMs() >= endMs) throw error;
      if (isFirst) log.info("another process, probably the agent, copies missing WAL of this stanza: waiting for it");
      await clock.sleep(LOCK_LOOK_MS, signal);
    }
  }
}
