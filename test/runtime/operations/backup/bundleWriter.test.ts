import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { EMPTY_BYTES, utf8 } from "../../../../runtime/base/bytes";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { decryptBytes } from "../../../../runtime/format/codec/cipher";
import { BundleWriter, putWhole } from "../../../../runtime/operations/backup/bundleWriter";
import { groupTargets, OpenTarget, type TargetGroup } from "../../../../runtime/operations/backup/fileTargets";
import { type PartUpload, uploadParts } from "../../../../runtime/storage/objectStore/partUpload";
import { BodyHash } from "../../../../runtime/storage/objectStore/storeHttp";
import { PosixStorage } from "../../../../runtime/storage/posix";
import type { Storage } from "../../../../runtime/storage/storage";
import { FaultyStorage } from "../../../harness/network/faults";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

const MIB = 1024 * 1024;
const signal = new AbortController().signal;

function posix(): { readonly root: string; readonly storage: PosixStorage } {
  const root = temporaryFolder();
  return { root, storage: new PosixStorage({ root, syncDirectories: true, symlinks: true, signal }) };
}

/** The same storage, but with streams only, like an object store. */
function streamed(): { readonly root: string; readonly storage: FaultyStorage } {
  const { root, storage } = posix();
  return { root, storage: new FaultyStorage(storage) };
}

const ctx = testContext();

function open(storage: Storage, cipherPass: string | null = null): OpenTarget {
  const target = {
    repoIndex: 2,
    path: "backup/x",
    compress: { type: "none", level: 0 },
    cipherPass,
    bundleId: null,
    raw: false,
    block: null,
  } as const;
  return new OpenTarget(target, new BundleWriter({ key: 2, storage }, "backup/x"), null);
}

async function groupOf(target: OpenTarget): Promise<TargetGroup> {
  const [group] = await groupTargets([target], ctx);
  if (group === undefined) throw new Error("no group");
  return group;
}

/** Writes chunks from one reused buffer. */
async function feed(target: OpenTarget, count: number, sizeBytes = 100_000): Promise<Buffer> {
  const group = await groupOf(target);
  const buffer = Buffer.alloc(sizeBytes);
  const parts: Buffer[] = [];
  for (let no = 0; no < count && target.error === null; no++) {
    buffer.fill(no % 251);
    parts.push(Buffer.from(buffer));
    await group.write(buffer);
    buffer.fill(0xff);
  }
  await group.finish();
  return Buffer.concat(parts);
}

async function finish(target: OpenTarget): Promise<ReturnType<OpenTarget["stored"]>> {
  if (target.error !== null) throw target.error;
  await target.writer.finish();
  return target.stored();
}

describe.each([
  ["directory", posix],
  ["stream", streamed],
])("a target that is a %s", (_, make) => {
  it("stores all chunks, although their buffer is reused", async () => {
    const { root, storage } = make();
    const target = open(storage);
    const content = await feed(target, 120);
    expect(await finish(target)).toEqual({ sizeRepoBytes: content.length });
    expect(readFileSync(join(root, "backup/x")).equals(content)).toBe(true);
  });

  it("stores small chunks between large ones", async () => {
    const { root, storage } = make();
    const target = open(storage);
    const content = [await feed(target, 2, 300_000), await feed(target, 1, 10), await feed(target, 2, 300_000)];
    expect(await finish(target)).toEqual({ sizeRepoBytes: 1_200_010 });
    expect(readFileSync(join(root, "backup/x")).equals(Buffer.concat(content))).toBe(true);
  });

  it("encrypts separately and measures the stored bytes", async () => {
    const { root, storage } = make();
    const target = open(storage, "pass");
    const content = await feed(target, 30);
    const measure = await finish(target);
    const stored = readFileSync(join(root, "backup/x"));
    expect(measure).toEqual({ sizeRepoBytes: stored.length, sha1Repo: sha1Hex(stored) });
    expect(Buffer.from(decryptBytes(stored, "pass")).equals(content)).toBe(true);
  });

  it("frees what it encrypted at once", async () => {
    const { storage } = make();
    const target = open(storage, "pass");
    const appended = vi.spyOn(target, "append");
    await feed(target, 30);
    const sizes = appended.mock.calls.map(([bytes]) => bytes.length);
    // The head and the end of the envelope stay.
    expect(sizes.length).toBeGreaterThan(30);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(16);
  });

  it("stores a file without chunks", async () => {
    const { root, storage } = make();
    await putWhole(storage, "backup/x", EMPTY_BYTES);
    expect(readFileSync(join(root, "backup/x"))).toHaveLength(0);
  });

  it("leaves nothing behind when the source fails", async () => {
    const { root, storage } = make();
    const target = open(storage);
    await feed(target, 3);
    await target.fail(fail("fileRead", "disk broke"));
    expect(target.error).not.toBe(null);
    expect(existsSync(join(root, "backup/x"))).toBe(false);
    await expect(finish(target)).rejects.toThrow("disk broke");
  });
});

