/** File systems: modes, temporary names, permissions, full disks. The conformance suite covers the common rules. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import promised from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ByteStream, collect, streamOf, utf8 } from "../../../runtime/base/bytes";
import { isError } from "../../../runtime/base/errors";
import { PosixStorage } from "../../../runtime/storage/posix";

const MIB = 1024 * 1024;
const IS_ROOT = process.geteuid?.() === 0;
/** The account nobody on every system. */
const OTHER_USER = 65_534;
let root: string;
let controller: AbortController;
let umask: number;
beforeEach(() => {
  // The program does the same at its start.
  umask = process.umask(0);
  root = mkdtempSync(join(tmpdir(), "posix-"));
  controller = new AbortController();
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
  process.umask(umask);
});

const open = (path = root): PosixStorage =>
  new PosixStorage({ root: path, syncDirectories: true, symlinks: true, signal: controller.signal });
const modeOf = (path: string): string => (statSync(path).mode & 0o7777).toString(8);
const refusal = async (work: Promise<unknown>): Promise<object> => {
  const error: unknown = await work.then(
    () => "it succeeded",
    (thrown: unknown) => thrown,
  );
  return isError(error) ? { ...error, message: error.message } : { error };
};

test("files are 0640 and directories 0750", async () => {
  await open(join(root, "repo")).put("archive/demo/archive.info", utf8("x"));
  await open(join(root, "repo")).putStream("backup/demo/F/pg_data/x", () => streamOf(utf8("x")), { atomic: false });
  await open(join(root, "repo")).makePath("made/here");
  for (const path of ["repo", "repo/archive/demo", "repo/backup/demo/F/pg_data", "repo/made", "repo/made/here"])
    expect(modeOf(join(root, path))).toBe("750");
  for (const path of ["repo/archive/demo/archive.info", "repo/backup/demo/F/pg_data/x"])
    expect(modeOf(join(root, path))).toBe("640");
});

test("a stricter umask is honoured if the program keeps it", async () => {
  process.umask(0o077);
  await open(join(root, "repo")).put("d/f", utf8("x"));
  expect([modeOf(join(root, "repo/d")), modeOf(join(root, "repo/d/f"))]).toEqual(["700", "600"]);
});

test("an atomic write has its own temporary name until it is complete, one in place has none", async () => {
  const seen: string[][] = [];
  const source = async function* (): ByteStream {
    yield utf8("new ");
    seen.push(
      readdirSync(root)
        .map((name) => name.replace(/\.[0-9a-f]{16}\./, ".*."))
        .sort(),
    );
    yield utf8("content");
  };
  writeFileSync(join(root, "f"), "old");
  await open().putStream("f", source);
  await open().putStream("g", source, { atomic: false });
  expect(seen).toEqual([
    ["f", "f.*.pgbackrest.tmp"],
    ["f", "g"],
  ]);
  expect(readdirSync(root).sort()).toEqual(["f", "g"]);
  expect(readFileSync(join(root, "f"), "utf8")).toBe("new content");
});

test("a leftover or foreign temporary file is listed as it is and left alone by the next write", async () => {
  writeFileSync(join(root, "f.pgbackrest.tmp"), "a very long leftover of a crash");
  const paths: string[] = [];
  for await (const info of open().list("")) paths.push(info.path);
  expect(paths).toEqual(["f.pgbackrest.tmp"]);
  await open().put("f", utf8("short"));
  expect(readdirSync(root).sort()).toEqual(["f", "f.pgbackrest.tmp"]);
  expect(readFileSync(join(root, "f"), "utf8")).toBe("short");
});

test("a listing tolerates files that vanish while it runs", async () => {
  for (let index = 0; index < 200; index++) writeFileSync(join(root, `f${index}`), "x");
  const paths: string[] = [];
  for await (const info of open().list("")) {
    if (paths.length === 0) for (let index = 0; index < 200; index++) rmSync(join(root, `f${index}`));
    paths.push(info.path);
  }
  expect(paths.length).toBeGreaterThan(0);
  expect(paths.length).toBeLessThan(200);
});

