/**
 * The base of labs and host networks: namespaces with a run folder and routes in and out. All of it disappears when
 * they end or fail to start.
 */
import { rmSync } from "node:fs";
import type { Server } from "node:net";
import { onEnd } from "../../../tools/parts/process";
import { forwardIn, forwardOut } from "../network/forward";
import { namespaceNetwork, type TestNetwork } from "../testNetwork";

interface Ground {
  readonly network: TestNetwork;
  /** Makes a server on this machine's loopback reachable at {@link TestNetwork.address}, at the same port. */
  expose(port: number): Promise<void>;
  /** Returns a port of this machine's loopback that leads to `address` and `port` in the network. */
  reach(address: string, port: number): Promise<number>;
}

/**
 * @param runFolder is removed at the end
 * @returns the result of `begin`, with a function that kills every process in the namespaces at once
 * @throws the errors of making namespaces and of `begin`
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
    const exposed = new Map<number, Promise<number>>();
    const ground: Ground = {
      network: made,
      expose: async (port) => {
        const route = exposed.get(port) ?? forwardIn(made, runFolder, port).then((server) => servers.push(server));
        exposed.set(port, route);
        await route;
      },
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
