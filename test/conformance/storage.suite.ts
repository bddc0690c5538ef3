/**
 * The contract of runtime/storage/storage.ts as tests that every storage must pass. storage.test.ts runs them for each
 * driver. Its table of capabilities lists the permitted differences.
 */
import { createHash } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { type ByteStream, collect, streamOf, textOf, utf8 } from "../../runtime/base/bytes";
import { fail, isError } from "../../runtime/base/errors";
import type { ByteRange, ListOptions, Storage, StorageFeatures } from "../../runtime/storage/storage";
import { NIGHTLY } from "../../tools/parts/nightly";

export interface StorageCase {
  readonly features: StorageFeatures;
  /** Every call opens the same location, empty at first, so that one client sees what another wrote. */
  open(): Promise<Storage>;
  /** Size of the largest body that is stored in one request. Bodies around this size take different code paths. */
  readonly partSizeBytes: number;
  /** Whether the storage can create a file only if it does not exist. */
  readonly createsExclusively: boolean;
  /** Whether the storage can replace a file only if it has not changed. Default: no. */
  readonly replaces?: boolean;
  /**
   * The server checks and then writes, so two concurrent writers may both succeed. Its conditions can only be tested
   * one after the other.
   */
  readonly looksThenWrites?: boolean;
  /** Number of objects for the test that a listing continues after its first page. */
  readonly manyCount: number;
}

const MIB = 1024 * 1024;

