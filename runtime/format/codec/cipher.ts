/**
 * The encryption envelope: `Salted__`, 8 bytes of salt, AES-256-CBC with PKCS#7 padding;
 * `openssl enc -aes-256-cbc -md sha1` reads it.
 *
 * Key and IV come from EVP_BytesToKey with SHA-1 and one iteration over passphrase (its bytes, which may be no UTF-8)
 * and salt. The raw envelope omits the 8 magic bytes. Errors: crypto (95) with stock's texts, format (29) for files of
 * repository format 6. (pgBackRest 2.60 "common/crypto/cipherBlock"; OpenSSL EVP_BytesToKey.)
 */
import { type Cipheriv, createCipheriv, createDecipheriv, createHash, type Decipheriv } from "node:crypto";
import { type ByteStream, concatBytes, freeMemory, utf8 } from "../../base/bytes";
import { assert, type BackupError, fail } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import type { Codec } from "./codec";

export const SALT_SIZE_BYTES = 8;

const MAGIC = Buffer.from("Salted__", "latin1");
const FORMAT_6_MAGIC = /^PGBR006/;
const ALGORITHM = "aes-256-cbc";
const KEY_SIZE_BYTES = 32;
const IV_SIZE_BYTES = 16;
const BLOCK_SIZE_BYTES = 16;
const PASS_HINT = "Is this the right passphrase for this repository and stanza? Is the repository encrypted at all?";

/** `salt` must be 8 fresh random bytes for each stream. */
export async function* encrypt(source: ByteStream, pass: string, salt: Uint8Array, raw = false): ByteStream {
  const encryptor = new Encryptor(pass, salt, raw);
  for await (const chunk of source) yield* encryptor.update(chunk);
  yield* encryptor.finish();
}

/** @throws crypto for a missing or broken header or wrong padding, format for a file of repository format 6. */
export async function* decrypt(source: ByteStream, pass: string, raw = false): ByteStream {
  const decryptor = new Decryptor(pass, raw);
  for await (const chunk of source) yield* decryptor.update(chunk);
  yield* decryptor.finish();
}

/** {@link encrypt} chunk by chunk. Its pieces stay valid. */
export class Encryptor implements Codec {
  readonly #cipher: Cipheriv;
  #head: Uint8Array | null;

  constructor(pass: string, salt: Uint8Array, raw = false) {
    this.#cipher = createCipher(pass, salt);
    this.#head = envelopeHead(salt, raw);
  }

  *update(chunk: Uint8Array): Iterable<Uint8Array> {
    yield* this.#begin();
    yield* transformed(this.#cipher, chunk);
  }

  *finish(): Iterable<Uint8Array> {
    yield* this.#begin();
    yield this.#cipher.final();
  }

  close(): void {
    // Nothing to close: OpenSSL's context is freed with the object.
  }

  *#begin(): Iterable<Uint8Array> {
    if (this.#head !== null) yield this.#head;
    this.#head = null;
  }
}

/** {@link decrypt} chunk by chunk. Its pieces stay valid. */
export class Decryptor implements Codec {
  readonly #pass: string;
  readonly #raw: boolean;
  /** The bytes of the header so far. */
  #head: Uint8Array = new Uint8Array(0);
  #decipher: Decipheriv | undefined;

  constructor(pass: string, raw = false) {
    this.#pass = pass;
    this.#raw = raw;
  }

