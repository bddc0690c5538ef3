/**
 * Where the programs of a lab run: on this machine's loopback, or in their own network, mount and process namespaces.
 *
 * One process holds the namespaces. When it ends, however this process ends, the kernel ends every process in them and
 * removes their mounts, links and network namespaces. Nothing stays behind, and nothing in them is visible outside.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run, type RunOptions, type RunResult, start, type Started, waitFor } from "../../tools/parts/process";

export interface TestNetwork {
  /** The address of the servers in it. */
  readonly address: string;
  /** The id of a process in it: `/proc/PID/root` shows its mounts. */
  readonly pid: number;
  /** Logs of all servers, one file each. */
  readonly logFolder: string;
  run(command: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts a server with the log `NAME.log`. */
  start(
    name: string,
    command: string,
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): Promise<Started>;
  /** Stops every server. */
  stop(): Promise<void>;
}

/** The address of the node and the API server, in their own namespaces. */
export const NODE_ADDRESS = "10.244.0.1";
/** Names of the pods' network namespaces, visible only inside. */
const NETWORK_NAMES = "/run/netns";

/** Time limit for the namespaces to become ready. */
const NAMESPACES_MS = 120_000;

/** Runs servers on this machine's loopback. */
export function loopbackNetwork(logFolder: string): TestNetwork {
  const started: Started[] = [];
  return {
    address: "127.0.0.1",
    pid: process.pid,
    logFolder,
    run,
    async start(name, command, args, env = {}) {
      const server = await start(command, args, { logFile: join(logFolder, `${name}.log`), env });
      started.push(server);
      return server;
    },
    async stop() {
      // Their data is discarded, so a clean shutdown is not needed.
      for (const server of started.reverse()) await server.stop("SIGKILL");
    },
  };
}

/** Namespaces with a bridge `br0` for pods. The bridge has the address {@link NODE_ADDRESS}. Needs root. */
export async function namespaceNetwork(runFolder: string, logFolder: string): Promise<TestNetwork> {
  const ready = join(runFolder, "namespaces-ready");
  const script = [
    "set -e",
    // Hide the names of this machine's own namespaces.
    `mkdir -p ${NETWORK_NAMES}; mount -t tmpfs -o mode=755 tmpfs ${NETWORK_NAMES}`,
    "ip link set lo up",
    `ip link add br0 type bridge; ip addr add ${NODE_ADDRESS}/16 dev br0; ip link set br0 up`,
    'touch "$1"',
    "exec sleep infinity",
  ].join("\n");
  mkdirSync(runFolder, { recursive: true });
  const namespaces = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"];
  const anchor = await start(
    "setpriv",
    ["--pdeathsig", "KILL", "unshare", ...namespaces, "sh", "-c", script, "sh", ready],
    {
      logFile: join(logFolder, "namespaces.log"),
      stopSignal: "SIGKILL",
    },
  );
  await waitFor("namespaces", NAMESPACES_MS, async () => {
    if (!anchor.isRunning()) throw new Error(`unable to make namespaces: ${anchor.log().trim()}`);
    return existsSync(ready) ? true : null;
  });
  const inside = readFileSync(`/proc/${anchor.pid}/task/${anchor.pid}/children`, "utf8").trim().split(" ")[0] ?? "";
  const enter = (command: string, args: readonly string[]): [string, string[]] => [
    "nsenter",
    ["--target", inside, "--net", "--mount", "--pid", "--", command, ...args],
  ];
  return {
    address: NODE_ADDRESS,
    pid: Number(inside),
    logFolder,
    run: (command, args, options) => run(...enter(command, args), options),
    start: (name, command, args, env = {}) =>
      start(...enter(command, args), { logFile: join(logFolder, `${name}.log`), env, stopSignal: "SIGKILL" }),
    stop: async () => void (await anchor.stop("SIGKILL")),
  };
}
