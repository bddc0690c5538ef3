/**
 * Routes between this process and a {@link TestNetwork}: a program in the network (`forwarder.ts`) and a socket in the
 * file system, which both sides see.
 */
import { existsSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { build as bundle } from "esbuild";
import { projectFolder } from "../../../tools/parts/cache";
import { waitFor } from "../../../tools/parts/process";
import type { TestNetwork } from "../testNetwork";

/** Time limit for a route to become ready. */
const ROUTE_MS = 120_000;

/**
 * Forwards a port of the network's own address to the same port of this machine's loopback. Close the server to stop
 * it.
 */
export async function forwardIn(network: TestNetwork, runFolder: string, port: number): Promise<Server> {
  const socketPath = join(runFolder, `in-${port}`);
  const server = await listen(socketPath, () => connect(port, "127.0.0.1"));
  const forwarder = await network.start(`forward-${port}`, process.execPath, [
    await forwarderProgram(runFolder),
    `${network.address}:${port}`,
    socketPath,
  ]);
  await waitFor(`the way to port ${port}`, ROUTE_MS, async () => {
    if (!forwarder.isRunning()) throw new Error(`port ${port} cannot be forwarded: ${forwarder.log()}`);
    const result = await network.run("bash", ["-c", `exec 3<>/dev/tcp/${network.address}/${port}`]);
    return result.exitCode === 0 ? true : null;
  });
  return server;
}

/**
 * Forwards a free port of this machine's loopback to a port in the network. It accepts connections even if nothing
 * answers there; the connection then closes or hangs, as its target does.
 */
export async function forwardOut(
  network: TestNetwork,
  runFolder: string,
  to: { readonly address: string; readonly port: number },
): Promise<{ readonly server: Server; readonly port: number }> {
  const socketPath = join(runFolder, `out-${to.address}-${to.port}`);
  const name = `forward-${to.address}-${to.port}`;
  const forwarder = await network.start(name, process.execPath, [
    await forwarderProgram(runFolder),
    socketPath,
    `${to.address}:${to.port}`,
  ]);
  await waitFor(`the way to ${to.address}`, ROUTE_MS, async () => {
    if (!forwarder.isRunning()) throw new Error(`${to.address} cannot be reached: ${forwarder.log()}`);
    return existsSync(socketPath) ? true : null;
  });
  const server = await listen(0, () => connect(socketPath));
  return { server, port: (server.address() as AddressInfo).port };
}

/** Bundles a program of the harness into one file that Node runs. */
export async function bundleProgram(source: string, runFolder: string): Promise<string> {
  const outfile = join(runFolder, "programs", `${source.split("/").at(-1)?.replace(/\.ts$/, "") ?? source}.cjs`);
  const common = {
    bundle: true,
    platform: "node",
    target: "node22",
    format: "cjs",
    logLevel: "warning",
    sourcemap: "inline",
  } as const;
  await bundle({ ...common, entryPoints: [join(projectFolder(), "test", "harness", source)], outfile });
  return outfile;
}

/** One build per run folder, shared by concurrent callers. */
const forwarders = new Map<string, Promise<string>>();

function forwarderProgram(runFolder: string): Promise<string> {
  const made = forwarders.get(runFolder) ?? bundleProgram("network/forwarder.ts", runFolder);
  forwarders.set(runFolder, made);
  return made;
}

async function listen(at: string | number, target: () => ReturnType<typeof connect>): Promise<Server> {
  const server = createServer((inner) => {
    const outer = target();
    inner.on("error", () => outer.destroy());
    outer.on("error", () => inner.destroy());
    inner.pipe(outer).pipe(inner);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    if (typeof at === "string") server.listen(at, resolve);
    else server.listen(at, "127.0.0.1", resolve);
  });
  return server;
}
