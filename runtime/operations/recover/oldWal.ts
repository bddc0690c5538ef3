/**
 * Saves WAL of the old data that no repository has: what the server wrote after its last archived segment, before it
 * died. PostgreSQL searches pg_wal for segments that the archive lacks ("Continuous Archiving", recovering, step 6). So
 * the files are copied there, and recovery ends where the old server did.
 */
import { chown, copyFile, open, readdir } from "../../local/nodeFiles";
import { nextSegment, lsnOfSegment, parseWalName } from "../../format/wal/walSegment";
import { syncDirectory } from "../../local/atomicWrite";
import type { Owner } from "./hostFacts";

/** Header of a WAL page: magic, flags, timeline, address (PostgreSQL "src/include/access/xlog_internal.h"). */
const PAGE_HEAD_BYTES = 16;

export interface OldWal {
  readonly directory: string;
  /** The newest archived segment. */
  readonly last: string;
  readonly segmentSizeBytes: number;
}

/**
 * Copies the segments that follow the archived ones without a gap; returns their names. A repeated call copies them
 * again.
 */
export async function keepOldWal(old: OldWal, walDirectory: string, account: Owner): Promise<string[]> {
  const present = new Set(await readdir(old.directory).catch(() => [] as string[]));
  const kept: string[] = [];
  for (
    let name = nextSegment(old.last, old.segmentSizeBytes);
    present.has(name);
    name = nextSegment(name, old.segmentSizeBytes)
  ) {
    // A recycled file still holds its old content.
    if (!(await isWritten(`${old.directory}/${name}`, name, old.segmentSizeBytes))) break;
    const target = `${walDirectory}/${name}`;
    await copyFile(`${old.directory}/${name}`, target);
    await chown(target, account.uid, account.gid);
    const handle = await open(target, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    kept.push(name);
  }
  if (kept.length > 0) await syncDirectory(walDirectory);
  return kept;
}

async function isWritten(path: string, name: string, segmentSizeBytes: number): Promise<boolean> {
  const handle = await open(path, "r");
  try {
    const head = Buffer.alloc(PAGE_HEAD_BYTES);
    const { bytesRead } = await handle.read(head, 0, PAGE_HEAD_BYTES, 0);
    if (bytesRead < PAGE_HEAD_BYTES) return false;
    return (
      head.readUInt32LE(4) === parseWalName(name)?.timeline &&
      head.readBigUInt64LE(8) === lsnOfSegment(name, segmentSizeBytes)
    );
  } finally {
    await handle.close();
  }
}
