/** One update of a host at a time. */
import type { Connection } from "./connection";

const LOCK_SCRIPT = 'exec flock -w 10 -E 75 "$1" /bin/sh -c "echo locked; exec cat"';

/**
 * Locks the configuration's directory itself; the lock ends with the connection, so a crash leaves nothing to clean up.
 */
export async function withLock<T>(connection: Connection, directory: string, work: () => Promise<T>): Promise<T> {
  const held = await connection.hold(["/bin/sh", "-c", LOCK_SCRIPT, "sh", directory]).catch((error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(
      /exit code 75/.test(text)
        ? `another update of ${directory} is running on ${connection.name}: try again when it is done`
        : `unable to lock ${directory}: ${text}`,
    );
  });
  try {
    return await work();
  } finally {
    // Its error would replace what the work did or failed with: a lost connection has released the lock as well.
    await held.release().catch(() => undefined);
  }
}
