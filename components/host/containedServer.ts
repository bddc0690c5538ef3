/** PostgreSQL in a container of a host: only the runtime sees its files and reaches it. */
import { CommandFailed, type LogLine } from "./connection";
import { type LiveSettings, readSettings } from "./postgresSettings";
import type { RuntimeOnHost } from "./runtimeVerbs";

/** @throws Error if the server has other data than declared */
export function checkContainer(
  { container, dataDirectory }: { readonly container?: string; readonly dataDirectory: string },
  live: LiveSettings,
): void {
  if (live.dataDirectory === dataDirectory) return;
  throw new Error(
    `the data of PostgreSQL in container ${container} are in ${live.dataDirectory} there, not in ${dataDirectory}: set dataDirectory to that`,
  );
}

/** False, with a warning, if the server does not answer: a container may be removed before its backups end. */
export async function answers(runtime: RuntimeOnHost, names: readonly string[], log: LogLine): Promise<boolean> {
  try {
    await readSettings(runtime);
    return true;
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    log(`WARN: the container does not answer, so ${names.join(" and ")} stay set in it: ${error.message}`);
    return false;
  }
}
