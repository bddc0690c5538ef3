/**
 * A network for hosts, in namespaces of its own: a bridge whose end is the test's side. Hosts on one network see each other, those on two
 * do not, and any two networks may use the same addresses.
 */
import { rmSync } from "node:fs";
import type { Server } from "node:net";
import { onEnd } from "../../../tools/parts/process";
import { forwardIn, forwardOut } from "../forward";
import { makeLogFolder } from "../logs";
import { namespacePlace, type Place } from "../place";
import { makeRunFolder, removeLeftovers } from "./leftovers";

export interface HostNetwork {
  readonly place: Place;
  /** Gone when the network is stopped. */
  readonly runFolder: string;
  /** Kept after the end, until the next network of the same name. */
  readonly logFolder: string;
  /** An address that no other host on it has, and its number from 1 on. */
  nextAddress(): { readonly address: string; readonly number: number };
  /** Makes a server on this machine's loopback one that hosts reach, at its own port. @returns the address that they see */
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
  const servers: Server[] = [];
  let hostCount = 0;
  let place: Place | null = null;
  const stop = async (): Promise<void> => {
    for (const server of servers) server.close();
    await place?.stop();
    rmSync(runFolder, { recursive: true, force: true, maxRetries: 5 });
  };
  const forget = onEnd(stop);
  try {
    const made = await namespacePlace(runFolder, logFolder);
    place = made;
    // systemd-nspawn keeps notes there by the names of hosts.
    const result = await made.run("mount", ["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"]);
    if (result.exitCode !== 0) throw new Error(`/run cannot be covered: ${result.stderr.trim()}`);
    return {
      place: made,
      runFolder,
      logFolder,
      nextAddress: () => {
        hostCount += 1;
        return { address: made.address.replace(/\d+$/, String(hostCount + 1)), number: hostCount };
      },
      expose: async (port) => {
        servers.push(await forwardIn(made, runFolder, port));
        return made.address;
      },
      reach: async (address, port) => {
        const way = await forwardOut(made, runFolder, { address, port });
        servers.push(way.server);
        return way.port;
      },
      stop: async () => {
        forget();
        await stop();
      },
    };
  } catch (error) {
    forget();
    await stop();
    throw error;
  }
}
