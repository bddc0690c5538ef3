/**
 * Common frame of both sidecars: listen, send heartbeats, read a changed configuration, and finish running work at the
 * end.
 */
import { dirname, join } from "node:path";
import { untilAborted, withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { CommandProcess, Invocation, ProgramAccess } from "../../process/commandProcess";
import { beatForever } from "./heartbeat";
import { launcherText, writeLauncher } from "./sidecarLauncher";
import { LAUNCHER_FILE } from "../names";
import { servePluginSocket } from "../grpc/grpcServer";
import { CurrentSidecar, type Sidecar } from "./currentSidecar";
import { followChanges } from "./watch";

/** Limit for running work once the pod ends; the pod's own period may be shorter. */
const DRAIN_MS = 9 * 60_000;

/** The same for a sidecar with an old configuration, for which calls wait. */
const RELOAD_MS = 30_000;

/** Serves until the signal to end. @param open makes the sidecar of a configuration; again for a changed one */
export async function serveSidecar(proc: CommandProcess, open: (proc: CommandProcess) => Sidecar): Promise<0> {
  const { ctx, config } = proc;
  const { socket, heartbeatFile, watchPaths } = config.plugin;
  // Running work does not see the pod's signal, so that it can finish.
  const own: Context = { ...ctx, signal: new AbortController().signal };
  const first = open(proc);
  const current = new CurrentSidecar(first);
  const server = await servePluginSocket(socket, current.services, own);
  ctx.log.info(`plugin listens on '${socket}'`);
  await leaveLauncher(proc);
  const ending = new AbortController();
  const beat = heartbeatFile === undefined ? Promise.resolve() : beatForever(socket, heartbeatFile, own, ending.signal);
  const parts: ReloadParts = { proc, current, open, watchPaths: first.isFixed ? [] : watchPaths };
  const failed = reloadForever(parts, own, ending.signal);
  await Promise.race([untilAborted(ctx.signal), failed]);
  // The socket closes first: the heartbeat must not report it as missing.
  ending.abort();
  await withTimeTo(DRAIN_MS, ctx.clock, (enough) => Promise.all([server.close(enough), current.close(enough)]));
  await beat;
  await parts.proc.close();
  return 0;
}

interface ReloadParts {
  /** The process of the present configuration: each reload replaces it. */
  proc: CommandProcess;
  readonly current: CurrentSidecar;
  open(proc: CommandProcess): Sidecar;
  readonly watchPaths: readonly string[];
}

/** Never resolves. @throws errors of opening a sidecar, which end the process: Kubernetes starts it again */
async function reloadForever(parts: ReloadParts, own: Context, signal: AbortSignal): Promise<never> {
  const { current, open, watchPaths } = parts;
  const reload = async (): Promise<void> => {
    let next: CommandProcess;
    try {
      next = parts.proc.reloaded();
    } catch (error) {
      own.log.error(toBackupError(error, "config"));
      own.log.warn("the changed configuration cannot be read: continuing with the previous one");
      return;
    }
    await current.replace(async (former) => {
      await withTimeTo(RELOAD_MS, own.clock, (enough) => former.close(enough));
      await parts.proc.close();
      parts.proc = next;
      await leaveLauncher(next);
      own.log.info("the configuration has changed: read again");
      return open(next);
    });
  };
  try {
    await followChanges(watchPaths, reload, own, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  // The caller waits for an error alone.
  return new Promise<never>(() => {});
}

/** The sidecar itself does not need it. */
async function leaveLauncher({ config, ctx, ownCommand }: CommandProcess): Promise<void> {
  const { heartbeatFile } = config.plugin;
  if (heartbeatFile === undefined) return;
  const file = join(dirname(heartbeatFile), LAUNCHER_FILE);
  const options = [
    ...config.carriedOptions,
    `--stanza=${config.stanza ?? ""}`,
    "--log-level-file=off",
    "--target-form=cluster",
  ];
  await writeLauncher(file, launcherText(ownCommand, options)).catch((error: unknown) =>
    ctx.log.warn(`unable to write '${file}': ${toBackupError(error).message}`),
  );
}

/** A child's standard error carries its errors; the container's log has the rest. */
const LOG_ARGS = ["--log-level-console=info", "--log-level-stderr=error", "--log-level-file=off"];

/** Runs another command of this program with the sidecar's own configuration; the callback gets its errors. */
export function runOwn(
  proc: Invocation & ProgramAccess,
): (args: readonly string[], signal: AbortSignal, onOutput: (text: string) => void) => Promise<number> {
  const { carriedOptions, stanza } = proc.config;
  return (args, signal, onOutput) =>
    proc.runSelf([...carriedOptions, `--stanza=${stanza ?? ""}`, ...LOG_ARGS, ...args], signal, onOutput);
}