  *update(chunk: Uint8Array): Iterable<Uint8Array> {
    if (this.#decipher !== undefined) return yield* transformed(this.#decipher, chunk);
    this.#head = concatBytes([this.#head, chunk]);
    const headSize = headSizeBytes(this.#raw);
    if (this.#head.length < headSize) return;
    this.#decipher = createDecipher(this.#head, this.#pass, this.#raw);
    yield* transformed(this.#decipher, this.#head.subarray(headSize));
    this.#head = new Uint8Array(0);
  }

  *finish(): Iterable<Uint8Array> {
    if (this.#decipher === undefined) throw headMissing(this.#head);
    const last = finish(this.#decipher);
    if (last.length > 0) yield last;
  }

  close(): void {
    // Nothing to close: OpenSSL's context is freed with the object.
  }
}

export function encryptBytes(bytes: Uint8Array, pass: string, salt: Uint8Array, raw = false): Uint8Array {
  const cipher = createCipher(pass, salt);
  const body = cipher.update(bytes);
  const sealed = concatBytes([envelopeHead(salt, raw), body, cipher.final()]);
  freeMemory(body);
  return sealed;
}

export function decryptBytes(bytes: Uint8Array, pass: string, raw = false): Uint8Array {
  const headSize = headSizeBytes(raw);
  if (bytes.length < headSize) throw headMissing(bytes);
  const decipher = createDecipher(bytes, pass, raw);
  return concatBytes([decipher.update(bytes.subarray(headSize)), finish(decipher)]);
}

/**
 * Decrypts a middle part of an envelope's content. In CBC a block depends only on the stored block before it, so that
 * nothing earlier is needed.
 */
export class PartDecryptor {
  readonly #key: Uint8Array;
  readonly #iv: Uint8Array;

  /** @param head the first {@link PartDecryptor.headSizeBytes} of the envelope @throws crypto, format */
  constructor(head: Uint8Array, pass: string, raw: boolean) {
    const { key, iv } = keyOf(head, pass, raw);
    this.#key = key;
    this.#iv = iv;
  }

  static headSizeBytes(raw: boolean): number {
    return headSizeBytes(raw);
  }

  /** The stored bytes that {@link decrypt} needs for this part, counted from the end of the head. */
  static storedPart(beginBytes: number, endBytes: number): { readonly beginBytes: number; readonly endBytes: number } {
    const first = Math.floor(beginBytes / BLOCK_SIZE_BYTES) - 1;
    return {
      beginBytes: Math.max(first, 0) * BLOCK_SIZE_BYTES,
      endBytes: Math.ceil(endBytes / BLOCK_SIZE_BYTES) * BLOCK_SIZE_BYTES,
    };
  }

  /** The content from `beginBytes` on, with the padding if the part has the last block. */
  decrypt(stored: Uint8Array, beginBytes: number): Uint8Array {
    const isFirst = beginBytes < BLOCK_SIZE_BYTES;
    const iv = isFirst ? this.#iv : stored.subarray(0, BLOCK_SIZE_BYTES);
    const decipher = createDecipheriv(ALGORITHM, this.#key, iv).setAutoPadding(false);
    const blocks = decipher.update(isFirst ? stored : stored.subarray(BLOCK_SIZE_BYTES));
    return concatBytes([blocks, finish(decipher)]).subarray(beginBytes % BLOCK_SIZE_BYTES);
  }
}

function createCipher(pass: string, salt: Uint8Array): Cipheriv {
  assert(salt.length === SALT_SIZE_BYTES, `salt has ${salt.length} bytes instead of ${SALT_SIZE_BYTES}`);
  const { key, iv } = deriveKey(pass, salt);
  return createCipheriv(ALGORITHM, key, iv);
}

function createDecipher(head: Uint8Array, pass: string, raw: boolean): Decipheriv {
  const { key, iv } = keyOf(head, pass, raw);
  return createDecipheriv(ALGORITHM, key, iv);
}

/** @param head begins with an envelope's head */
function keyOf(head: Uint8Array, pass: string, raw: boolean): ReturnType<typeof deriveKey> {
  if (!raw) checkMagic(head);
  const headSize = headSizeBytes(raw);
  return deriveKey(pass, head.subarray(headSize - SALT_SIZE_BYTES, headSize));
}

function deriveKey(pass: string, salt: Uint8Array): { key: Uint8Array; iv: Uint8Array } {
  assert(pass !== "", "the passphrase is empty");
  const digests: Uint8Array[] = [];
  let previous: Uint8Array = new Uint8Array(0);
  for (let round = 0; round < 3; round++) {
    previous = createHash("sha1").update(previous).update(utf8(pass)).update(salt).digest();
    digests.push(previous);
  }
  const material = concatBytes(digests);
  return {
    key: material.subarray(0, KEY_SIZE_BYTES),
    iv: material.subarray(KEY_SIZE_BYTES, KEY_SIZE_BYTES + IV_SIZE_BYTES),
  };
}

function headSizeBytes(raw: boolean): number {
  return raw ? SALT_SIZE_BYTES : MAGIC.length + SALT_SIZE_BYTES;
}

function envelopeHead(salt: Uint8Array, raw: boolean): Uint8Array {
  return raw ? salt : concatBytes([MAGIC, salt]);
}

function checkMagic(head: Uint8Array): void {
  const magic = Buffer.from(head.buffer, head.byteOffset, MAGIC.length);
  if (magic.equals(MAGIC)) return;
  if (FORMAT_6_MAGIC.test(magic.toString("latin1"))) {
    throw fail("format", "expected format 5 but found 6", {
      hint: "This file belongs to a repository of format 6, a hidden option of pgBackRest 2.60, which pgbackstop cannot read.",
    });
  }
  throw fail("crypto", "cipher header invalid", { hint: PASS_HINT });
}

function headMissing(head: Uint8Array): BackupError {
  return fail("crypto", `cipher header missing: ${head.length} bytes are too few`, { hint: PASS_HINT });
}

/** In pieces of at most one chunk, so that a large input makes no large output. */
function* transformed(cipher: Cipheriv | Decipheriv, chunk: Uint8Array): Iterable<Uint8Array> {
  for (let begin = 0; begin < chunk.length; begin += LIMITS.chunkSizeBytes) {
    const piece = cipher.update(
      chunk.length <= LIMITS.chunkSizeBytes ? chunk : chunk.subarray(begin, begin + LIMITS.chunkSizeBytes),
    );
    if (piece.length > 0) yield piece;
  }
}

function finish(decipher: Decipheriv): Uint8Array {
  try {
    return decipher.final();
  } catch (cause) {
    throw wrongPassphrase(cause);
  }
}

/** The error of a wrong passphrase: invalid padding, or once in 256 times valid padding after noise. */
export function wrongPassphrase(cause?: unknown): BackupError {
  return fail("crypto", "unable to flush: wrong passphrase, or the content is damaged or cut short", {
    cause,
    hint: PASS_HINT,
  });
}
