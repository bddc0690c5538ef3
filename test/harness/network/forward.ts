/**
 * Ways between this process and the network of a {@link TestNetwork}: a program on the far side (`forwarder.ts`) and a
 * socket in the file system, which both sides see.
 */
import { existsSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { build as bundle } from "esbuild";
import { projectFolder } from "../../../tools/parts/cache";
import { waitFor } from "../../../tools/parts/process";
import type { TestNetwork } from "../testNetwork";

/** How long a way may take to be there. */
const ROUTE_MS = 120_000;

/** Leads a port of the place's own address to the same port of this machine's loopback. Close the server to end it. */
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
 * Leads a free port of this machine's loopback to a port in the place. A connection is taken even when nobody answers
 * there; it is then closed, or hangs, as that one does.
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

/** A program of the harness as one file that Node runs. */
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

/** Made once in each folder, also for two who want it at the same time. */
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
