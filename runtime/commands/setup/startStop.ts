/**
 * `stop` forbids commands that write, for `--stanza` or for all; `--force` also ends running ones. `start` allows them
 * again.
 */
import { listHeldLocks } from "../../local/lockState";
import { removeStopFile, writeStopFile } from "../../local/stopFile";
import type { Command } from "../../process/commandProcess";

export const stopCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const { lockPath, stanza } = config;
  if (!writeStopFile(lockPath, stanza, proc.lockOwners()))
    ctx.log.warn(`stop file already exists for ${stanza === undefined ? "all stanzas" : `stanza ${stanza}`}`);
  if (!config.force) return 0;
  // One process may hold several locks.
  const pids = new Set<number>();
  for (const { path, pid } of listHeldLocks(lockPath, stanza, { ...proc.process, owners: proc.lockOwners() })) {
    if (pid === null) ctx.log.warn(`unable to read lock file '${path}': its holder is not ended`);
    else pids.add(pid);
  }
  for (const pid of pids) {
    if (proc.process.terminate(pid)) ctx.log.info(`sent term signal to process ${pid}`);
    else ctx.log.warn(`unable to send term signal to process ${pid}`);
  }
  return 0;
};

export const startCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const { lockPath, stanza } = config;
  const removed = removeStopFile(lockPath, stanza, proc.lockOwners());
  if (!removed) ctx.log.warn(`stop file does not exist${stanza === undefined ? "" : ` for stanza ${stanza}`}`);
  return 0;
};
