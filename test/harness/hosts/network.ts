/**
 * A network for hosts, in namespaces of its own: a bridge whose end is the test's side. Hosts on one network see each
 * other, those on two do not, and any two networks may use the same addresses.
 */
import { startOnGround } from "../real/ground";
import { makeLogFolder } from "../real/logs";
import type { TestNetwork } from "../testNetwork";
import { makeRunFolder, removeLeftovers } from "./leftovers";

export interface HostNetwork {
  readonly network: TestNetwork;
  /** Gone when the network is stopped. */
  readonly runFolder: string;
  /** Kept after the end, until the next network of the same name. */
  readonly logFolder: string;
  /** An address that no other host on it has, and its number from 1 on. */
  nextAddress(): { readonly address: string; readonly number: number };
  /**
   * Makes a server on this machine's loopback one that hosts reach, at its own port.
   * @returns the address that they see
   */
  expose(port: number): Promise<string>;
  /** A port of this machine's loopback that leads to one of a host's. */
  reach(address: string, port: number): Promise<number>;
  /** Ends every host on it at once, as if the power were cut. */
  stop(): Promise<void>;
}

/** @param name of the folder of logs @throws Error when namespaces cannot be made */
export async function startHostNetwork(name: string): Promise<HostNetwork> {
  removeLeftovers();
  const runFolder = makeRunFolder();
  const logFolder = makeLogFolder("hosts", name);
  let hostCount = 0;
  return startOnGround(runFolder, logFolder, async ({ expose, network, reach }) => {
    // systemd-nspawn keeps notes there by the names of hosts.
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
