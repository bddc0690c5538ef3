/**
 * The side of the process that stays: one call at a time, each of which reads configuration, keys and stop files again,
 * as a new process would. Only the loaded program remains between calls.
 *
 * It ends after some seconds without a call, when another process has its socket's name, when the program or anything
 * else in the name changed, after a call with a warning or an error (work that was abandoned may be left in it), and in
 * any case after some minutes.
 */
import { createServer, type Socket } from "node:net";
import type { Context } from "../base/context";
import { elapsedMs, momentOf } from "../base/clock";
import { lstatSync, renameSync, rmSync } from "../local/nodeFiles";
import { type FromCall, type FromProcess, hearLines } from "./askStaying";

export interface ServedCall {
  readonly args: readonly string[];
  readonly workingDirectory: string;
  readonly write: (kind: "out" | "err", text: string) => void;
  /** Calls back once when the call got a signal, or with null when it has gone. */
  readonly onEnd: (end: (signal: NodeJS.Signals | null) => void) => void;
}

export interface StayOptions {
  readonly path: string;
  readonly stayMs: number;
  /** Part of the socket's temporary name. */
  readonly pid: number;
  /** False when a new call would look for another socket; asked between calls. */
  readonly isCurrent: () => boolean;
  /** Returns the exit code, and whether the process may serve another call. */
  readonly run: (call: ServedCall) => Promise<{ readonly code: number; readonly isClean: boolean }>;
}

const LOOK_MS = 500;
const ALIVE_MS = 1000;
/** A request that came later is from a call that no longer waits: this process slept. */
const REQUEST_MS = 2000;
const REQUEST_SIZE_MAX = 64 * 1024;
/** Whatever a call leaves in memory does not grow forever. */
const LIFE_MS = 10 * 60_000;

/**
 * Resolves when it listens. `ended` resolves when the process should end; `ctx.signal` ends it after the current call.
 */
export async function serveStaying(options: StayOptions, ctx: Context): Promise<{ readonly ended: Promise<void> }> {
  const { path, pid, stayMs } = options;
  const began = momentOf(ctx.clock);
  let usedAt = began;
  let running: Promise<void> | null = null;
  let isOver = false;
  const server = createServer((socket) => {
    socket.on("error", () => {});
    if (running !== null || isOver || !options.isCurrent()) return void socket.destroy();
    running = answer(socket, options, ctx)
      .then((isClean) => void (isOver ||= !isClean))
      .finally(() => {
        running = null;
        usedAt = momentOf(ctx.clock);
      });
  });
  // Under another name first: a call never finds a socket on which nobody listens.
  const fresh = `${path}.${pid}`;
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(fresh, resolve));
  const own = identityOf(fresh);
  renameSync(fresh, path);
  const isOwn = (): boolean => own !== null && identityOf(path) === own;
  const untilOver = async (): Promise<void> => {
    for (;;) {
      await ctx.clock.sleep(LOOK_MS, ctx.signal).catch(() => {});
      const now = momentOf(ctx.clock);
      isOver ||= ctx.signal.aborted || !isOwn() || elapsedMs(began, now) > LIFE_MS;
      if (isOver || (running === null && (elapsedMs(usedAt, now) > stayMs || !options.isCurrent()))) break;
    }
    isOver = true;
    // Before the last look at `running`: no call may come in between.
    if (isOwn()) rmSync(path, { force: true });
    server.close();
    await running;
  };
  return { ended: untilOver() };
}

function identityOf(path: string): string | null {
  const info = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return info === undefined ? null : `${info.dev}:${info.ino}`;
}

/** False when the process should serve no other call. */
async function answer(socket: Socket, { run }: StayOptions, ctx: Context): Promise<boolean> {
  const send = (message: FromProcess): void => void (socket.writable && socket.write(`${JSON.stringify(message)}\n`));
  const greeted = momentOf(ctx.clock);
  let end: ((signal: NodeJS.Signals | null) => void) | undefined;
  let isGone = false;
  const request = await new Promise<Extract<FromCall, { kind: "run" }> | null>((resolve) => {
    socket.setTimeout(REQUEST_MS, () => resolve(null));
    socket.once("close", () => {
      isGone = true;
      end?.(null);
      resolve(null);
    });
    const hear = (message: FromCall): void => {
      if (message.kind === "run") resolve(message);
      else end?.(message.name);
    };
    hearLines(
      socket,
      (message) => hear(message as FromCall),
      () => socket.destroy(),
      REQUEST_SIZE_MAX,
    );
    send({ kind: "ready" });
  });
  socket.setTimeout(0);
  const isTooOld = elapsedMs(greeted, momentOf(ctx.clock)) > REQUEST_MS;
  if (request === null || isTooOld) {
    socket.destroy();
    return !isTooOld;
  }
  const done = new AbortController();
  void showLife(send, ctx, done.signal);
  try {
    const { args, workingDirectory } = request;
    const onEnd = (callback: typeof end & {}): void => {
      end = callback;
      if (isGone) callback(null);
    };
    const write = (kind: "out" | "err", text: string): void => send({ kind, text });
    const { code, isClean } = await run({ args, workingDirectory, write, onEnd });
    // The caller closes the connection now, which ends nothing any more.
    end = undefined;
    send({ kind: "exit", code });
    socket.end();
    return isClean && !isGone;
  } catch {
    // Without an exit code the call does the work itself.
    socket.destroy();
    return false;
  } finally {
    done.abort();
  }
}

async function showLife(send: (message: FromProcess) => void, ctx: Context, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await ctx.clock.sleep(ALIVE_MS, signal).catch(() => {});
    send({ kind: "alive" });
  }
}
