/** PostgreSQL in a container of a host: only the runtime sees its files and reaches it. */
import { CommandFailed, type LogLine } from "./connection";
import { type LiveSettings, readSettings } from "./postgresSettings";
import type { RuntimeOnHost } from "./runtimeVerbs";

interface ContainedServer {
  readonly container?: string;
  readonly dataDirectory: string;
  /** As declared. */
  readonly settings: Readonly<Record<string, string>>;
}

/** @throws Error if the server has other data than declared, or settings that nothing can change */
export function checkContainer({ container, dataDirectory, settings }: ContainedServer, live: LiveSettings): void {
  if (live.dataDirectory !== dataDirectory)
    throw new Error(
      `the data of PostgreSQL in container ${container} are in ${live.dataDirectory} there, not in ${dataDirectory}: set dataDirectory to that`,
    );
  const fixed = live.fixed.filter((name) => name in settings && settings[name] !== live.values[name]);
  if (fixed.length === 0) return;
  throw new Error(
    `the command line of container ${container} sets ${fixed.join(" and ")}, which an update cannot change there: remove it from the command in the Compose file`,
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
