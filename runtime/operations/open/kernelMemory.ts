/**
 * Reads whole files once through the mount, so that the kernel has their pages in memory, as a restore leaves them: a
 * read of such a page costs no request.
 *
 * Another process reads: one that reads its own mount could not be killed. A batch is short, because the directory
 * cannot be unmounted while a process reads a file of it.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { Node } from "./tree";

export interface KernelMemoryParts {
  /** Where the tree is mounted. */
  readonly at: string;
  readonly root: Node;
  /** The opened server runs; nobody else is worth it. */
  isRunning(): boolean;
  /** Memory that this machine, or this process's control group, has left. */
  availableBytes(): number;
  program(args: readonly string[]): Promise<unknown>;
}

const BATCH = { bytes: 256 * 1024 * 1024, files: 200 };
const POLL_MS = 1000;

/** Until it has read what fits into half of the free memory: the kernel also keeps the upper directory's own pages. */
export async function readIntoMemory(parts: KernelMemoryParts, ctx: Context): Promise<void> {
  while (!parts.isRunning()) await ctx.clock.sleep(POLL_MS, ctx.signal);
  const batches = batchesOf(filesIn(parts.root, parts.at), parts.availableBytes() / 2);
  for (const paths of batches) {
    if (!parts.isRunning() || ctx.signal.aborted) return;
    try {
      // It reads every byte, and says one line for each file.
      await parts.program(["nice", "wc", "-l", "--", ...paths]);
    } catch (error) {
      ctx.log.detail(`files are not read into memory: ${toBackupError(error).message}`);
      return;
    }
  }
}

interface SizedFile {
  readonly path: string;
  readonly sizeBytes: number;
}

function filesIn(node: Node, path: string): SizedFile[] {
  if (node.file !== null) return [{ path, sizeBytes: node.file.sizeBytes }];
  return [...(node.children ?? [])].flatMap(([name, child]) => filesIn(child, `${path}/${name}`));
}

function batchesOf(files: readonly SizedFile[], sizeBytesMax: number): string[][] {
  const batches: string[][] = [];
  let [batch, batchBytes, sizeBytes] = [[] as string[], 0, 0];
  for (const file of files) {
    sizeBytes += file.sizeBytes;
    if (file.sizeBytes === 0 || sizeBytes > sizeBytesMax) continue;
    if (batch.length === 0 || batch.length >= BATCH.files || batchBytes + file.sizeBytes > BATCH.bytes) {
      batch = [];
      batchBytes = 0;
      batches.push(batch);
    }
    batch.push(file.path);
    batchBytes += file.sizeBytes;
  }
  return batches;
}
