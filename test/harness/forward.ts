/** Ways into the network of a {@link Place}: a program on the far side (`forwarder.ts`) and a socket in the file system, which both sides see. */
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { build as bundle } from "esbuild";
import { projectFolder } from "../../tools/parts/cache";
import { waitFor } from "../../tools/parts/process";
import type { Place } from "./place";

/** How long a way may take to be there. */
const WAY_MS = 120_000;

/** Leads a port of the place's own address to the same port of this machine's loopback. Close the server to end it. */
export async function forwardIn(place: Place, runFolder: string, port: number): Promise<Server> {
  const socketPath = join(runFolder, `in-${port}`);
  const server = await listen(socketPath, () => connect(port, "127.0.0.1"));
  const forwarder = await place.start(`forward-${port}`, process.execPath, [
    await forwarderProgram(runFolder),
    `${place.address}:${port}`,
    socketPath,
  ]);
  await waitFor(`the way to port ${port}`, WAY_MS, async () => {
    if (!forwarder.isRunning()) throw new Error(`port ${port} cannot be forwarded: ${forwarder.log()}`);
    const result = await place.run("bash", ["-c", `exec 3<>/dev/tcp/${place.address}/${port}`]);
    return result.exitCode === 0 ? true : null;
  });
  return server;
}

/** A program of the harness as one file that Node runs. */
export async function bundleProgram(source: string, runFolder: string): Promise<string> {
  const outfile = join(runFolder, "programs", `${source.split("/").at(-1)?.replace(/\.ts$/, "") ?? source}.cjs`);
  const common = { bundle: true, platform: "node", target: "node22", format: "cjs", logLevel: "warning", sourcemap: "inline" } as const;
  await bundle({ ...common, entryPoints: [join(projectFolder(), "test", "harness", source)], outfile });
  return outfile;
}

/** Made once in each folder, also for two who want it at the same time. */
const forwarders = new Map<string, Promise<string>>();

function forwarderProgram(runFolder: string): Promise<string> {
  const made = forwarders.get(runFolder) ?? bundleProgram("forwarder.ts", runFolder);
  forwarders.set(runFolder, made);
  return made;
}

async function listen(socketPath: string, target: () => ReturnType<typeof connect>): Promise<Server> {
  const server = createServer((inner) => {
    const outer = target();
    inner.on("error", () => outer.destroy());
    outer.on("error", () => inner.destroy());
    inner.pipe(outer).pipe(inner);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  return server;
}
