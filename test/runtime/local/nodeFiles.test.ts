import { spawnSync } from "node:child_process";
import { once } from "node:events";
import node, * as fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { compareBytes, textOf, utf8 } from "../../../runtime/base/bytes";
import * as files from "../../../runtime/local/nodeFiles";
import * as fc from "../../harness/properties";
import { temporaryFolder } from "../repository/support";

const name = fc
  .uint8Array({ min: 1, minLength: 1, maxLength: 20 })
  .filter((bytes) => !bytes.includes(0x2f) && !/^\.\.?$/.test(Buffer.from(bytes).toString("latin1")))
  .map((bytes) => Buffer.from(bytes));

describe("files with names of any bytes", () => {
  it("are created, listed, read, linked, renamed and removed under exactly these bytes", async () => {
    const folder = temporaryFolder();
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(name, { minLength: 4, maxLength: 4, selector: (bytes) => bytes.toString("latin1") }),
        async (names) => {
          const [first, second, third, fourth] = names.map((bytes) => `${folder}/${textOf(bytes)}`) as [
            string,
            ...string[],
          ];
          const text = textOf(names[0] as Buffer);
          await files.writeFile(first, text);
          files.writeFileSync(second as string, text);
          await files.symlink(text, third as string);
          await files.mkdir(`${fourth}/${text}`, { recursive: true });
          const expected = names.map(textOf).sort(compareBytes);
          expect(fs.readdirSync(folder, "buffer").map(textOf).sort(compareBytes)).toEqual(expected);
          expect((await files.readdir(folder)).sort(compareBytes)).toEqual(expected);
          expect(files.readdirSync(folder).sort(compareBytes)).toEqual(expected);
          expect(await files.readFile(first)).toEqual(names[0]);
          expect(files.readFileSync(second as string, "utf8")).toBe(text);
          expect(await files.readlink(third as string)).toBe(text);
          expect(files.readlinkSync(third as string)).toBe(text);
          expect(await files.realpath(third as string)).toBe(first);
          await files.rename(first, second as string);
          expect(files.existsSync(first)).toBe(false);
          await files.link(second as string, first);
          expect(files.lstatSync(first).nlink).toBe(2);
          for (const path of [first, second, third, fourth]) await files.rm(path as string, { recursive: true });
          expect(fs.readdirSync(folder)).toEqual([]);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("are named by what mkdir and mkdtemp return", async () => {
    const root = join(temporaryFolder(), textOf(Buffer.from("\xe9", "latin1")));
    expect(await files.mkdir(`${root}/a/b`, { recursive: true })).toBe(root);
    expect((await files.mkdtemp(`${root}/x`)).startsWith(`${root}/x`)).toBe(true);
    expect(files.mkdirSync(`${root}/c/d`, { recursive: true })).toBe(`${root}/c`);
    expect(fs.existsSync(Buffer.from(utf8(`${root}/c/d`)))).toBe(true);
  });
});

describe("whole writes", () => {
  const { statfsSync, writeSync } = node;
  const EXT4 = 0xef53;
  const NFS = 0x6969;

  /** Runs `work` on a file system of this type that takes some bytes of each call, and returns the sizes of calls. */
  function written(type: number, takenMax: number, work: () => void): number[] {
    const sizes: number[] = [];
    node.statfsSync = (() => ({ type })) as never;
    node.writeSync = ((fd: number, bytes: Uint8Array, at: number, sizeBytes: number, position: number | null) => {
      sizes.push(sizeBytes);
      return writeSync(fd, bytes, at, Math.min(sizeBytes, takenMax), position);
    }) as typeof writeSync;
    syncBuiltinESMExports();
    try {
      work();
    } finally {
      Object.assign(node, { statfsSync, writeSync });
      syncBuiltinESMExports();
    }
    return sizes;
  }

  it("have all bytes at their positions, however few the system takes at once", () => {
    const size = fc.oneof(fc.nat(3 * 32 * 1024), fc.constantFrom(0, 32 * 1024, 2 * 32 * 1024));
    const piece = fc.record({ size, position: fc.option(size), value: fc.integer({ min: 1, max: 255 }) });
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 6 }),
        fc.integer({ min: 1, max: 40_000 }),
        fc.constantFrom(EXT4, NFS),
        (pieces, takenMax, type) => {
          const path = join(temporaryFolder(), "file");
          const fd = fs.openSync(path, "w");
          let expected = Buffer.alloc(0);
          let endBytes = 0;
          written(type, takenMax, () => {
            for (const { position, size: sizeBytes, value } of pieces) {
              const bytes = Buffer.alloc(sizeBytes, value);
              files.writeFully(fd, bytes, position, path);
              const from = position ?? endBytes;
              if (position === null) endBytes += sizeBytes;
              if (sizeBytes > 0) expected = Buffer.concat([expected], Math.max(expected.length, from + sizeBytes));
              bytes.copy(expected, from);
            }
          });
          fs.closeSync(fd);
          expect(fs.readFileSync(path).equals(expected)).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("are in small pieces where they end in the kernel's cache, and in one call where each may be a request", () => {
    const sizesOn = (type: number): number[] => {
      const path = join(temporaryFolder(), "file");
      const fd = fs.openSync(path, "w");
      const sizes = written(type, Infinity, () => files.writeFully(fd, Buffer.alloc(100_000), 0, path));
      fs.closeSync(fd);
      return sizes;
    };
    expect(sizesOn(EXT4)).toEqual([32_768, 32_768, 32_768, 1696]);
    expect(sizesOn(NFS)).toEqual([100_000]);
  });

  it("fail where the disk is full, or takes nothing without an error", () => {
    const fd = fs.openSync("/dev/full", "w");
    const write = (): void => files.writeFully(fd, Buffer.alloc(1), null, "/dev/full");
    expect(write).toThrow("ENOSPC");
    fs.closeSync(fd);
    const path = join(temporaryFolder(), "file");
    const other = fs.openSync(path, "w");
    const fact = `unable to write '${path}': the file system accepts no bytes`;
    const nothing = (): number[] => written(EXT4, 0, () => files.writeFully(other, Buffer.alloc(1), 0, path));
    expect(nothing).toThrow(expect.objectContaining({ name: "FileWriteError", message: fact }));
    fs.closeSync(other);
  });
});

// claim: docs/hosts/containers.md: a link that a container has made leads root to no file of the host
describe("in a guarded directory", () => {
  /** A directory `own/d` with a file, which is guarded, beside `secret/d` with another one of its name. */
  const prepared = (): { readonly own: string; readonly secret: string; readonly file: string } => {
    const folder = fs.realpathSync(temporaryFolder());
    const [own, secret] = [join(folder, "own/d"), join(folder, "secret/d")];
    for (const path of [own, secret]) {
      fs.mkdirSync(path, { recursive: true });
      fs.writeFileSync(join(path, "file"), path === own ? "own" : "secret");
    }
    files.guardLinks([join(folder, "own")]);
    return { own, secret, file: join(own, "file") };
  };

  it("files and directories work as usual", async () => {
    const { file, own } = prepared();
    expect(await files.readFile(file, "utf8")).toBe("own");
    expect(files.readFileSync(file, "utf8")).toBe("own");
    expect(() => files.openSync(`${file}.none`, "r")).toThrow("ENOENT");
    await (await files.open(own, files.constants.O_RDONLY)).close();
    await (await files.open(file, files.constants.O_RDWR | files.constants.O_NOFOLLOW)).close();
    fs.closeSync(files.openSync(file, files.constants.O_RDONLY | files.constants.O_NOFOLLOW));
    fs.closeSync(files.openSync(`${file}.new`, "wx", 0o600));
    expect(() => files.openSync(`${file}.new`, "wx")).toThrow("EEXIST");
    await (await files.open(`${file}.more`, "w", 0o640)).close();
    await files.copyFile(file, `${file}.copy`);
    files.chmodSync(file, 0o600);
    files.truncateSync(file, 1);
    expect(fs.readdirSync(own)).toEqual(["file", "file.copy", "file.more", "file.new"]);
    expect([fs.statSync(file).mode & 0o777, fs.readFileSync(file, "utf8")]).toEqual([0o600, "o"]);
    // A segment that is recycled has another name by then.
    const fd = files.openSync(file, "r");
    fs.renameSync(file, `${file}.renamed`);
    fs.closeSync(fd);
  });

  it("no link is followed, neither at the end nor on the way", async () => {
    const { file, own, secret } = prepared();
    const uses: [string, (path: string) => unknown][] = [
      ["readFile", (path) => files.readFile(path)],
      ["readFileSync", (path) => files.readFileSync(path)],
      ["open", (path) => files.open(path, "r")],
      ["openSync to write", (path) => files.openSync(path, "r+")],
      ["openSync to create", (path) => files.openSync(path, "w")],
      ["copyFile", (path) => files.copyFile(path, `${secret}/copy`)],
      ["chmod", (path) => files.chmod(path, 0o777)],
      ["truncateSync", (path) => files.truncateSync(path)],
    ];
    const at = (path: string) =>
      Promise.all(
        uses.map(async ([what, use]) => {
          await expect(async () => use(path), what).rejects.toThrow(/is a link to|leads to '.*secret\/d/);
        }),
      );
    fs.rmSync(file);
    fs.symlinkSync(join(secret, "file"), file);
    await at(file);
    // Of a link itself.
    files.chownSync(file, fs.lstatSync(file).uid, fs.lstatSync(file).gid);
    expect(() => files.openSync(file, "wx")).toThrow("EEXIST");
    fs.rmSync(own, { recursive: true });
    fs.symlinkSync(secret, own);
    await at(file);
    expect(() => files.openSync(`${file}.new`, "wx")).toThrow(`is a link to '${secret}'`);
    expect(fs.readdirSync(secret)).toEqual(["file"]);
    expect([fs.readFileSync(join(secret, "file"), "utf8"), fs.statSync(secret).mode & 0o002]).toEqual(["secret", 0]);
  });

  it("neither a pipe nor a device is opened", () => {
    const { own } = prepared();
    const pipe = join(own, "pipe");
    spawnSync("mkfifo", [pipe]);
    expect(() => files.openSync(pipe, "r")).toThrow("is neither a file nor a directory");
    const device = join(own, "zero");
    if (spawnSync("mknod", [device, "c", "1", "5"]).status !== 0) return;
    expect(() => files.readFileSync(device)).toThrow("is neither a file nor a directory");
  });

  it("a directory that is swapped for a link at any time gives nothing away", { timeout: 60_000 }, async () => {
    const { file, own, secret } = prepared();
    const swap = `const fs = require("node:fs"); const [own, secret] = require("node:worker_threads").workerData;
      for (;;) { fs.renameSync(own, own + ".old"); fs.symlinkSync(secret, own); fs.rmSync(own); fs.renameSync(own + ".old", own); }`;
    const worker = new Worker(swap, { eval: true, workerData: [own, secret] });
    await once(worker, "online");
    const read = (readFileSync: (path: string, encoding: "utf8") => string): string => {
      try {
        return readFileSync(file, "utf8");
      } catch {
        return "refused";
      }
    };
    const plain = new Set<string>();
    const guarded = new Set<string>();
    const endMs = performance.now() + 30_000;
    const isSeen = (): boolean => plain.size === 3 && guarded.has("own");
    for (let count = 0; (count < 2000 || !isSeen()) && performance.now() < endMs; count++) {
      plain.add(read(fs.readFileSync));
      guarded.add(read(files.readFileSync));
    }
    await worker.terminate();
    expect([...plain].sort()).toEqual(["own", "refused", "secret"]);
    expect([...guarded].sort()).toEqual(["own", "refused"]);
  });
});