describe("a target that fails", () => {
  it("at its opening takes chunks and fails at the end", async () => {
    const { storage } = posix();
    await storage.put("backup", utf8("a file in the way"));
    const target = open(storage);
    await feed(target, 2);
    await expect(finish(target)).rejects.toMatchObject({ kind: "fileOpen" });
  });

  it("in the middle of an upload lets the source continue at once", async () => {
    const { storage } = streamed();
    storage.plan("putStream", { kind: "break", sizeBytes: MIB, error: fail("hostConnect", "store is gone") });
    const target = open(storage);
    const content = await feed(target, 500);
    expect(content.length).toBeLessThan(20 * MIB);
    await expect(finish(target)).rejects.toMatchObject({ kind: "hostConnect" });
  });

  it("never starts an upload over, because its source cannot be read again", async () => {
    const { storage } = posix();
    const twice: Storage = Object.assign(new FaultyStorage(storage), {
      putStream: async (_path: string, openSource: () => AsyncIterable<Uint8Array>) => {
        for await (const _chunk of openSource()) break;
        openSource();
      },
    });
    const target = open(twice);
    await feed(target, 3);
    await expect(finish(target)).rejects.toMatchObject({
      kind: "service",
      message: "repo2: upload of 'backup/x' could not be restarted",
    });
  });

  it("slows the source down to its pace, with one MiB in its queue and one that fills", async () => {
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
    const target = open(slow);
    let fed = 0;
    const feeding = (async () => {
      for (; fed < 100; fed++) {
        await target.append(Buffer.alloc(100_000));
      }
    })();
    await expect.poll(() => fed, { timeout: 10_000 }).toBe(10);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(fed).toBe(10);
    go();
    await feeding;
    await finish(target);
    expect(taken).toBe(10_000_000);
  });

  // claim: docs/kubernetes/restarts.md: what a backup holds for a repository in S3
  it("holds three parts of an upload and three MiB for a store that does not answer", async () => {
    const { storage } = posix();
    const part = 8 * MIB;
    const stop = new AbortController();
    const hung: Storage = Object.assign(new FaultyStorage(storage), {
      putStream: (path: string, openSource: () => AsyncIterable<Uint8Array>) =>
        uploadParts(hungUpload(path, part, stop.signal), openSource()),
    });
    const target = open(hung);
    let fed = 0;
    const feeding = (async () => {
      for (; fed < 64; fed++) await target.append(Buffer.alloc(MIB));
    })();
    await expect.poll(() => fed, { timeout: 10_000 }).toBeGreaterThan(20);
    await new Promise((resolve) => setTimeout(resolve, 100));
    // The last one waits.
    expect(fed + 1).toBeLessThanOrEqual(27);
    stop.abort();
    await feeding;
    await expect(finish(target)).rejects.toThrow();
  });
});

/** An upload whose parts get no answer. */
function hungUpload(path: string, partSizeBytes: number, stopped: AbortSignal): PartUpload<string> {
  const done = (): Promise<void> => Promise.resolve();
  const putPart = (): Promise<string> =>
    new Promise((_, reject) => stopped.addEventListener("abort", () => reject(stopped.reason)));
  const newHash = (): BodyHash => new BodyHash({ sendsMd5: false, sha256: false });
  const location = { path, name: path, repoIndex: 2, partSizeBytes, signal: stopped };
  return { location, partCountMax: 10_000, newHash, putWhole: done, begin: done, putPart, complete: done, abort: done };
}
