import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { ByteStream } from "../../../../runtime/base/bytes";
import { type BackupError, fail } from "../../../../runtime/base/errors";
import type { RepoResult } from "../../../../runtime/base/parallel";
import { decryptBytes } from "../../../../runtime/format/codec/cipher";
import { type DumpTarget, DumpWriter } from "../../../../runtime/operations/dump/dumpWriter";
import { testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { testLease } from "../../../harness/leases";
import { FaultyStorage } from "../../../harness/network/faults";
import { repository } from "../../repository/support";

const LABEL = "20261120-064059Z-1a2b3c4d";
const DIRECTORY = `pgbackstop/demo/dump/${LABEL}`;
const FULL = fail("fileWrite", "no space left");
const ctx = testContext();

function target(key: number, storage: MemoryStorage | FaultyStorage, more: Partial<DumpTarget> = {}) {
  const value: DumpTarget = { key, repo: repository(key, { storage }), lease: testLease(), cipherPass: null, ...more };
  return { repoIndex: key, ok: true, value } as const satisfies RepoResult<DumpTarget>;
}

function writer(opened: readonly RepoResult<DumpTarget>[], partSizeBytes = 1000): DumpWriter {
  return new DumpWriter(opened, { directory: LABEL, partSizeBytes }, ctx);
}

async function* chunks(count: number, end?: BackupError): ByteStream {
  for (let no = 0; no < count; no++) yield Buffer.alloc(100, no);
  if (end !== undefined) throw end;
}

const plain = (count: number): Buffer => Buffer.concat(Array.from({ length: count }, (_, no) => Buffer.alloc(100, no)));
const bytesOf = (storage: MemoryStorage, name: string): Uint8Array =>
  storage.files.get(`${DIRECTORY}/${name}`)?.bytes ?? new Uint8Array();

describe("the writer of a dump", () => {
  test("reads a stream once and stores it in every repository, encrypted where there is a passphrase", async () => {
    const [one, two] = [new MemoryStorage(), new MemoryStorage()];
    const written = await writer([target(1, one), target(2, two, { cipherPass: "pass" })]).write("a.dump", chunks(5));
    const sha256 = createHash("sha256").update(plain(5)).digest("hex");
    expect([...written]).toEqual([
      [1, { sizeBytes: 500, sha256, partSizesBytes: [500] }],
      [2, { sizeBytes: 500, sha256, partSizesBytes: [bytesOf(two, "a.dump").length] }],
    ]);
    expect(bytesOf(one, "a.dump")).toEqual(new Uint8Array(plain(5)));
    expect(decryptBytes(bytesOf(two, "a.dump"), "pass")).toEqual(plain(5));
  });

  // claim: docs/dumps.md: a dump of more than 16 GiB goes on in another file (parts of 300 bytes)
  test("goes on in a new file when one is large, and begins none without content", async () => {
    const storage = new MemoryStorage();
    const written = await writer([target(1, storage)], 300).write("a.dump", chunks(6));
    expect(written.get(1)).toMatchObject({ sizeBytes: 600, partSizesBytes: [300, 300] });
    expect(storage.paths()).toEqual([`${DIRECTORY}/a.dump`, `${DIRECTORY}/a.dump.2`]);
    expect(Buffer.concat([bytesOf(storage, "a.dump"), bytesOf(storage, "a.dump.2")])).toEqual(plain(6));
  });

  test("ends only the repository that fails, in the first write as in the last", async () => {
    for (const part of ["a.dump", "a.dump.2"]) {
      const [one, two] = [new FaultyStorage(new MemoryStorage()), new MemoryStorage()];
      one.plan("putStream", { kind: "error", error: FULL }, { path: new RegExp(`${part}$`) });
      const run = writer([target(1, one), target(2, two)], 300);
      expect([...(await run.write("a.dump", chunks(6))).keys()], part).toEqual([2]);
      expect(run.results(), part).toMatchObject([
        { repoIndex: 1, ok: false, error: { kind: "fileWrite" } },
        { repoIndex: 2, ok: true, value: LABEL },
      ]);
    }
  });

  test("gives no more bytes to a repository whose lease is lost", async () => {
    const [one, two] = [new MemoryStorage(), new MemoryStorage()];
    const lease = testLease();
    const run = writer([target(1, one, { lease }), target(2, two)]);
    const losing = async function* (): ByteStream {
      for await (const chunk of chunks(4)) {
        yield chunk;
        lease.isLost = true;
      }
    };
    await run.write("a.dump", losing());
    expect(run.results()).toMatchObject([{ ok: false, error: { kind: "lockAcquire" } }, { ok: true }]);
    expect(one.paths()).toEqual([]);
    expect(bytesOf(two, "a.dump")).toHaveLength(400);
  });

  test("ends when no repository is left, and then ends the program", async () => {
    const storage = new FaultyStorage(new MemoryStorage());
    storage.plan("putStream", { kind: "error", error: FULL });
    let isEnded = false;
    const endless = async function* (): ByteStream {
      try {
        for (;;) yield* chunks(10);
      } finally {
        isEnded = true;
      }
    };
    await expect(writer([target(1, storage)], 300).write("a.dump", endless())).rejects.toMatchObject(FULL);
    expect(isEnded).toBe(true);
  });

  test("stores nothing of a stream that fails", async () => {
    const storage = new MemoryStorage();
    const run = writer([target(1, storage)]);
    const failed = fail("execute", "'pg_dump' was ended by a signal");
    await expect(run.write("a.dump", chunks(4, failed))).rejects.toBe(failed);
    await expect(run.write("b.dump", chunks(0))).rejects.toMatchObject({ kind: "execute" });
    expect(storage.paths()).toEqual([]);
    expect(run.alive).toHaveLength(1);
  });

  test("keeps the error of a repository that could not be opened", () => {
    const busy = fail("lockAcquire", "busy");
    const run = writer([{ repoIndex: 1, ok: false, error: busy }, target(2, new MemoryStorage())]);
    run.requireOne();
    expect(run.results()).toMatchObject([{ ok: false, error: busy }, { ok: true }]);
    const none = writer([{ repoIndex: 1, ok: false, error: busy }]);
    expect(() => none.requireOne()).toThrow("busy");
  });
});
