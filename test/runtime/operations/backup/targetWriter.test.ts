import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { EMPTY_BYTES, utf8 } from "../../../../runtime/base/bytes";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { decryptBytes, Encryptor } from "../../../../runtime/format/codec/cipher";
import { TargetWriter } from "../../../../runtime/operations/backup/targetWriter";
import { PosixStorage } from "../../../../runtime/storage/posix";
import type { Storage } from "../../../../runtime/storage/storage";
import { FaultyStorage } from "../../../harness/faults";
import { temporaryFolder } from "../../repository/support";

const MIB = 1024 * 1024;
const signal = new AbortController().signal;

function posix(): { readonly root: string; readonly storage: PosixStorage } {
  const root = temporaryFolder();
  return { root, storage: new PosixStorage({ root, syncDirectories: true, symlinks: true, signal }) };
}

/** The same directory through streams, like an object store. */
function streamed(): { readonly root: string; readonly storage: FaultyStorage } {
  const { root, storage } = posix();
  return { root, storage: new FaultyStorage(storage) };
}

const open = (storage: Storage, encryptor: Encryptor | null = null): Promise<TargetWriter> =>
  TargetWriter.open({ storage, path: "backup/x", repoKey: 2 }, encryptor);

/** Pieces in one reused buffer. */
async function feed(writer: TargetWriter, count: number): Promise<Buffer> {
  const buffer = Buffer.alloc(100_000);
  const parts: Buffer[] = [];
  for (let no = 0; no < count && writer.alive; no++) {
    buffer.fill(no % 251);
    parts.push(Buffer.from(buffer));
    writer.write(buffer);
    await writer.room();
    buffer.fill(0xff);
  }
  return Buffer.concat(parts);
}

describe.each([
  ["directory", posix],
  ["stream", streamed],
])("a target that is a %s", (_, make) => {
  it("stores all pieces, although their buffer is reused", async () => {
    const { root, storage } = make();
    const writer = await open(storage);
    const content = await feed(writer, 120);
    expect(await writer.finish()).toEqual({ sizeBytes: content.length, sha1: sha1Hex(content) });
    expect(readFileSync(join(root, "backup/x")).equals(content)).toBe(true);
  });

  it("encrypts separately and measures the stored bytes", async () => {
    const { root, storage } = make();
    const writer = await open(storage, new Encryptor("pass", Buffer.alloc(8, 7)));
    const content = await feed(writer, 30);
    const measure = await writer.finish();
    const stored = readFileSync(join(root, "backup/x"));
    expect(measure).toEqual({ sizeBytes: stored.length, sha1: sha1Hex(stored) });
    expect(Buffer.from(decryptBytes(stored, "pass")).equals(content)).toBe(true);
  });

  it("stores a file without a piece", async () => {
    const { root, storage } = make();
    expect(await (await open(storage)).finish()).toEqual({ sizeBytes: 0, sha1: sha1Hex(EMPTY_BYTES) });
    expect(readFileSync(join(root, "backup/x"))).toHaveLength(0);
  });

  it("leaves nothing behind when the source fails", async () => {
    const { root, storage } = make();
    const writer = await open(storage);
    await feed(writer, 3);
    await writer.abandon(fail("fileRead", "disk broke"));
    expect(writer.alive).toBe(false);
    expect(existsSync(join(root, "backup/x"))).toBe(false);
    await expect(writer.finish()).rejects.toThrow("disk broke");
  });
});

describe("a target that fails", () => {
  it("at its opening takes pieces and fails at the end", async () => {
    const { storage } = posix();
    await storage.put("backup", utf8("a file in the way"));
    const writer = await open(storage);
    expect(writer.alive).toBe(false);
    await feed(writer, 2);
    await expect(writer.finish()).rejects.toMatchObject({ kind: "fileOpen" });
  });

  it("in the middle of an upload lets the source continue at once", async () => {
    const { storage } = streamed();
    storage.plan("putStream", { kind: "break", sizeBytes: MIB, error: fail("hostConnect", "store is gone") });
    const writer = await open(storage);
    const content = await feed(writer, 500);
    expect(content.length).toBeLessThan(20 * MIB);
    await expect(writer.finish()).rejects.toMatchObject({ kind: "hostConnect" });
  });

  it("never starts an upload over, because its source cannot be read again", async () => {
    const { storage } = posix();
    const twice: Storage = Object.assign(new FaultyStorage(storage), {
      putStream: async (_path: string, openSource: () => AsyncIterable<Uint8Array>) => {
        for await (const _chunk of openSource()) break;
        openSource();
      },
    });
    const writer = await open(twice);
    await feed(writer, 3);
    await expect(writer.finish()).rejects.toMatchObject({ kind: "service", message: "repo2: upload of 'backup/x' could not be started over" });
  });

  it("slows the source down to its pace", async () => {
    const { storage } = posix();
    let go: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    let taken = 0;
    const slow: Storage = Object.assign(new FaultyStorage(storage), {
      putStream: async (_path: string, openSource: () => AsyncIterable<Uint8Array>) => {
        await gate;
        for await (const chunk of openSource()) taken += chunk.length;
      },
    });
    const writer = await open(slow);
    let fed = 0;
    const feeding = (async () => {
      for (; fed < 100; fed++) {
        writer.write(Buffer.alloc(100_000));
        await writer.room();
      }
    })();
    await expect.poll(() => fed, { timeout: 10_000 }).toBe(41);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(fed).toBe(41);
    go();
    await feeding;
    await writer.finish();
    expect(taken).toBe(10_000_000);
  });
});
