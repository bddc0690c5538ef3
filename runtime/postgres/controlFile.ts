/**
 * Reads a data directory's pg_control, which identifies its cluster. Source: PostgreSQL
 * "src/include/catalog/pg_control.h"; "pgbackrest-format" 7.1.
 */
import { open, stat } from "../local/nodeFiles";
import type { Context } from "../base/context";
import { fail, isError } from "../base/errors";
import { type PgControl, parsePgControl, type RecoveryLimits, recoveryLimitsOf } from "../format/page/pgControl";
import { isMissing, systemError } from "../local/systemError";

const HEADER_SIZE_BYTES = 512;
const READ_ATTEMPTS = 40;
const READ_PAUSE_MS = 50;

export interface ControlFile {
  readonly control: PgControl;
  /** The bytes that were parsed. */
  readonly header: Uint8Array;
}

/**
 * Reads `global/pg_control`, or another file of that format next to it. PostgreSQL writes it in place, so a torn read
 * is repeated after 50 ms until the file is valid or the same damaged bytes are read twice.
 * @throws fileMissing, fileOpen, checksum (26), versionNotSupported (46)
 */
export async function loadControlFile(dataDirectory: string, ctx: Context, name = "pg_control"): Promise<ControlFile> {
  const path = `${dataDirectory}/global/${name}`;
  let previous: Uint8Array | undefined;
  for (let attempt = 1; ; attempt++) {
    const header = await readHeader(path);
    try {
      return { control: parsePgControl(header), header };
    } catch (error) {
      const same = previous !== undefined && Buffer.compare(previous, header) === 0;
      if (!isError(error, "checksum") || same || attempt === READ_ATTEMPTS) throw error;
      previous = header;
      await ctx.clock.sleep(READ_PAUSE_MS, ctx.signal);
    }
  }
}

/** @throws like {@link loadControlFile} */
export async function loadRecoveryLimits(dataDirectory: string, ctx: Context): Promise<RecoveryLimits> {
  return recoveryLimitsOf((await loadControlFile(dataDirectory, ctx)).header);
}

/**
 * Device, inode and birth of `global/pg_control`. PostgreSQL writes it in place as long as the data directory lives; a
 * restored or copied one differs.
 * @throws fileMissing, fileOpen
 */
export async function controlFileId(dataDirectory: string): Promise<string> {
  const path = `${dataDirectory}/global/pg_control`;
  try {
    const { dev, ino, birthtimeNs } = await stat(path, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  } catch (error) {
    throw systemError(isMissing(error) ? "fileMissing" : "fileOpen", `get info for file '${path}'`, path, error);
  }
}

async function readHeader(path: string): Promise<Uint8Array> {
  const handle = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    throw fail(
      error.code === "ENOENT" ? "fileMissing" : "fileOpen",
      `unable to open file '${path}' for read: [${error.code}] ${error.message}`,
      {
        hint: "is pg1-path the data directory of the cluster, and may this user read it?",
        path,
        cause: error,
      },
    );
  });
  try {
    const header = Buffer.alloc(HEADER_SIZE_BYTES);
    const { bytesRead } = await handle.read(header, 0, HEADER_SIZE_BYTES, 0);
    if (bytesRead < HEADER_SIZE_BYTES)
      throw fail("fileRead", `file '${path}' has ${bytesRead} bytes but at least ${HEADER_SIZE_BYTES} are expected`, {
        path,
      });
    return header;
  } finally {
    await handle.close();
  }
}
