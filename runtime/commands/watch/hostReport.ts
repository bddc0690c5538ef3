/** What `status`, `check` and `doctor` say about the host itself. */
import { textOf } from "../../base/bytes";
import { withTimeTo } from "../../base/clock";
import { loadStanzaUnits, type NextRun } from "../../local/stanzaUnits";
import { type HostReport, hostReport } from "../../operations/info/hostTroubles";
import type { CommandProcess } from "../../process/commandProcess";

/** A bus without a reader would hold a call for half a minute. */
const SYSTEMCTL_MS = 5000;

/** Never throws. */
export async function loadHostReport(
  proc: CommandProcess,
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
    nowS: Math.floor(ctx.clock.nowMs() / 1000),
  });
  return { ...report, next: stanzaUnits?.next ?? null };
}

async function systemctl(proc: CommandProcess, args: readonly string[]): Promise<string | null> {
  const run = (enough: AbortSignal) =>
    proc.program(["systemctl", ...args], { signal: AbortSignal.any([proc.ctx.signal, enough]) });
  const ended = await withTimeTo(SYSTEMCTL_MS, proc.ctx.clock, run).catch(() => null);
  return ended?.exitCode === 0 ? ended.stdout : null;
}
