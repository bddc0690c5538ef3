/** Temporary names of files that are being written: how writers choose and others recognise them. */
import type { Random } from "./random";

/** Stock's suffix of a file that is being written. */
export const TEMP_SUFFIX = ".pgbackrest.tmp";
/** Enough that two writers never collide, and that an existing file is the writer's own. */
const TOKEN_BYTES = 8;
const TEMPORARY = /^(.+?)(?:\.[0-9a-f]{16})?\.pgbackrest\.tmp$/;

/**
 * `<path>.<16 hex>.pgbackrest.tmp`, for one writer alone. Stock writes `<path>.pgbackrest.tmp`. It takes neither for a
 * file of the repository, and its `expire` removes both together with expired WAL, because it compares only their first
 * 24 characters.
 */
export function temporaryName(path: string, random: Random): string {
  return `${path}.${Buffer.from(random.bytes(TOKEN_BYTES)).toString("hex")}${TEMP_SUFFIX}`;
}

/** The final name of a temporary file, ours or stock's; null for other files. */
export function findFinalName(name: string): string | null {
  return TEMPORARY.exec(name)?.[1] ?? null;
}
