/** Names of files that are being written: which ones a writer uses, and how others recognise them. */
import type { Random } from "./random";

/** What stock appends to a file's name while it is being written. */
export const TEMP_SUFFIX = ".pgbackrest.tmp";
/** So many that two writers never have the same, and that an existing one is the writer's own. */
const TOKEN_BYTES = 8;
const TEMPORARY = /^(.+?)(?:\.[0-9a-f]{16})?\.pgbackrest\.tmp$/;

/**
 * `<path>.<16 hex>.pgbackrest.tmp`, for one writer alone. Stock writes `<path>.pgbackrest.tmp`; it takes neither for a file of the repository, and its
 * `expire` removes both beside WAL that expires, because it goes by the first 24 characters.
 */
export function temporaryName(path: string, random: Random): string {
  return `${path}.${Buffer.from(random.bytes(TOKEN_BYTES)).toString("hex")}${TEMP_SUFFIX}`;
}

/** The name that a temporary file was to get, ours or stock's; null for other files. */
export function findFinalName(name: string): string | null {
  return TEMPORARY.exec(name)?.[1] ?? null;
}
