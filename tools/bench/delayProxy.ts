/**
 * A TCP proxy on 127.0.0.1 that delays both directions: the latency of a distant store, without a limit on bandwidth.
 *
 * It passes bytes on in order, each chunk after half the round trip. It runs as a separate process, so that it neither
 * adds to the measured programs' costs nor gets disturbed by the bench.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start, waitFor } from "../parts/process";
import { freePort } from "../parts/servers/s3Server";

export interface DelayProxy {
  readonly port: number;
  close(): Promise<void>;
}

const PROGRAM = `
const { connect, createServer } = require("node:net");
const [listenPort, targetPort, delayMs] = process.argv.slice(1).map(Number);
const pass = (from, to) => {
  from.on("data", (chunk) => setTimeout(() => to.writable && to.write(chunk), delayMs));
  from.on("end", () => setTimeout(() => to.end(), delayMs));
  from.on("error", () => to.destroy());
  from.on("close", () => setTimeout(() => to.destroy(), 4 * delayMs));
};
createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
  const target = connect({ port: targetPort, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  pass(client, target);
  pass(target, client);
}).listen(listenPort, "127.0.0.1");
`;

/** Listens on `port`, or a free one, and forwards to `targetPort`. */
export async function startDelayProxy(targetPort: number, roundTripMs: number, port?: number): Promise<DelayProxy> {
  const own = port ?? (await freePort());
  return startAt(own, targetPort, roundTripMs);
}

async function startAt(port: number, targetPort: number, roundTripMs: number): Promise<DelayProxy> {
  const folder = mkdtempSync(join(tmpdir(), "pgb-proxy-"));
  const args = ["-e", PROGRAM, String(port), String(targetPort), String(roundTripMs / 2)];
  const proxy = await start(process.execPath, args, { logFile: join(folder, "log") });
  await waitFor("the delaying proxy", 10_000, () => accepts(port));
  return {
    port,
    close: async () => {
      await proxy.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
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
