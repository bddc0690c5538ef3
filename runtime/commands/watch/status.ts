/**
 * `status`: one screen; exit 0 when nothing needs attention, else 104. The output has the reason: an error line
 * would break the JSON.
 */
import { ERRORS, toBackupError } from "../../base/errors";
import { renderJson } from "../../format/repository/json";
import type { LockState } from "../../local/lockState";
import { progressOf } from "../../operations/info/info";
import { collectStatus, isWell, type StatusInput, type StatusReport } from "../../operations/info/status";
import { statusJson, statusText } from "../../operations/info/statusText";
import { readyDirectoryOf } from "../../operations/slot/readyDirectory";
import { loadSlot, waitingFor } from "../../operations/slot/slotReport";
import { newestDone } from "../../postgres/archiveStatus";
import { loadRuns } from "../../local/runRecords";
import { openSeenWal } from "../../local/seenWal";
import { findDataDirectory } from "../../operations/info/knownDirectory";
import { loadLocalDrills } from "../../operations/drill/history";
import { loadStreams } from "../../operations/stream/streamReport";
import { factsOf, type RepoFacts } from "../../recoverability/facts";
import type { CountedTrouble } from "../../recoverability/troubles";
import { reportedOpened } from "../opened";
import { ownHistory } from "../ownHistory";
import type { ClusterAccess, Command, CommandProcess, Invocation, LockAccess } from "../../process/commandProcess";
import { loadHostReport } from "./hostReport";

export const statusCommand: Command = async (proc) => {
  const report = await loadStatus(proc);
  proc.print(proc.config.output === "json" ? renderJson(statusJson(report)) : statusText(report));
  return isWell(report) ? 0 : ERRORS.command;
};

/** The state of the configured stanza. */
export async function loadStatus(
  proc: CommandProcess,
  repos: readonly RepoFacts[] = factsOf(proc.repositories()),
): Promise<StatusReport> {
  const { config, ctx } = proc;
  const missingWal = proc.missingWal();
  const nowS = Math.floor(ctx.clock.nowMs() / 1000);
  const slot = await loadSlot(config);
  const runs = await loadRuns(config.spoolPath, config.stanza ?? "");
  const [pg] = config.pgs;
  const dataDirectory = pg === undefined ? null : findDataDirectory(proc);
  const exists = async (path: string): Promise<boolean> => (await proc.readFile(path)) !== null;
  const isStandby = dataDirectory !== null && (await exists(`${dataDirectory}/standby.signal`).catch(() => false));
  // Both are read before the repositories: what they name as archived was there before it was listed.
  const store = openSeenWal(config.spoolPath, config.stanza ?? "");
  const seen = new Map(repos.map(({ key }) => [key, store.load(key)]));
  const server = dataDirectory === null ? null : await findServer(proc, dataDirectory, slot === null && !isStandby);
  return collectStatus({
    stanza: config.stanza ?? "",
    repos,
    missingWal: (repoIndex) => missingWal.list(repoIndex),
    conflicts: (repoIndex) => missingWal.listConflicts(repoIndex),
    dropped: missingWal.listDropped,
    expectFull: (repoIndex) => config.settings.repos[repoIndex]?.expectFullWithinS,
    // Null on a backup host.
    waiting: dataDirectory === null ? null : await waitingFor(config, dataDirectory, slot, nowS),
    slot,
    server,
    history: () => ownHistory(proc),
    seen: (repoIndex) => seen.get(repoIndex) ?? new Map(),
    stop: findStop(proc),
    verified: (repoIndex) => runs.find(({ command }) => command === "verify")?.repos?.[repoIndex] ?? null,
    rpoS: config.settings.drill?.objectives.rpoSeconds,
    isStandby,
    streams: await loadStreams(config, exists),
    host: await loadHostReport(proc, dataDirectory, runs.find(({ command }) => command === "backup")?.succeededAtS),
    drills: await loadLocalDrills(config.spoolPath, config.stanza ?? ""),
    opened: await reportedOpened(proc),
    running: [...runningOf("backup", proc.lockState("backup")), ...runningOf("restore", proc.lockState("restore"))],
    nowS,
  });
}

/** For metrics. */
export async function loadTroubles(proc: CommandProcess, repos: readonly RepoFacts[]): Promise<CountedTrouble[]> {
  const { repos: rows, troubles } = await loadStatus(proc, repos);
  return [
    ...troubles.map(({ code }) => ({ code, repoIndex: null })),
    ...rows.flatMap(({ key, troubles: own }) => own.map(({ code }) => ({ code, repoIndex: key }))),
  ];
}

/** Null while there is no cluster in the directory. `archives` is true if its `archive_command` does. */
async function findServer(
  proc: Invocation & ClusterAccess,
  dataDirectory: string,
  archives: boolean,
): Promise<StatusInput["server"]> {
  const control = await proc.loadControl().catch(() => null);
  if (control === null) return null;
  const archived = archives ? await newestDone(readyDirectoryOf(proc.config, dataDirectory)) : null;
  return { dataDirectory, systemId: control.systemId, archived };
}

function findStop(proc: LockAccess): StatusInput["stop"] {
  try {
    proc.requireStarted();
    return null;
  } catch (error) {
    return toBackupError(error);
  }
}

function runningOf(what: "backup" | "restore", lock: LockState): StatusInput["running"] {
  if (!lock.held) return [];
  const { sizeBytes, sizeCompleteBytes } = progressOf(lock);
  return [{ what, percent: sizeBytes === 0 ? null : Math.floor((sizeCompleteBytes / sizeBytes) * 100) }];
}
