/** What `status`, `check` and `doctor` say about the host itself. */
import { textOf } from "../../base/bytes";
import { toBackupError } from "../../base/errors";
import { withTimeTo } from "../../base/clock";
import { loadStanzaUnits, type NextRun } from "../../local/stanzaUnits";
import { type HostReport, hostReport } from "../../operations/info/hostTroubles";
import { loadServerState, type ServerState } from "../../operations/info/serverState";
import { slotArchivingOf } from "../../operations/slot/readyDirectory";
import type { CommandProcess } from "../../process/commandProcess";

/** A bus without a reader would hold a call for half a minute. */
const SYSTEMCTL_MS = 5000;

/**
 * Never throws.
 * @param dataDirectory the cluster whose server is looked at; null if its container hides it; omitted by verbs that ask
 *   the server themselves
 * @param backedUpAtS when this host last took a backup; null if it never did
 */
export async function loadHostReport(
  proc: CommandProcess,
  dataDirectory?: string | null,
  backedUpAtS: number | null = null,
): Promise<HostReport & { readonly next: readonly NextRun[] | null }> {
  const { config, ctx } = proc;
  const repos = Object.values(config.settings.repos);
  const readText = async (path: string): Promise<string | null> => {
    const bytes = await proc.readFile(path).catch(() => null);
    return bytes === null ? null : textOf(bytes);
  };
  const tools = { systemctl: (args: readonly string[]) => systemctl(proc, args), readText };
  const stanzaUnits = config.stanza === undefined ? null : await loadStanzaUnits(config.stanza, tools);
  const report = hostReport({
    units: stanzaUnits?.units ?? null,
    fullWithinS: repos.flatMap(({ expectFullWithinS }) =>
      typeof expectFullWithinS === "number" ? [expectFullWithinS] : [],
    ),
    server: dataDirectory === undefined ? null : await loadServer(proc, dataDirectory),
    backedUpAtS,
    nowS: Math.floor(ctx.clock.nowMs() / 1000),
  });
  return { ...report, next: stanzaUnits?.next ?? null };
}

/** A text says why nobody could look. */
async function loadServer(proc: CommandProcess, dataDirectory: string | null): Promise<ServerState | string | null> {
  const { config, container, ctx } = proc;
  if (dataDirectory === null) return config.pgs.length === 0 ? null : "its container is gone, or hides its data";
  const archiveCommandContains = slotArchivingOf(config) === null ? config.settings.archiveCommandContains : null;
  const tools = { ctx, container, archiveCommandContains, newSession: () => proc.newSession() };
  return loadServerState(dataDirectory, tools).catch((error: unknown) => toBackupError(error).message);
}

async function systemctl(proc: CommandProcess, args: readonly string[]): Promise<string | null> {
  const run = (enough: AbortSignal) =>
    proc.program(["systemctl", ...args], { signal: AbortSignal.any([proc.ctx.signal, enough]) });
  const ended = await withTimeTo(SYSTEMCTL_MS, proc.ctx.clock, run).catch(() => null);
  return ended?.exitCode === 0 ? ended.stdout : null;
}