/** Tests that `name` fulfils the contract. The tests call `get` when they run, so that servers can start first. */
export function storageSuite(name: string, get: () => StorageCase): void {
  describe(name, () => {
    let storage: Storage;
    let folderCount = 0;
    /** A new path for each test, because they share one storage. */
    const folder = (): string => `suite/f${++folderCount}`;
    const text = async (path: string, range?: ByteRange): Promise<string> =>
      textOf(await collect(await storage.read(path, range), MIB));
    const namesIn = async (path: string, options?: ListOptions): Promise<string[]> => {
      const result: string[] = [];
      for await (const info of storage.list(path, options)) result.push(`${info.type} ${info.path}`);
      return result.sort();
    };
    const list = async (path: string, options?: ListOptions): Promise<string[]> => {
      const names = await namesIn(path, options);
      expect(await namesIn(path, { ...options, namesOnly: true })).toEqual(names);
      return names;
    };

    beforeAll(async () => {
      storage = await get().open();
    });

    test("reports its features", () => {
      expect(storage.features).toEqual(get().features);
    });

    test("returns the stored bytes", async () => {
      const at = folder();
      const bytes = Uint8Array.from({ length: 256 }, (_, value) => value);
      await storage.put(`${at}/all-bytes`, bytes);
      expect(Buffer.from(await collect(await storage.read(`${at}/all-bytes`), MIB))).toEqual(Buffer.from(bytes));
      await storage.put(`${at}/empty`, new Uint8Array(0));
      expect(await text(`${at}/empty`)).toBe("");
    });

    test("shows one client's write to another at once", async () => {
      const at = folder();
      const other = await get().open();
      await storage.put(`${at}/f`, utf8("one"));
      expect(textOf(await collect(await other.read(`${at}/f`), MIB))).toBe("one");
      await other.put(`${at}/f`, utf8("two"));
      expect(await text(`${at}/f`)).toBe("two");
      expect(await list(at)).toEqual([`file ${at}/f`]);
      await other.close();
    });

    test("replaces a file as a whole, also by a shorter one", async () => {
      const at = folder();
      for (const atomic of [true, false]) {
        await storage.put(`${at}/f`, utf8("a long text"), { atomic });
        await storage.put(`${at}/f`, utf8("short"), { atomic });
        expect(await text(`${at}/f`)).toBe("short");
        await storage.putStream(`${at}/f`, () => streamOf(utf8("s")), { atomic });
        expect(await text(`${at}/f`)).toBe("s");
      }
    });

    // claim: docs/agent.md: two writers of one file never interfere, in directories, over SFTP, in buckets
    test("two concurrent writers of one file do not interfere: its name always leads to the complete content of one of them", async () => {
      const path = `${folder()}/f`;
      const other = await get().open();
      const gates: (() => void)[] = [];
      const write = (
        client: Storage,
        content: string,
      ): { readonly began: Promise<void>; readonly ended: Promise<void> } => {
        const gate = new Promise<void>((resolve) => void gates.push(resolve));
        let resolveBegan = (): void => {};
        const began = new Promise<void>((resolve) => {
          resolveBegan = resolve;
        });
        const source = async function* (): ByteStream {
          // Exceeds the driver's buffer, so that writing has begun.
          yield Buffer.alloc(MIB, content);
          resolveBegan();
          await gate;
          yield utf8(content);
        };
        return { began, ended: client.putStream(path, source) };
      };
      const first = write(storage, "1");
      await first.began;
      const second = write(other, "2");
      await second.began;
      for (const [index, ended] of [first.ended, second.ended].entries()) {
        gates[index]?.();
        await ended;
        const stored = await collect(await storage.read(path), 2 * MIB);
        expect([stored.length, ...new Set(Buffer.from(stored).toString())]).toEqual([MIB + 1, `${index + 1}`]);
      }
      expect(await list(path.slice(0, -2))).toEqual([`file ${path}`]);
      await other.close();
    });

    test("creates a file once, and keeps the first content", async () => {
      expect(storage.create !== undefined).toBe(get().createsExclusively);
      if (storage.create === undefined) return;
      const at = folder();
      const path = `${at}/d/once`;
      expect(await storage.create(path, utf8("first"))).toBe(true);
      expect(await storage.create(path, utf8("second"))).toBe(false);
      expect(await text(path)).toBe("first");
      await storage.put(path, utf8("replaced"));
      expect(await storage.create(path, utf8("third"))).toBe(false);
      expect(await text(path)).toBe("replaced");
      await storage.remove(path);
      expect(await storage.create(path, utf8("fourth"))).toBe(true);
      expect(await list(at, { recursive: true })).toEqual([`file ${path}`]);
    });

    test("returns true to one of many concurrent creators, and keeps its bytes", async () => {
      const other = await get().open();
      const creators = [storage.create?.bind(storage), other.create?.bind(other)].filter(
        (create) => create !== undefined,
      );
      if (creators.length === 0 || get().looksThenWrites === true) return;
      const at = folder();
      for (let round = 0; round < 5; round++) {
        const path = `${at}/${round}`;
        const texts = Array.from({ length: 8 }, (_, index) => `writer ${index} of round ${round}`);
        const made = await Promise.all(
          texts.map(async (content, index) => creators[index % creators.length]?.(path, utf8(content))),
        );
        expect(made.filter((isMade) => isMade === true)).toHaveLength(1);
        expect(await text(path)).toBe(texts[made.indexOf(true)]);
      }
      await other.close();
      expect(await list(at, { recursive: true })).toHaveLength(5);
    });

    test("replaces a file only while it is unchanged since stat", async () => {
      expect(storage.replace !== undefined).toBe(get().replaces ?? false);
      if (storage.replace === undefined) return;
      const path = `${folder()}/f`;
      const versionNow = async (): Promise<string> => (await storage.stat(path))?.version ?? "";
      await storage.put(path, utf8("first"));
      const first = await versionNow();
      expect(await storage.replace(path, utf8("second"), first)).toBe(true);
      expect(await storage.replace(path, utf8("third"), first)).toBe(false);
      expect(await text(path)).toBe("second");
      expect(await storage.replace(path, utf8("fourth"), await versionNow())).toBe(true);
      const fourth = await versionNow();
      await storage.remove(path);
      expect(await storage.replace(path, utf8("fifth"), fourth)).toBe(false);
      expect(await list(path.replace("/f", ""))).toEqual([]);
    });

    test("keeps names with every printable character", async () => {
      const at = folder();
      const names = [
        "000000010000000000000001-4a6cd1ca5b7d79ba6f8d45a3d41a4b9e6f5d2c11.gz",
        "with space",
        "plus+and%25and&<amp>;='quote'\"d\"",
        "umläut-日本-🙂",
        "a!b*c(d)e~f@g$h,i:j[k]l{m}",
        "_fsm.1",
        "..hidden",
      ];
      for (const file of names) await storage.put(`${at}/${file}`, utf8(file));
      expect(await list(at)).toEqual(names.map((file) => `file ${at}/${file}`).sort());
      for (const file of names) {
        expect(await text(`${at}/${file}`)).toBe(file);
        expect((await storage.stat(`${at}/${file}`))?.sizeBytes).toBe(utf8(file).length);
      }
      await storage.removePath(at);
      expect(await list(at)).toEqual([]);
    });

    test("refuses paths that lead outside", async () => {
      for (const path of ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a\0b"]) {
        for (const work of [
          () => storage.read(path),
          () => storage.put(path, utf8("x")),
          () => storage.remove(path),
          () => storage.removePath(path),
          () => storage.putStream(path, () => streamOf()),
          () => storage.create?.(path, utf8("x")) ?? storage.remove(path),
        ]) {
          await expect(work()).rejects.toMatchObject({ kind: "assert" });
        }
      }
    });

    describe("reading", () => {
      test("a range returns exactly those bytes, or the existing part of them at the end", async () => {
        const path = `${folder()}/f`;
        await storage.put(path, utf8("0123456789"));
        expect(await text(path, { offsetBytes: 0 })).toBe("0123456789");
        expect(await text(path, { offsetBytes: 0, sizeBytes: 3 })).toBe("012");
        expect(await text(path, { offsetBytes: 4, sizeBytes: 3 })).toBe("456");
        expect(await text(path, { offsetBytes: 7 })).toBe("789");
        expect(await text(path, { offsetBytes: 7, sizeBytes: 100 })).toBe("789");
        expect(await text(path, { offsetBytes: 10 })).toBe("");
        expect(await text(path, { offsetBytes: 50, sizeBytes: 1 })).toBe("");
        expect(await text(path, { offsetBytes: 5, sizeBytes: 0 })).toBe("");
      });

      test("a missing file is fileMissing before any read, whichever part of the path is missing", async () => {
        const at = folder();
        await storage.put(`${at}/f`, utf8("x"));
        for (const path of [`${at}/g`, `${at}/d/g`, `${at}/f/g`, `${at}/F`, "missing"]) {
          await expect(storage.read(path)).rejects.toMatchObject({ kind: "fileMissing", exitCode: 55, path });
          await expect(storage.read(path, { offsetBytes: 3, sizeBytes: 0 })).rejects.toMatchObject({
            kind: "fileMissing",
          });
        }
      });

      test("may stop early, and start again", async () => {
        const path = `${folder()}/f`;
        await storage.put(path, new Uint8Array(3 * MIB).fill(7));
        for (let round = 0; round < 20; round++) {
          for await (const chunk of await storage.read(path)) {
            expect(chunk[0]).toBe(7);
            break;
          }
        }
        expect((await collect(await storage.read(path), 4 * MIB)).length).toBe(3 * MIB);
      });
    });

    describe("stat", () => {
      test("returns size and time of a file, and null for a missing one", async () => {
        const at = folder();
        await storage.put(`${at}/f`, utf8("12345"));
        const info = await storage.stat(`${at}/f`);
        expect(info).toMatchObject({ path: `${at}/f`, type: "file", sizeBytes: 5 });
        expect(info?.modifiedAtMs).toBeGreaterThan(Date.UTC(2020, 0));
        expect(await storage.stat(`${at}/missing`)).toBeNull();
        expect(await storage.stat(`${at}/missing/too`)).toBeNull();
        expect(await storage.stat(`${at}/f/below`)).toBeNull();
      });

      test("does not mistake the beginning of a name for the name", async () => {
        const at = folder();
        await storage.put(`${at}/name.copy`, utf8("x"));
        expect(await storage.stat(`${at}/name`)).toBeNull();
      });
    });

    describe("listing", () => {
      test("returns direct children, or all files below", async () => {
        const at = folder();
        for (const file of ["a", "b", "d/e", "d/f/g", "d.x"]) await storage.put(`${at}/${file}`, utf8(file));
        expect(await list(at)).toEqual([`directory ${at}/d`, `file ${at}/a`, `file ${at}/b`, `file ${at}/d.x`]);
        expect(await list(`${at}/d`)).toEqual([`directory ${at}/d/f`, `file ${at}/d/e`]);
        expect(await list(at, { recursive: true })).toEqual(
          ["a", "b", "d.x", "d/e", "d/f/g"].map((file) => `file ${at}/${file}`),
        );
      });

      test("starts at the root", async () => {
        await storage.put("root-file", utf8("x"));
        expect(await list("")).toEqual(expect.arrayContaining(["file root-file", "directory suite"]));
        expect(await list("", { namePrefix: "root-" })).toEqual(["file root-file"]);
      });

      test("returns only names with the prefix", async () => {
        const at = folder();
        for (const file of ["0001-a", "0001-b", "0002-a", "0001x/y"]) await storage.put(`${at}/${file}`, utf8(file));
        expect(await list(at, { namePrefix: "0001" })).toEqual([
          `directory ${at}/0001x`,
          `file ${at}/0001-a`,
          `file ${at}/0001-b`,
        ]);
        expect(await list(at, { namePrefix: "0001", recursive: true })).toEqual([
          `file ${at}/0001-a`,
          `file ${at}/0001-b`,
          `file ${at}/0001x/y`,
        ]);
        expect(await list(at, { namePrefix: "9" })).toEqual([]);
      });

      test("of a missing path or of a file is empty", async () => {
        const at = folder();
        await storage.put(`${at}/f`, utf8("x"));
        for (const path of [`${at}/missing`, `${at}/f`]) {
          expect(await list(path)).toEqual([]);
          expect(await list(path, { recursive: true })).toEqual([]);
        }
      });

      test("returns sizes and times", async () => {
        const at = folder();
        await storage.put(`${at}/f`, utf8("12345"));
        for await (const info of storage.list(at)) {
          expect(info.sizeBytes).toBe(5);
          expect(info.modifiedAtMs).toBeGreaterThan(Date.UTC(2020, 0));
        }
      });

      test("continues after the first page, and every listed file can be removed", async () => {
        const at = folder();
        const count = get().manyCount;
        const names = Array.from(
          { length: count },
          (_, index) => `${at}/d${index % 3}/${String(index).padStart(5, "0")}`,
        );
        for (let first = 0; first < count; first += 32)
          await Promise.all(names.slice(first, first + 32).map((path) => storage.put(path, utf8(path))));
        expect(await list(at, { recursive: true })).toEqual(names.map((path) => `file ${path}`).sort());
        expect(await list(at)).toEqual(["d0", "d1", "d2"].map((directory) => `directory ${at}/${directory}`));
        await storage.removePath(at);
        expect(await list(at, { recursive: true })).toEqual([]);
      });
    });

    describe("streams", () => {
      /** `sizeBytes` of reproducible bytes in uneven chunks. */
      async function* source(sizeBytes: number): ByteStream {
        const sizes = [1, 65_536, 100_000, 0, 1_048_576, 7, 333_333];
        let made = 0;
        for (let turn = 0; made < sizeBytes; turn++) {
          const chunk = new Uint8Array(Math.min(sizes[turn % sizes.length] ?? 1, sizeBytes - made));
          for (let position = 0; position < chunk.length; position++) chunk[position] = (made + position) * 31;
          made += chunk.length;
          yield chunk;
        }
      }
      const digest = async (stream: ByteStream): Promise<{ sizeBytes: number; sha256: string }> => {
        const hash = createHash("sha256");
        let sizeBytes = 0;
        for await (const chunk of stream) {
          hash.update(chunk);
          sizeBytes += chunk.length;
        }
        return { sizeBytes, sha256: hash.digest("hex") };
      };

      test("of every size around the part size arrive complete", async () => {
        const at = folder();
        const { partSizeBytes } = get();
        const sizes = [0, partSizeBytes, partSizeBytes + 1, 2 * partSizeBytes + 12_345];
        const otherSizes = [1, partSizeBytes - 1, 2 * partSizeBytes, 3 * partSizeBytes + 12_345];
        for (const sizeBytes of NIGHTLY ? [...sizes, ...otherSizes] : sizes) {
          for (const atomic of [true, false]) {
            const path = `${at}/${sizeBytes}-${atomic}`;
            await storage.putStream(path, () => source(sizeBytes), { atomic });
            expect(await digest(await storage.read(path))).toEqual(await digest(source(sizeBytes)));
            expect((await storage.stat(path))?.sizeBytes).toBe(sizeBytes);
            await storage.remove(path);
          }
        }
      });

      test("longer than a part can be stored by put too", async () => {
        const path = `${folder()}/f`;
        const bytes = await collect(source(get().partSizeBytes + 100), 1024 * MIB);
        await storage.put(path, bytes);
        expect(await digest(await storage.read(path))).toEqual(await digest(streamOf(bytes)));
      });

      test("ranges span parts", async () => {
        const path = `${folder()}/f`;
        const { partSizeBytes } = get();
        await storage.putStream(path, () => source(2 * partSizeBytes));
        const expected = (await collect(source(2 * partSizeBytes), 1024 * MIB)).subarray(
          partSizeBytes - 10,
          partSizeBytes + 10,
        );
        const result = await collect(await storage.read(path, { offsetBytes: partSizeBytes - 10, sizeBytes: 20 }), MIB);
        expect(Buffer.from(result)).toEqual(Buffer.from(expected));
      });

      test("that fail keep the old file, leave nothing new, and pass their error on unchanged", async () => {
        const at = folder();
        const { partSizeBytes } = get();
        await storage.put(`${at}/f`, utf8("old"));
        const broken = fail("checksum", "the source is damaged");
        for (const sizeBytes of [10, partSizeBytes + 10, 3 * partSizeBytes]) {
          const failing = async function* (): ByteStream {
            yield* source(sizeBytes);
            throw broken;
          };
          for (const path of [`${at}/f`, `${at}/new`])
            await expect(storage.putStream(path, failing)).rejects.toBe(broken);
        }
        expect(await text(`${at}/f`)).toBe("old");
        expect(await list(at, { recursive: true })).toEqual([`file ${at}/f`]);
      });

      test("go to many files at once", async () => {
        const at = folder();
        const sizes = Array.from({ length: 16 }, (_, index) => index * 70_001);
        await Promise.all(sizes.map((sizeBytes) => storage.putStream(`${at}/${sizeBytes}`, () => source(sizeBytes))));
        const digests = await Promise.all(
          sizes.map(async (sizeBytes) => digest(await storage.read(`${at}/${sizeBytes}`))),
        );
        expect(digests).toEqual(await Promise.all(sizes.map((sizeBytes) => digest(source(sizeBytes)))));
      });
    });

    describe("removal", () => {
      test("of a file can be repeated and touches nothing else", async () => {
        const at = folder();
        await storage.put(`${at}/f`, utf8("x"));
        await storage.put(`${at}/f.copy`, utf8("x"));
        for (let round = 0; round < 2; round++) await storage.remove(`${at}/f`);
        await storage.remove(`${at}/never/was`);
        expect(await list(at)).toEqual([`file ${at}/f.copy`]);
        await expect(storage.read(`${at}/f`)).rejects.toSatisfy((error) => isError(error, "fileMissing"));
      });

      test("of a path removes everything below it and nothing beside it", async () => {
        const at = folder();
        for (const file of ["d/a", "d/b/c", "d2/a", "d-a"]) await storage.put(`${at}/${file}`, utf8(file));
        for (let round = 0; round < 2; round++) await storage.removePath(`${at}/d`);
        expect(await list(at, { recursive: true })).toEqual([`file ${at}/d-a`, `file ${at}/d2/a`]);
      });

      test("of a directory leaves one that has a file or a directory", async () => {
        const at = folder();
        expect(storage.removeDirectory !== undefined).toBe(storage.features.directories);
        for (const file of ["d/a", "e/f/a"]) await storage.put(`${at}/${file}`, utf8(file));
        for (const path of ["d", "e", "missing"]) await storage.removeDirectory?.(`${at}/${path}`);
        expect(await list(at, { recursive: true })).toEqual([`file ${at}/d/a`, `file ${at}/e/f/a`]);
        await storage.remove(`${at}/d/a`);
        await storage.removeDirectory?.(`${at}/d`);
        expect(await list(at)).toEqual([`directory ${at}/e`]);
      });
    });

    test("creates and syncs directories if the storage has them", async () => {
      const at = folder();
      await storage.makePath(`${at}/x/y`);
      await storage.makePath(`${at}/x/y`);
      await storage.syncPath(`${at}/x/y`);
      expect(await list(at)).toEqual(get().features.directories ? [`directory ${at}/x`] : []);
      if (get().features.directories)
        expect(await storage.stat(`${at}/x/y`)).toMatchObject({ type: "directory", sizeBytes: 0 });
    });

    test("replaces links if the storage has them", async () => {
      const at = folder();
      if (!get().features.symlinks) {
        await expect(storage.link(`${at}/latest`, "20261120-064059F")).rejects.toMatchObject({
          kind: "featureNotSupported",
        });
        return;
      }
      await storage.link(`${at}/latest`, "20261120-064059F");
      await storage.link(`${at}/latest`, "20261121-064059F");
      expect(await list(at)).toEqual([`link ${at}/latest`]);
      await storage.remove(`${at}/latest`);
      expect(await list(at)).toEqual([]);
    });
  });
}