describe("where the file system tells no types, and a name vanishes while Node looks at each", () => {
  /** Fails as Node does then, in the first call. */
  async function withoutTypes<T>(vanished: string, work: () => Promise<T>): Promise<T> {
    const { readdir } = promised;
    let calls = 0;
    promised.readdir = (async (path: string, options?: { withFileTypes?: boolean }) => {
      if (options?.withFileTypes === true && calls++ === 0) {
        rmSync(join(root, vanished));
        await promised.lstat(join(root, vanished));
      }
      return readdir(path, options as never);
    }) as never;
    syncBuiltinESMExports();
    try {
      return await work();
    } finally {
      promised.readdir = readdir;
      syncBuiltinESMExports();
      expect(calls).toBeGreaterThan(0);
    }
  }
  beforeEach(() => {
    mkdirSync(join(root, "d/sub"), { recursive: true });
    writeFileSync(join(root, "d/sub/f"), "");
    for (const name of ["kept", "vanishing"]) writeFileSync(join(root, "d", name), "");
    symlinkSync("kept", join(root, "d/link"));
  });

  test("a directory shows its other names, and a missing one none", async () => {
    const names = async (path: string): Promise<string[]> => {
      const entries: string[] = [];
      for await (const entry of open().list(path, { namesOnly: true })) entries.push(`${entry.type} ${entry.path}`);
      return entries.sort();
    };
    expect(await withoutTypes("d/vanishing", () => names("d"))).toEqual([
      "directory d/sub",
      "file d/kept",
      "link d/link",
    ]);
    expect(await withoutTypes("d/kept", () => names("missing"))).toEqual([]);
  });

  test("a path is removed whole", async () => {
    await withoutTypes("d/vanishing", () => open().removePath("d"));
    expect(readdirSync(root)).toEqual([]);
  });
});

test("a file is read in chunks of one mebibyte after a small first one, and they stay unchanged", async () => {
  const bytes = Uint8Array.from({ length: 2 * MIB + 5 }, (_, position) => position % 251);
  writeFileSync(join(root, "f"), bytes);
  const chunks: Uint8Array[] = [];
  for await (const chunk of await open().read("f")) chunks.push(chunk);
  expect(chunks.map((chunk) => chunk.length)).toEqual([64 * 1024, MIB, MIB + 5 - 64 * 1024]);
  expect(Buffer.compare(Buffer.concat(chunks), bytes)).toBe(0);
});

test("a stop leaves neither the file nor its temporary name", async () => {
  const source = async function* (): ByteStream {
    yield utf8("a");
    controller.abort();
    yield utf8("b");
  };
  expect(await refusal(open().putStream("f", source))).toMatchObject({
    kind: "term",
    message: `terminated while writing '${root}/f'`,
  });
  expect(readdirSync(root)).toEqual([]);
  expect(await refusal(open().put("g", utf8("x")))).toMatchObject({ kind: "term" });
});

test("a directory at the file's path is an error with both names", async () => {
  mkdirSync(join(root, "f/below"), { recursive: true });
  expect(await refusal(open().put("f", utf8("x")))).toMatchObject({
    kind: "fileMove",
    message: expect.stringMatching(
      new RegExp(
        `^unable to move '${root}/f\\.[0-9a-f]{16}\\.pgbackrest\\.tmp' to '${root}/f': \\[21\\] Illegal operation on a directory$`,
      ),
    ) as string,
  });
  expect(readdirSync(root)).toEqual(["f"]);
  writeFileSync(join(root, "file"), "x");
  expect(await refusal(open().put("file/below", utf8("x")))).toMatchObject({
    kind: "fileOpen",
    message: `unable to open file '${root}/file/below' for write: [20] Not a directory`,
  });
});

test("a file at the repository's path is an error, and no empty repository", async () => {
  rmSync(root, { recursive: true });
  writeFileSync(root, "whatever");
  const storage = open();
  for (const [kind, asked] of [
    ["fileInfo", () => storage.stat("backup/main")],
    ["pathOpen", () => storage.list("backup/main")[Symbol.asyncIterator]().next()],
    ["pathOpen", () => storage.list("")[Symbol.asyncIterator]().next()],
    ["fileOpen", () => storage.read("backup/main/backup.info")],
  ] as const) {
    expect(await refusal(asked())).toMatchObject({
      kind,
      message: expect.stringContaining("[20] Not a directory") as string,
    });
  }
});

