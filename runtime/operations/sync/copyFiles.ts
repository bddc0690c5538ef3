/**
 * Copies files of one backup between repositories, as a job: unpacked, checked against the source's manifest, packed
 * and stored, one by one or together as one bundle. A file that the target stores in blocks is cut and compared with
 * the target's prior copy.
 *
 * Nothing counts as stored before the job ends; an error leaves bytes that no manifest refers to. Errors: checksum (26)
 * for content that differs from the manifest, and either storage's errors.
 */
import { setImmediate } from "node:timers/promises";
import { type ByteStream, EMPTY_BYTES, limited, streamOf } from "../../base/bytes";
import type { Context } from "../../base/context";
import { assert, fail, nullOn } from "../../base/errors";
import { Measured } from "../../base/hash";
import type { BlockMap } from "../../format/repository/blockMap";
import type { BlockSource } from "../../format/repository/blockSource";
import { decryptBytes } from "../../format/codec/cipher";
import { decompressBytes } from "../../format/codec/compress";
import { openRaw } from "../../format/repository/superBlock";
import { loadBlockMap } from "../../repository/blockReader";
import { type Extent, readExtents } from "../../repository/bundleReader";
import type { Packing, Repository } from "../../repository/repository";
import type { ByteRange } from "../../storage/storage";
import { BundleWriter } from "../backup/bundleWriter";
import { groupTargets, OpenTarget, type PieceTarget } from "../backup/fileTargets";
import { readStored, unpackStored } from "../shared/readStored";
import { blocksInOrder } from "./blocksInOrder";

/** Where the source has the bytes of a file. */
export type CopySource =
  | ({ readonly kind: "stored"; readonly path: string; readonly range: ByteRange | null } & Packing)
  | { readonly kind: "blocks"; readonly blocks: BlockSource };

export interface CopyFile {
  readonly name: string;
  /** The content according to the source's manifest. */
  readonly sizeBytes: number;
  readonly sha1: string;
  readonly source: CopySource;
  readonly target: PieceTarget;
}

/** One file, or all files of one bundle in their order. */
export interface CopyFilesJob {
  readonly kind: "syncFiles";
  readonly fromKey: number;
  readonly toKey: number;
  readonly files: readonly CopyFile[];
}

export type CopiedFile =
  | {
      readonly kind: "stored";
      readonly sizeRepoBytes: number;
      readonly sha1Repo?: string;
      readonly bundleOffsetBytes?: number;
      readonly mapSizeBytes?: number;
    }
  /** The target's prior copy already has these bytes. */
  | { readonly kind: "kept" }
  /** All block checksums match the prior copy but the content differs: store it again without the prior copy. */
  | { readonly kind: "collided" };

/** In the order of the job's files. */
export type CopyFilesResult = readonly CopiedFile[];

export async function copyFiles(
  job: CopyFilesJob,
  repo: (key: number) => Repository,
  ctx: Context,
): Promise<CopyFilesResult> {
  const [from, to] = [repo(job.fromKey), repo(job.toKey)];
  const [first] = job.files;
  assert(first !== undefined, "a job without files");
  const writer = new BundleWriter(to, first.target.path);
  try {
    const done: CopiedFile[] = [];
    const read = await bundledContents(from, job.files);
    for (const file of job.files) {
      done.push(await copyOne(file, read.get(file) ?? (() => contentOf(from, file)), writer, { from, to }, ctx));
      await setImmediate();
    }
    await writer.finish();
    if (writer.sizeBytes === 0 && first.target.bundleId === null && done[0]?.kind === "stored")
      await to.storage.put(first.target.path, EMPTY_BYTES, { atomic: false });
    return done;
  } catch (error) {
    await writer.abandon(error);
    throw error;
  }
}

async function copyOne(
  file: CopyFile,
  content: () => ByteStream,
  writer: BundleWriter,
  { from, to }: { readonly from: Repository; readonly to: Repository },
  ctx: Context,
): Promise<CopiedFile> {
  const open = new OpenTarget(file.target, writer, await priorMapOf(file, to));
  const [group] = await groupTargets([open], ctx);
  assert(group !== undefined, "a target without a group");
  const measured = new Measured();
  try {
    for await (const chunk of content()) {
      measured.add(chunk);
      await group.write(chunk);
      if (open.error !== null) throw open.error;
    }
    await group.finish();
    if (open.error !== null) throw open.error;
  } finally {
    group.close();
  }
  const { sizeBytes, sha1 } = measured.result();
  requireContent(file, sizeBytes, sha1, from);
  const stored = group.stored(open);
  if (stored !== null) return { kind: "stored", ...stored };
  const prior = file.target.block?.prior ?? null;
  return prior !== null && prior.sizeBytes === file.sizeBytes && prior.sha1 === file.sha1
    ? { kind: "kept" }
    : { kind: "collided" };
}

/** A damaged prior map costs space, not the copy. */
async function priorMapOf({ target }: CopyFile, to: Repository): Promise<BlockMap | null> {
  const source = target.block?.prior?.source;
  return source === undefined ? null : nullOn(loadBlockMap(to, source), "format", "crypto", "checksum", "fileMissing");
}

function contentOf(from: Repository, { source, sizeBytes }: CopyFile): ByteStream {
  if (source.kind === "blocks") return blocksInOrder(from, source.blocks, sizeBytes);
  return limited(unpackStored(readStored(from.storage, source.path, source.range ?? undefined), source), sizeBytes);
}

/** Neighbours in a bundle of the source are read together; their content is small. */
async function bundledContents(from: Repository, files: readonly CopyFile[]): Promise<Map<CopyFile, () => ByteStream>> {
  const contents = new Map<CopyFile, () => ByteStream>();
  const extents = new Map<string, (Extent & { readonly file: CopyFile; readonly packing: Packing })[]>();
  for (const file of files) {
    const { source } = file;
    if (source.kind !== "stored" || source.range?.sizeBytes === undefined || files.length === 1) continue;
    const extent = { offsetBytes: source.range.offsetBytes, sizeBytes: source.range.sizeBytes, file, packing: source };
    extents.set(source.path, [...(extents.get(source.path) ?? []), extent]);
  }
  for (const [path, list] of extents) {
    for await (const { extent, bytes } of readExtents(from.storage, path, list)) {
      const { file, packing } = extent;
      // Unpacked on demand: the packed form takes less memory.
      contents.set(file, () => streamOf(unpackSmall(bytes, packing, file.sizeBytes)));
    }
  }
  return contents;
}

function unpackSmall(stored: Uint8Array, { cipherPass, compressType, raw }: Packing, sizeBytes: number): Uint8Array {
  const packed = cipherPass === null ? stored : raw ? openRaw(stored, cipherPass) : decryptBytes(stored, cipherPass);
  return decompressBytes(packed, compressType, sizeBytes, raw);
}

/** @throws checksum (26) */
function requireContent(file: CopyFile, sizeBytes: number, sha1: string, from: Repository): void {
  if (sizeBytes === file.sizeBytes && (sha1 === file.sha1 || sizeBytes === 0)) return;
  throw fail(
    "checksum",
    `'${file.name}' of ${from.name} has checksum ${sha1} (${sizeBytes} bytes), its manifest says ${file.sha1} (${file.sizeBytes} bytes)`,
    { hint: "Run verify: another repository may have a good copy.", repoIndex: from.key },
  );
}
