/**
 * One repository of one stanza: a storage, its keys, and its compression and encryption.
 *
 * Path rules are in `format/repository/repoPath`, byte rules in `format/*`; this room joins them with a storage driver.
 * It fixes the write order: data, then manifests, then info files (main before copy), as in stock ("pgbackrest-format"
 * 2 and 15); readers accept either copy.
 */
import { basename } from "node:path";
import { type ByteStream, collect, freeMemory } from "../base/bytes";
import type { Context } from "../base/context";
import { fail, nullOn } from "../base/errors";
import { LIMITS } from "../base/limits";
import type { BlockSettings } from "../format/repository/blockSize";
import { decrypt, Encryptor, encryptBytes, SALT_SIZE_BYTES } from "../format/codec/cipher";
import { type CompressSpec, type CompressType, decompress } from "../format/codec/compress";
import type { ObjectInfo, Storage } from "../storage/storage";
import type { Retention } from "./retention";

/** Small files are stored together. */
export interface BundleSpec {
  /** A bundle is full at this size of original content. */
  readonly sizeBytes: number;
  /** The largest file to bundle. */
  readonly limitBytes: number;
}

export interface Repository {
  /** 1 for `repo1-…`. */
  readonly key: number;
  readonly name: string;
  readonly storage: Storage;
  /** In a server, for work that `limitRate` holds back; absent without a limit. */
  readonly limitedStorage?: Storage;
  readonly stanza: string;
  readonly cipherType: "none" | "aes-256-cbc";
  /** Opens archive.info and backup.info; all other files have their own keys. Null without encryption. */
  readonly cipherPass: string | null;
  /** Compression of files written here. */
  readonly compress: CompressSpec;
  /** How new backups are bundled; null without bundles. */
  readonly bundle: BundleSpec | null;
  /** How new full backups store changed files in blocks; null stores whole files. */
  readonly block: BlockSettings | null;
  /** Hard-links unchanged files into each backup's directory, if the storage can. */
  readonly hardLinks: boolean;
  /** Which backups and WAL its next expire keeps; absent keeps all. */
  readonly retention?: Retention;
  /** A `latest` link next to the backups, if the storage has links. */
  readonly latestLink: boolean;
}

/** The same repositories for work that `limitRate` holds back. */
export function underLimit(repos: readonly Repository[]): readonly Repository[] {
  return repos.map((repo) => (repo.limitedStorage === undefined ? repo : { ...repo, storage: repo.limitedStorage }));
}

/** Names of the wanted entries directly below a path, ascending. */
export async function listNames(
  { storage }: Pick<Repository, "storage">,
  path: string,
  isWanted: (name: string, type: ObjectInfo["type"]) => boolean,
): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of storage.list(path, { namesOnly: true })) {
    const name = basename(entry.path);
    if (isWanted(name, entry.type)) names.push(name);
  }
  return names.sort();
}

/** The whole plain content of a small file. @throws fileMissing, crypto, fileInvalid when it is larger */
export async function readFile(
  repo: Repository,
  path: string,
  pass: string | null,
  limitBytes: number = LIMITS.infoFileSizeBytesMax,
): Promise<Uint8Array> {
  return collect(await openFile(repo, path, pass), limitBytes);
}

/** The plain content as a stream; a null `pass` reads the stored bytes. @throws fileMissing, crypto */
export async function openFile(repo: Repository, path: string, pass: string | null): Promise<ByteStream> {
  const stored = await repo.storage.read(path);
  return pass === null ? stored : decrypt(stored, pass);
}

/** Larger manifests are encrypted in pieces, so that memory does not hold both forms. */
const SEALED_WHOLE_SIZE_BYTES_MAX = 16 * 1024 * 1024;

/** Writes a file atomically, encrypted when `pass` is given. */
export async function writeFile(
  repo: Repository,
  path: string,
  plain: Uint8Array,
  pass: string | null,
  ctx: Pick<Context, "random">,
): Promise<void> {
  if (pass === null || plain.length <= SEALED_WHOLE_SIZE_BYTES_MAX)
    return repo.storage.put(path, seal(plain, pass, ctx));
  await writeParts(repo, path, () => piecesOf(plain), pass, ctx);
}

/**
 * Reads what was just written: the answer of a storage alone is no proof.
 * @throws fileMissing (55) when the file is gone or has other content
 */
export async function requireContent(
  repo: Repository,
  path: string,
  plain: Uint8Array,
  pass: string | null,
): Promise<void> {
  const stored = await nullOn(readFile(repo, path, pass), "crypto", "fileInvalid", "fileMissing");
  if (stored !== null && Buffer.compare(stored, plain) === 0) return;
  throw fail("fileMissing", `'${path}' was written to ${repo.name} and is now missing or has other content`, {
    hint: "Another process has removed or replaced it, or the storage did not store it. Run the command again.",
    repoIndex: repo.key,
    path,
  });
}

/**
 * {@link writeFile} for a small file that still has `version`, or does not exist if that is null; false when another
 * process was faster. Without conditions in the storage it is an ordinary write.
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

/** Like {@link writeFile}, with parts that are rendered during the write, and again if the storage starts over. */
export async function writeParts(
  repo: Repository,
  path: string,
  open: () => ByteStream | Iterable<Uint8Array>,
  pass: string | null,
  ctx: Pick<Context, "random">,
): Promise<void> {
  await repo.storage.putStream(path, () => sealInParts(open(), pass, ctx));
}

function* piecesOf(plain: Uint8Array): Iterable<Uint8Array> {
  for (let begin = 0; begin < plain.length; begin += LIMITS.chunkSizeBytes)
    yield plain.subarray(begin, begin + LIMITS.chunkSizeBytes);
}

async function* sealInParts(
  plain: ByteStream | Iterable<Uint8Array>,
  pass: string | null,
  ctx: Pick<Context, "random">,
): ByteStream {
  if (pass === null) return yield* plain;
  const encryptor = new Encryptor(pass, ctx.random.bytes(SALT_SIZE_BYTES));
  for await (const part of plain) {
    yield* encryptor.update(part);
    freeMemory(part);
  }
  yield* encryptor.finish();
}

/** The stored form of `plain`: itself, or encrypted with a fresh salt. */
export function seal(plain: Uint8Array, pass: string | null, ctx: Pick<Context, "random">): Uint8Array {
  return pass === null ? plain : encryptBytes(plain, pass, ctx.random.bytes(8));
}

/** How to unpack stored bytes. */
export interface Packing {
  readonly cipherPass: string | null;
  readonly compressType: CompressType;
  /** Raw forms of compression and encryption, as in bundles of block incremental repositories. */
  readonly raw: boolean;
}

/** Decrypts and decompresses stored bytes. @throws crypto, format */
export function unpack(stored: ByteStream, { cipherPass, compressType, raw }: Packing): ByteStream {
  const packed = cipherPass === null ? stored : decrypt(stored, cipherPass, raw);
  return compressType === "none" ? packed : decompress(packed, compressType, raw);
}

/** A new sub-passphrase: the base64 text of 48 random bytes ("pgbackrest-format" 4.1). */
export function newSubPass(ctx: Pick<Context, "random">): string {
  return Buffer.from(ctx.random.bytes(48)).toString("base64");
}
