/** `cnpg-job`: prints a Job for the Cluster on standard input. The user's kubectl carries both. */
import { utf8 } from "../../base/bytes";
import type { Command } from "../../process/commandProcess";
import { parseObject } from "../kubernetes/clusterObject";
import { tableJob } from "./tableJob";

export const jobCommand: Command = async (proc) => {
  const cluster = parseObject(utf8(await proc.readInput()), "Cluster");
  const { image, size } = proc.config.clusterJob;
  const job = tableJob(cluster, { image, size, nodeImage: proc.config.plugin.image });
  proc.print(`${JSON.stringify(job, null, 2)}\n`);
  return 0;
};
