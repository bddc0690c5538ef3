/** The program of a worker thread: main.ts in small, so that a thread takes little memory beside its job. */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "./base/clock";
import { silentLog } from "./base/log";
import { systemRandom } from "./base/random";
import { VERSION } from "./version";
import { serveJobs } from "./workers/worker";

const CONTEXT = { clock: systemClock, random: systemRandom, log: silentLog, signal: new AbortController().signal };

if (parentPort !== null) {
  serveJobs(
    parentPort,
    workerData,
    async ({ stanza, repos, ioTimeoutMs, rates }) => {
      const { openRepositories } = await import("./process/openRepositories.js");
      const { storageProcesses } = await import("./process/storageProcesses.js");
      const processes = storageProcesses(process.execPath, __filename);
      return openRepositories(stanza, repos, ioTimeoutMs, CONTEXT, { isKeyProven: true, processes, rates });
    },
    CONTEXT,
    VERSION,
  );
}