describe.skipIf(!IS_ROOT)("as another user (needs root to become one)", () => {
  /** Runs `work` as another user. */
  const asOther = async <T>(work: () => Promise<T>): Promise<T> => {
    process.setegid?.(OTHER_USER);
    process.seteuid?.(OTHER_USER);
    try {
      return await work();
    } finally {
      process.seteuid?.(0);
      process.setegid?.(0);
    }
  };
  const self = `this process is user ${OTHER_USER}, group ${OTHER_USER}`;
  const hints = ["Give the user of this process the right to do this, or run as the user who has it."];
  beforeEach(() => {
    chmodSync(root, 0o755);
    mkdirSync(join(root, "closed"), { mode: 0o755 });
    writeFileSync(join(root, "closed/secret"), "x", { mode: 0o600 });
    mkdirSync(join(root, "shut"), { mode: 0o700 });
  });

  test("an unwritable path is reported with its permissions", async () => {
    expect(await asOther(() => refusal(open().put("closed/f", utf8("x"))))).toMatchObject({
      kind: "fileOpen",
      exitCode: 41,
      message: `unable to open file '${root}/closed/f' for write: [13] Permission denied: '${root}/closed' has mode 0755, user 0, group 0; ${self}`,
      hints,
    });
    expect(await asOther(() => refusal(open().put("closed/new/f", utf8("x"))))).toMatchObject({
      kind: "pathCreate",
      exitCode: 47,
      message: `unable to create path '${root}/closed/new': [13] Permission denied: '${root}/closed' has mode 0755, user 0, group 0; ${self}`,
      hints,
    });
  });

  test("so are files that cannot be read, listed or removed; none counts as missing", async () => {
    expect(await asOther(() => refusal(open().read("closed/secret")))).toMatchObject({
      kind: "fileOpen",
      message: `unable to open file '${root}/closed/secret' for read: [13] Permission denied: '${root}/closed/secret' has mode 0600, user 0, group 0; ${self}`,
    });
    expect(await asOther(() => refusal(open().stat("shut/f")))).toMatchObject({
      kind: "fileInfo",
      exitCode: 98,
      message: `unable to get info for path/file '${root}/shut/f': [13] Permission denied: '${root}/shut' has mode 0700, user 0, group 0; ${self}`,
    });
    expect(await asOther(() => refusal(open().read("shut/f")))).toMatchObject({ kind: "fileOpen" });
    expect(await asOther(() => refusal(open().list("shut")[Symbol.asyncIterator]().next()))).toMatchObject({
      kind: "pathOpen",
      message: `unable to list file info for path '${root}/shut': [13] Permission denied: '${root}/shut' has mode 0700, user 0, group 0; ${self}`,
    });
    expect(await asOther(() => refusal(open().remove("closed/secret")))).toMatchObject({ kind: "fileRemove" });
    expect(await asOther(() => refusal(open().removePath("closed")))).toMatchObject({ kind: "pathRemove" });
    expect(existsSync(join(root, "closed/secret"))).toBe(true);
  });
});

/** Mounts a small file system; null if the machine does not allow it. */
const mountTmpfs = (path: string, options: string): (() => void) | null => {
  mkdirSync(path);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path]).status !== 0) return null;
  return () => void spawnSync("umount", ["-l", path]);
};

test("a full disk is reported, and leaves only the old file", async (context) => {
  const disk = join(root, "disk");
  const unmount = mountTmpfs(disk, "size=2m");
  if (unmount === null) return context.skip("no tmpfs can be mounted here (needs root): a full disk is not tested");
  try {
    const storage = open(disk);
    await storage.put("d/f", utf8("old"));
    const source = async function* (): ByteStream {
      for (let turn = 0; turn < 8; turn++) yield new Uint8Array(MIB / 2).fill(turn + 1);
    };
    for (const atomic of [true, false]) {
      const name = atomic ? "d/f" : "d/g";
      const written = atomic ? `${disk}/d/f` : `${disk}/d/g`;
      expect(await refusal(storage.putStream(name, source, { atomic }))).toMatchObject({
        kind: "fileWrite",
        exitCode: 64,
        message: `unable to write '${written}': [28] No space left on device`,
        hints: [`The file system of '${disk}/d' is full: free or add space.`],
      });
    }
    expect(Buffer.from(await collect(await storage.read("d/f"), 10)).toString()).toBe("old");
    expect(readdirSync(join(disk, "d"))).toEqual(["f"]);
    await storage.put("d/f", new Uint8Array(MIB));
  } finally {
    unmount();
  }
});

test("a read-only file system is reported", async (context) => {
  const disk = join(root, "disk");
  const unmount = mountTmpfs(disk, "size=1m,ro");
  if (unmount === null)
    return context.skip("no tmpfs can be mounted here (needs root): a read-only file system is not tested");
  try {
    expect(await refusal(open(disk).put("f", utf8("x")))).toMatchObject({
      kind: "fileOpen",
      message: `unable to open file '${disk}/f' for write: [30] Read-only file system`,
      hints: [`The file system of '${disk}' is mounted read-only.`],
    });
  } finally {
    unmount();
  }
});

