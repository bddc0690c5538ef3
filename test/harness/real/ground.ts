/**
 * What labs and networks of hosts stand on: namespaces of their own with a folder, and ways in and out, all gone when
 * they end or did not begin.
 */
import { rmSync } from "node:fs";
import type { Server } from "node:net";
import { onEnd } from "../../../tools/parts/process";
import { forwardIn, forwardOut } from "../network/forward";
import { namespaceNetwork, type TestNetwork } from "../testNetwork";

interface Ground {
  readonly network: TestNetwork;
  /** Makes a server on this machine's loopback one at {@link TestNetwork.address}, at its own port. */
  expose(port: number): Promise<void>;
  /** A port of this machine's loopback that leads to one in there. */
  reach(address: string, port: number): Promise<number>;
}

/**
 * @param runFolder is removed at the end
 * @returns what `begin` makes on it, with its end: every process in the namespaces is killed at once
 * @throws what making namespaces and `begin` throw
 */
export async function startOnGround<T extends object>(
  runFolder: string,
  logFolder: string,
  begin: (ground: Ground) => Promise<T>,
): Promise<T & { stop(): Promise<void> }> {
  const servers: Server[] = [];
  let network: TestNetwork | null = null;
  const remove = async (): Promise<void> => {
    for (const server of servers) server.close();
    await network?.stop();
    rmSync(runFolder, { recursive: true, force: true, maxRetries: 5 });
  };
  const forget = onEnd(remove);
  const stop = async (): Promise<void> => {
    forget();
    await remove();
  };
  try {
    const made = await namespaceNetwork(runFolder, logFolder);
    network = made;
    const ground: Ground = {
      network: made,
      expose: async (port) => void servers.push(await forwardIn(made, runFolder, port)),
      reach: async (address, port) => {
        const route = await forwardOut(made, runFolder, { address, port });
        servers.push(route.server);
        return route.port;
      },
    };
    return { ...(await begin(ground)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
