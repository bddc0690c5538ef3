/**
 * Fetches pages of a file that is stored in blocks: only the super blocks that hold them, from whatever backups of the
 * chain the map names. Each block is compared with its checksum in the map before any page of it is kept.
 *
 * A super block is fetched once, however many ask for pages of it. Neighbouring ones come by one request, whose body
 * waits in the network: memory holds one super block of each request.
 */
import { fail } from "../../../base/errors";
import { mapParallel } from "../../../base/parallel";
import { loadBlockHash } from "../../../format/codec/xxh3";
import type { BlockSource } from "../../../format/repository/blockSource";
import { type FileBlocks, piecesOf, readPiece, type WantedSuperBlock } from "../../../repository/blockReader";
import type { Repository } from "../../../repository/repository";
import { DAMAGED_COPY_HINT } from "../../shared/readStored";
import type { IndexedMap } from "./indexedMap";
import { PAGE_BYTES, type PageRun } from "../pageSet";
import type { Origin, StoredFile } from "../storedFile";

/** Content of one request. */
const PIECE_BYTES_MAX = 8 * 1024 * 1024;
/** Requests of one fetch at a time. */
const PIECES_AT_ONCE = 4;

interface Fetching {
  readonly file: StoredFile;
  readonly origin: Origin;
  readonly runs: readonly PageRun[];
}

/**
 * What others fetch is waited for, and may be missing if they fail: then this is to be called again.
 * @throws checksum, naming file, block and repository; fileMissing, format, crypto
 */
export async function fetchBlocks(
  repo: Repository,
  source: BlockSource,
  map: IndexedMap,
  fetching: Fetching,
): Promise<void> {
  if (!isWholePages(source)) return fetchParts(repo, source, map, fetching);
  const { blockSizeBytes } = source;
  const { file, origin, runs } = fetching;
  const isMissing = (block: number): boolean => {
    const end = Math.min((block + 1) * blockSizeBytes, origin.row.sizeBytes);
    return !origin.pages.hasAll((block * blockSizeBytes) / PAGE_BYTES, Math.ceil(end / PAGE_BYTES) - 1);
  };
  const others: Promise<void>[] = [];
  const own = new Map<WantedSuperBlock, () => void>();
  for (const number of map.superBlocksIn(runs)) {
    const other = map.inFlight.get(number);
    if (other !== undefined) {
      others.push(other);
      continue;
    }
    const wanted = map.wanted(number, isMissing);
    if (wanted.blocks.length === 0) continue;
    const inFlight = new Promise<void>((resolve) => {
      own.set(wanted, () => {
        map.inFlight.delete(number);
        resolve();
      });
    });
    map.inFlight.set(number, inFlight);
  }
  const keep = (begin: number, bytes: Uint8Array): void => file.fill(origin, begin, bytes);
  const end = (wanted: WantedSuperBlock): void => own.get(wanted)?.();
  try {
    await readVerified(repo, source, map, { wanted: own.keys(), sizeBytes: origin.row.sizeBytes, keep, end });
  } finally {
    for (const ended of own.values()) ended();
  }
  await Promise.all(others);
}

/** Whether pages need no memory of their own, and the super blocks of a file are fetched once. */
export function isWholePages({ blockSizeBytes }: Pick<BlockSource, "blockSizeBytes">): boolean {
  return blockSizeBytes % PAGE_BYTES === 0;
}

/** Pages that begin and end inside blocks. */
async function fetchParts(
  repo: Repository,
  source: BlockSource,
  map: IndexedMap,
  { file, origin, runs }: Fetching,
): Promise<void> {
  const missing = map.pagesAlong(runs).flatMap(([first, last]) => origin.pages.missingRuns(first, last));
  const spans = missing.map((run) => map.blocksIn(run));
  const isWanted = (block: number): boolean => spans.some(([begin, end]) => begin <= block && block < end);
  const wanted = [...map.superBlocksIn(missing)].map((number) => map.wanted(number, isWanted));
  const parts = missing.map(([first, last]) => {
    const begin = first * PAGE_BYTES;
    return { begin, bytes: Buffer.allocUnsafe(Math.min((last + 1) * PAGE_BYTES, origin.row.sizeBytes) - begin) };
  });
  const keep = (begin: number, bytes: Uint8Array): void => {
    for (const part of parts)
      if (part.begin < begin + bytes.length && begin < part.begin + part.bytes.length) copyInto(part, bytes, begin);
  };
  await readVerified(repo, source, map, { wanted, sizeBytes: origin.row.sizeBytes, keep, end: () => {} });
  for (const { begin, bytes } of parts) file.fill(origin, begin, bytes);
}

interface Reading {
  readonly wanted: Iterable<WantedSuperBlock>;
  /** Size of the file. */
  readonly sizeBytes: number;
  /** Takes adjacent blocks, once each of them has proved right. */
  readonly keep: (begin: number, bytes: Uint8Array) => void;
  /** All wanted blocks of a super block were kept. */
  readonly end: (wanted: WantedSuperBlock) => void;
}

async function readVerified(
  repo: Repository,
  source: BlockSource,
  map: IndexedMap,
  { end, keep, sizeBytes, wanted }: Reading,
): Promise<void> {
  const { blockSizeBytes, checksumSizeBytes, mapPath: path, name } = source;
  const hash = await loadBlockHash();
  const visit = ({ block, bytes, count }: FileBlocks): void => {
    const expectedBytes = Math.min((block + count) * blockSizeBytes, sizeBytes) - block * blockSizeBytes;
    const own = hash.hashBlocks(bytes, blockSizeBytes, checksumSizeBytes);
    const right = map.checksums.subarray(block * checksumSizeBytes, (block + count) * checksumSizeBytes);
    const wrong = own.findIndex((byte, at) => byte !== right[at]);
    if (wrong >= 0 || bytes.length !== expectedBytes) {
      const wrongBlock = block + (wrong >= 0 ? Math.floor(wrong / checksumSizeBytes) : count - 1);
      throw fail("checksum", `block ${wrongBlock} of '${name}' in ${repo.name} has a wrong checksum`, {
        hint: DAMAGED_COPY_HINT,
        repoIndex: repo.key,
        path,
      });
    }
    keep(block * blockSizeBytes, bytes);
  };
  const pieces = piecesOf(wanted, PIECE_BYTES_MAX);
  await mapParallel(pieces, PIECES_AT_ONCE, (piece) => readPiece(repo, source, map.held, piece, visit, end));
}

function copyInto(part: { readonly begin: number; readonly bytes: Buffer }, content: Uint8Array, begin: number): void {
  const from = Math.max(0, part.begin - begin);
  part.bytes.set(content.subarray(from, part.begin + part.bytes.length - begin), begin + from - part.begin);
}