test("a reader fills the caller's memory with a range, and a writer takes bytes at once", async () => {
  const storage = open(join(root, "repo"));
  const writer = await storage.openWriter("backup/demo/F/x");
  const buffer = Buffer.alloc(MIB, "a");
  writer.write(buffer);
  buffer.fill("b");
  writer.write(buffer.subarray(0, 10));
  await writer.finish();
  writer.abandon();
  expect(modeOf(join(root, "repo/backup/demo"))).toBe("750");
  expect(modeOf(join(root, "repo/backup/demo/F/x"))).toBe("640");

  const reader = storage.openReader("backup/demo/F/x", { offsetBytes: MIB - 2, sizeBytes: 5 });
  const target = Buffer.alloc(4);
  expect([reader.read(target), target.toString(), reader.read(target), target.toString(), reader.read(target)]).toEqual(
    [4, "aabb", 1, "babb", 0],
  );
  reader.close();
  const whole = storage.openReader("backup/demo/F/x");
  let sizeBytes = 0;
  for (let step = 1; step > 0; sizeBytes += step) step = whole.read(buffer);
  whole.close();
  expect(sizeBytes).toBe(MIB + 10);
});

test("an abandoned writer removes its file, and an abort ends both", async () => {
  const storage = open();
  const writer = await storage.openWriter("x");
  writer.write(utf8("half"));
  writer.abandon();
  expect(existsSync(join(root, "x"))).toBe(false);
  expect(() => writer.write(utf8("more"))).toThrow("is written after its end");
  expect(() => storage.openReader("x")).toThrow("unable to open missing file");

  const overdue = await storage.openWriter("late");
  const reader = storage.openReader("late");
  controller.abort();
  expect(() => overdue.write(utf8("more"))).toThrow("terminated while writing");
  expect(() => reader.read(Buffer.alloc(1))).toThrow("terminated while working");
  overdue.abandon();
  reader.close();
});

describe("hard links", () => {
  const at = (hardLinks: boolean): PosixStorage =>
    new PosixStorage({ root, syncDirectories: true, symlinks: true, hardLinks, signal: new AbortController().signal });

  test("give a file a second name, and are absent without support", async () => {
    const storage = at(true);
    await storage.put("a/f", utf8("content"));
    await storage.makePath("b");
    await storage.hardLink?.("b/f", "a/f");
    expect(statSync(join(root, "b/f")).ino).toBe(statSync(join(root, "a/f")).ino);
    await storage.removePath("a");
    expect(readFileSync(join(root, "b/f"), "utf8")).toBe("content");
    await expect(storage.hardLink?.("b/g", "a/f")).rejects.toMatchObject({ kind: "fileMissing" });
    await expect(storage.hardLink?.("b/d", "b")).rejects.toMatchObject({ kind: "featureNotSupported" });
    expect(at(false).hardLink).toBeUndefined();
  });
});

test("removal of a path follows no link, finds any name, and waits for none that another process removed", async () => {
  const storage = open();
  for (const path of ["kept/f", "a/b/c/d", "a/caf\udce9", "a/é/f", "other/f"]) await storage.put(path, utf8(path));
  await storage.link("a/link", "../kept");
  await storage.link("outside", "kept");
  await Promise.all(Array.from({ length: 3 }, () => storage.removePath("a")));
  await storage.removePath("outside");
  await storage.removePath("other/f");
  expect(readdirSync(root).toSorted()).toEqual(["kept", "other"]);
  expect([readdirSync(join(root, "kept")), readdirSync(join(root, "other"))]).toEqual([["f"], []]);
});

test("a pipe in place of a file is refused at once", async () => {
  spawnSync("mkfifo", [join(root, "pipe")]);
  const refused = {
    kind: "fileRead",
    message: `unable to read '${root}/pipe', which is a pipe or a device and not a file`,
  };
  expect(
    await refusal(
      open()
        .read("pipe")
        .then((stream) => collect(stream, MIB)),
    ),
  ).toMatchObject(refused);
  expect(() => open().openReader("pipe").read(Buffer.alloc(1))).toThrow(expect.objectContaining(refused));
  expect(await refusal(open().syncPath("pipe"))).toMatchObject({ kind: "pathSync" });
  expect(await refusal(open().put("pipe", utf8("x")))).toMatchObject({ kind: "fileOpen" });
  await open().putStream("new", () => streamOf(utf8("x")), { atomic: false });
  expect(await refusal(open().openWriter("pipe"))).toMatchObject({ kind: "fileOpen" });
});
