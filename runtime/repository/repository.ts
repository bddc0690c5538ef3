/**
 * One repository of one stanza: a storage, the keys that open it, and how what is written to it is compressed and encrypted.
 *
 * Path rules are in `format/repository/repoPath`, byte rules in `format/*`; this room joins them with a storage driver. Write order is a rule of this
 * room: data, then manifests, then info files (main before copy), as stock does ("pgbackrest-format" 2 and 15); readers accept either copy.
 */
import { type ByteStream, collect, EMPTY_BYTES, streamOf } from "../base/bytes";
import type { Context } from "../base/context";
import { LIMITS } from "../base/limits";
import type { BlockSettings } from "../format/repository/blockSize";
import { decrypt, Encryptor, encryptBytes, SALT_SIZE_BYTES } from "../format/codec/cipher";
import { type CompressSpec, type CompressType, decompress } from "../format/codec/compress";
import type { Storage } from "../storage/storage";

/** Small files are stored together. */
export interface BundleSpec {
  /** A bundle with this much original content is full. */
  readonly sizeBytes: number;
  /** The largest file that goes into a bundle. */
  readonly limitBytes: number;
}

export interface Repository {
  /** 1 for `repo1-…`. */
  readonly key: number;
  readonly name: string;
  readonly storage: Storage;
  readonly stanza: string;
  readonly cipherType: "none" | "aes-256-cbc";
  /** Opens archive.info and backup.info; everything below has keys of its own. Null without encryption. */
  readonly cipherPass: string | null;
  /** Compression of what is written here. */
  readonly compress: CompressSpec;
  /** How new backups are bundled; null when they are not. */
  readonly bundle: BundleSpec | null;
  /** How new full backups store changed files block by block; null when files are stored whole. */
  readonly block: BlockSettings | null;
  /** Files that a backup leaves where they are get a name in its own directory too, where the storage can. */
  readonly hardLinks: boolean;
  /** A `latest` link beside the backups, where the storage has links. */
  readonly latestLink: boolean;
}

/** The whole plain content of a small file. @throws fileMissing, crypto */
export async function readFile(repo: Repository, path: string, pass: string | null): Promise<Uint8Array> {
  return collect(await openFile(repo, path, pass), LIMITS.wholeFileSizeBytesMax);
}

/** The plain content as a stream; `pass` null reads it as it is. @throws fileMissing, crypto */
export async function openFile(repo: Repository, path: string, pass: string | null): Promise<ByteStream> {
  const stored = await repo.storage.read(path);
  return pass === null ? stored : decrypt(stored, pass);
}

/** Encrypted manifests of hundreds of thousands of files go out in pieces, so that their encryption does not stand in memory beside them. */
const SEALED_WHOLE_SIZE_BYTES_MAX = 16 * 1024 * 1024;

/** Writes a file atomically, encrypted when `pass` is given. */
export async function writeFile(repo: Repository, path: string, plain: Uint8Array, pass: string | null, ctx: Pick<Context, "random">): Promise<void> {
  if (pass === null || plain.length <= SEALED_WHOLE_SIZE_BYTES_MAX) return repo.storage.put(path, seal(plain, pass, ctx));
  await writeParts(repo, path, () => piecesOf(plain), pass, ctx);
}

/**
 * {@link writeFile} of a small file that still has `version`, or, when null, is not there yet; false when another process was faster. Where the storage
 * has no conditions it is an ordinary write.
 */
export async function replaceFile(
  repo: Repository,
  path: string,
  plain: Uint8Array,
  { version, pass }: { readonly version: string | null; readonly pass: string | null },
  ctx: Pick<Context, "random">,
): Promise<boolean> {
  const { storage } = repo;
  const bytes = seal(plain, pass, ctx);
  if (storage.replace !== undefined && storage.create !== undefined) {
    return version === null ? storage.create(path, bytes) : storage.replace(path, bytes, version);
  }
  await storage.put(path, bytes);
  return true;
}

/** As {@link writeFile}, of parts that are made while they are written, and again when the storage begins anew. */
export async function writeParts(
  repo: Repository,
  path: string,
  open: () => Iterable<Uint8Array>,
  pass: string | null,
  ctx: Pick<Context, "random">,
): Promise<void> {
  await repo.storage.putStream(path, () => sealInParts(open(), pass, ctx));
}

function* piecesOf(plain: Uint8Array): Iterable<Uint8Array> {
  for (let begin = 0; begin < plain.length; begin += LIMITS.chunkSizeBytes) yield plain.subarray(begin, begin + LIMITS.chunkSizeBytes);
}

async function* sealInParts(plain: Iterable<Uint8Array>, pass: string | null, ctx: Pick<Context, "random">): ByteStream {
  if (pass === null) return yield* plain;
  const encryptor = new Encryptor(pass, ctx.random.bytes(SALT_SIZE_BYTES));
  for (const part of plain) yield* encryptor.update(part);
  yield* encryptor.finish();
}

/** What is stored for `plain`: itself, or its encryption with a fresh salt. */
export function seal(plain: Uint8Array, pass: string | null, ctx: Pick<Context, "random">): Uint8Array {
  return pass === null ? plain : encryptBytes(plain, pass, ctx.random.bytes(8));
}

/** How stored bytes become plain ones. */
export interface Packing {
  readonly cipherPass: string | null;
  readonly compressType: CompressType;
  /** Raw forms of compression and encryption, as in bundles of block incremental repositories. */
  readonly raw: boolean;
}

/** Decrypts and decompresses what was stored. @throws crypto, format */
export function unpack(stored: ByteStream, { cipherPass, compressType, raw }: Packing): ByteStream {
  const packed = cipherPass === null ? stored : decrypt(stored, cipherPass, raw);
  return compressType === "none" ? packed : decompress(packed, compressType, raw);
}

/** A stream of nothing, for empty files. */
export const emptyStream = (): ByteStream => streamOf(EMPTY_BYTES);

/** A new passphrase of the hierarchy: 48 random bytes in base64, whose text is the passphrase ("pgbackrest-format" 4.1). */
export function newSubPass(ctx: Pick<Context, "random">): string {
  return Buffer.from(ctx.random.bytes(48)).toString("base64");
}
