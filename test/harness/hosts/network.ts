/**
 * A network for hosts in its own namespaces. A bridge connects the hosts; the test's servers are at the bridge's
 * address. Hosts on one network see each other, hosts on two networks do not. Any two networks may use the same
 * addresses.
 */
import { startOnGround } from "../real/ground";
import { makeLogFolder } from "../real/logs";
import type { TestNetwork } from "../testNetwork";
import { makeRunFolder, removeLeftovers } from "./leftovers";

export interface HostNetwork {
  readonly network: TestNetwork;
  /** Removed when the network stops. */
  readonly runFolder: string;
  /** Kept until the next network of the same name. */
  readonly logFolder: string;
  /** An unused address on the network, and its number from 1 on. */
  nextAddress(): { readonly address: string; readonly number: number };
  /**
   * Makes a server on this machine's loopback reachable from hosts, at the same port.
   * @returns the address that hosts use
   */
  expose(port: number): Promise<string>;
  /** Returns a port of this machine's loopback that leads to a port of a host. */
  reach(address: string, port: number): Promise<number>;
  /** Ends every host on it immediately, as in a power failure. */
  stop(): Promise<void>;
}

/** @param name of the folder of logs @throws Error if the namespaces cannot be made */
export async function startHostNetwork(name: string): Promise<HostNetwork> {
  removeLeftovers();
  const runFolder = makeRunFolder();
  const logFolder = makeLogFolder("hosts", name);
  let hostCount = 0;
  return startOnGround(runFolder, logFolder, async ({ expose, network, reach }) => {
    // systemd-nspawn stores files by host name there.
    const result = await network.run("mount", ["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"]);
    if (result.exitCode !== 0) throw new Error(`/run cannot be covered: ${result.stderr.trim()}`);
    return {
      network,
      runFolder,
      logFolder,
      nextAddress: () => {
        hostCount += 1;
        return { address: network.address.replace(/\d+$/, String(hostCount + 1)), number: hostCount };
      },
      expose: async (port: number) => {
        await expose(port);
        return network.address;
      },
      reach,
    };
  });
}
