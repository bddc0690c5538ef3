/**
 * The agent's unix socket: one request and one answer per connection, as text, so that the client needs few lines of
 * perl.
 *
 * Request: arguments, each ended by a NUL byte, then a line feed; the first is the caller's working directory, the
 * second the verb. Answer: lines for the caller's stderr, each after a blank, then `exit N`, then the connection ends.
 * Without that last line there is no answer: the caller fails and PostgreSQL repeats. The socket is created here (mode
 * 0600, first under another name, so that it is never open to others and replaces a dead one in one step) or taken over
 * from systemd (socket activation), whose kernel queue outlives a restart.
 */
import { chmod, lstat, rename, rm } from "../local/nodeFiles";
import { connect, createServer, type Server, type Socket } from "node:net";
import { untilAborted } from "../base/clock";
import type { Context } from "../base/context";
import { type BackupError, fail, toBackupError } from "../base/errors";
import { hintLines } from "../base/troubleshooting";

export interface Answer {
  /** Null leaves the code to the caller, as without an answer. */
  readonly exitCode: number | null;
  readonly lines: readonly string[];
}

export function errorLines(error: BackupError): string[] {
  return [`ERROR: [${codeOf(error)}]: ${error.message}`, ...hintLines(error)];
}

export function codeOf({ exitCode }: BackupError): string {
  return String(exitCode).padStart(3, "0");
}

/**
 * The arguments after the working directory; `gone` aborts when the caller disconnects. A handler that throws gives no
 * answer.
 */
export type Handler = (workingDirectory: string, args: readonly string[], gone: AbortSignal) => Promise<Answer>;

/** A path to listen on, or the descriptor of a listening socket. */
export type SocketAddress = { readonly path: string } | { readonly fd: number };

export interface ControlSocket {
  /** Takes no more requests, waits for running answers until `signal` aborts, and closes. */
  close(signal: AbortSignal): Promise<void>;
}

const REQUEST_SIZE_BYTES_MAX = 16 * 1024;
const CONNECTIONS_MAX = 64;
/** For sending a request; an answer has no time limit. */
const REQUEST_TIMEOUT_MS = 10_000;
const SOCKET_MODE = 0o600;

/** @throws lockAcquire (50) when another agent answers at the path, fileOpen (41) when it cannot be listened on */
export async function serveControlSocket(
  address: SocketAddress,
  handle: Handler,
  ctx: Context,
): Promise<ControlSocket> {
  const running = new Set<Promise<void>>();
  const server = createServer((socket) => {
    const answered = answerOne(socket, handle, ctx).finally(() => running.delete(answered));
    running.add(answered);
  });
  server.maxConnections = CONNECTIONS_MAX;
  let own: string | null = null;
  if ("fd" in address) await listen(server, { fd: address.fd });
  else {
    await listenAt(server, address.path);
    own = await identify(address.path);
  }
  return {
    close: async (signal) => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // Does not wait for requests that are still being sent: they fail, and are repeated.
      await Promise.race([Promise.all([closed, ...running]), untilAborted(signal)]);
      // Another agent may have taken the path since this one stopped listening.
      if (!("fd" in address) && own !== null && (await identify(address.path)) === own)
        await rm(address.path, { force: true });
    },
  };
}

async function listenAt(server: Server, path: string): Promise<void> {
  if (await isServed(path))
    throw fail("lockAcquire", `another agent serves '${path}'`, { path, hint: "is the agent's unit running already?" });
  const there = await lstat(path).catch(() => null);
  if (there !== null && !there.isSocket()) {
    throw fail("fileOpen", `unable to listen on '${path}': it already exists and is not a socket`, {
      path,
      hint: "Check agent-socket.",
    });
  }
  const fresh = `${path}.new`;
  await rm(fresh, { force: true });
  await listen(server, { path: fresh });
  await chmod(fresh, SOCKET_MODE);
  await rename(fresh, path);
}

/** Identity of the file at a path; null if absent. */
async function identify(path: string): Promise<string | null> {
  const info = await lstat(path, { bigint: true }).catch(() => null);
  return info === null ? null : `${info.dev}:${info.ino}`;
}

function listen(server: Server, where: { readonly path: string } | { readonly fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      const what = "fd" in where ? `the inherited socket ${where.fd}` : `'${where.path}'`;
      reject(
        fail("fileOpen", `unable to listen on ${what}: ${error.message}`, {
          cause: error,
          hint: "does the socket's directory exist?",
        }),
      );
    });
    server.listen(where, resolve);
  });
}

/** True when a process accepts connections there. */
function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (served: boolean): void => {
      socket.destroy();
      resolve(served);
    };
    socket.once("connect", () => end(true)).once("error", () => end(false));
  });
}

async function answerOne(socket: Socket, handle: Handler, ctx: Context): Promise<void> {
  const gone = new AbortController();
  // A caller that left gets no answer; the work continues, and the caller will ask again.
  socket.on("error", () => {}).once("close", () => gone.abort());
  try {
    const [workingDirectory = "", ...args] = await readRequest(socket);
    const { exitCode, lines } = await handle(workingDirectory, args, gone.signal);
    const text = lines.flatMap((line) => line.split("\n")).map((line) => ` ${line}\n`);
    socket.end(`${text.join("")}${exitCode === null ? "" : `exit ${exitCode}\n`}`);
  } catch (error) {
    ctx.log.debug(`unable to answer a request: ${toBackupError(error).message}`);
    socket.destroy();
  }
}

function readRequest(socket: Socket): Promise<string[]> {
  return new Promise((resolve, reject) => {
    let text = "";
    const refuse = (why: string): void => reject(fail("protocol", why));
    socket.setEncoding("utf8");
    socket.setTimeout(REQUEST_TIMEOUT_MS, () => refuse("no request came"));
    socket.once("close", () => refuse("the caller disconnected"));
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > REQUEST_SIZE_BYTES_MAX) return refuse(`request of more than ${REQUEST_SIZE_BYTES_MAX} bytes`);
      if (!text.endsWith("\0\n")) return;
      socket.setTimeout(0);
      resolve(text.slice(0, -2).split("\0"));
    });
  });
}
