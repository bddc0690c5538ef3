/** Common frame of both sidecars: listen, send heartbeats, and finish running work at the end. */
import { dirname, join } from "node:path";
import { untilAborted, withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { Invocation, ProgramAccess } from "../../commands/host";
import { beatForever } from "./heartbeat";
import { launcherText, writeLauncher } from "./sidecarLauncher";
import { LAUNCHER_FILE } from "../names";
import { type PluginService, servePluginSocket } from "../grpc/grpcServer";
import { untilChanged } from "./watch";

/** Limit for running work once the pod ends; the pod's own period may be shorter. */
const DRAIN_MS = 9 * 60_000;

export interface Sidecar {
  readonly services: readonly PluginService[];
  /** True while a restart would cost more than an old configuration. */
  isBusy(): boolean;
  /** Waits for running work until `signal` aborts. */
  close(signal: AbortSignal): Promise<void>;
}

/** Serves until the signal to end. */
export async function serveSidecar(host: Invocation & ProgramAccess, { services, isBusy, close }: Sidecar): Promise<0> {
  const { ctx, config } = host;
  const { socket, heartbeatFile } = config.plugin;
  // Running work does not see the pod's signal, so that it can finish.
  const own: Context = { ...ctx, signal: new AbortController().signal };
  const server = await servePluginSocket(socket, services, own);
  ctx.log.info(`plugin listens on '${socket}'`);
  if (heartbeatFile !== undefined) await leaveLauncher(host, join(dirname(heartbeatFile), LAUNCHER_FILE));
  const ending = new AbortController();
  const beat = heartbeatFile === undefined ? Promise.resolve() : beatForever(socket, heartbeatFile, own, ending.signal);
  const changed = untilChanged(config.plugin.watchPaths, isBusy, own, ending.signal).then(
    () => ctx.log.info("the configuration has changed: ending, so that a restart reads it"),
    () => {},
  );
  await Promise.race([untilAborted(ctx.signal), changed]);
  // The socket closes first: the heartbeat must not report it as missing.
  ending.abort();
  await withTimeTo(DRAIN_MS, ctx.clock, (enough) => Promise.all([server.close(enough), close(enough)]));
  await beat;
  return 0;
}

/** The sidecar itself does not need it. */
async function leaveLauncher({ config, ctx, ownCommand }: Invocation & ProgramAccess, file: string): Promise<void> {
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
  host: Invocation & ProgramAccess,
): (args: readonly string[], signal: AbortSignal, onOutput: (text: string) => void) => Promise<number> {
  const { carriedOptions, stanza } = host.config;
  return (args, signal, onOutput) =>
    host.runSelf([...carriedOptions, `--stanza=${stanza ?? ""}`, ...LOG_ARGS, ...args], signal, onOutput);
}
