/**
 * A TCP proxy on 127.0.0.1 that delays both directions: the latency of a distant store, without a limit on bandwidth.
 *
 * It passes bytes on in order, each chunk after half the round trip. It runs as a separate process, so that it neither
 * adds to the measured programs' costs nor gets disturbed by the bench.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep, start, waitFor } from "../parts/process";
import { freePort } from "../parts/servers/s3Server";

export interface DelayProxy {
  readonly port: number;
  /** Bytes that the target has sent so far, encrypted as they are. */
  sentBytes(): Promise<number>;
  /** Bytes that were passed on in both directions, some {@link COUNT_MS} late. */
  passedBytes(): number;
  /** Resets all connections; new ones are accepted. */
  cut(): void;
  close(): Promise<void>;
}

/** How often the proxy says how much it has passed. */
const COUNT_MS = 50;

const PROGRAM = `
const { connect, createServer } = require("node:net");
const { writeFileSync } = require("node:fs");
const [listenPort, targetPort, delayMs] = process.argv.slice(1).map(Number);
const countFile = process.argv[4];
let [sentBytes, passedBytes, shownBytes] = [0, 0, -1];
setInterval(() => {
  if (passedBytes !== shownBytes) writeFileSync(countFile, sentBytes + " " + passedBytes);
  shownBytes = passedBytes;
}, ${COUNT_MS});
const open = new Set();
process.on("SIGUSR2", () => open.forEach((socket) => socket.resetAndDestroy()));
const later = (work) => (delayMs === 0 ? work() : setTimeout(work, delayMs));
const pass = (from, to, isSent) => {
  from.on("data", (chunk) => {
    if (isSent) sentBytes += chunk.length;
    // The target may be far ahead of a client that computes.
    const passed = () => void (passedBytes += chunk.length);
    later(() => to.writable && to.write(chunk, passed));
  });
  from.on("end", () => setTimeout(() => to.end(), delayMs));
  from.on("error", () => to.destroy());
  from.on("close", () => setTimeout(() => to.destroy(), 4 * delayMs));
};
createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
  const target = connect({ port: targetPort, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  for (const socket of [client, target]) {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
  }
  pass(client, target, false);
  pass(target, client, true);
}).listen(listenPort, "127.0.0.1");
`;

/** Listens on `port`, or a free one, and forwards to `targetPort`. */
export async function startDelayProxy(targetPort: number, roundTripMs: number, port?: number): Promise<DelayProxy> {
  const own = port ?? (await freePort());
  return startAt(own, targetPort, roundTripMs);
}

async function startAt(port: number, targetPort: number, roundTripMs: number): Promise<DelayProxy> {
  const folder = mkdtempSync(join(tmpdir(), "pgb-proxy-"));
  const countFile = join(folder, "sent");
  const args = ["-e", PROGRAM, String(port), String(targetPort), String(roundTripMs / 2), countFile];
  const proxy = await start(process.execPath, args, { logFile: join(folder, "log") });
  await waitFor("the delaying proxy", 10_000, () => accepts(port));
  return {
    port,
    sentBytes: async () => {
      await sleep(2 * COUNT_MS);
      return countsIn(countFile)[0];
    },
    passedBytes: () => countsIn(countFile)[1],
    cut: () => void process.kill(proxy.pid, "SIGUSR2"),
    close: async () => {
      await proxy.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function countsIn(file: string): readonly [sentBytes: number, passedBytes: number] {
  const [sentBytes = 0, passedBytes = 0] = existsSync(file) ? readFileSync(file, "utf8").split(" ").map(Number) : [];
  return [sentBytes, passedBytes];
}

function accepts(port: number): Promise<true | null> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (result: true | null): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once("connect", () => end(true)).once("error", () => end(null));
  });
}
