import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import promised, { open } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type ByteStream, utf8 } from "../../../runtime/base/bytes";
import { fail } from "../../../runtime/base/errors";
import { systemRandom } from "../../../runtime/base/random";
import {
  atomicCreate,
  atomicWrite,
  makeDirectories,
  syncDirectory,
  writeDirectly,
} from "../../../runtime/local/atomicWrite";
import { openFileWriter } from "../../../runtime/local/fileWriter";
import { seededRandom } from "../../harness/context";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "atomic-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));
const modeOf = (path: string): number => statSync(path).mode & 0o777;

test("writes bytes and streams, and creates directories", async () => {
  await atomicWrite(join(root, "a/b/f"), utf8("bytes"));
  expect(readFileSync(join(root, "a/b/f"), "utf8")).toBe("bytes");
  const source = async function* (): ByteStream {
    yield utf8("st");
    yield utf8("ream");
  };
  await atomicWrite(join(root, "a/b/f"), source());
  expect(readFileSync(join(root, "a/b/f"), "utf8")).toBe("stream");
  expect([modeOf(join(root, "a")), modeOf(join(root, "a/b")), modeOf(join(root, "a/b/f"))]).toEqual([
    0o750, 0o750, 0o640,
  ]);
});

test("a requested mode is exact, whatever the umask and the old file", async () => {
  const umask = process.umask(0o077);
  try {
    await atomicWrite(join(root, "f"), utf8("x"), { mode: 0o664 });
    expect(modeOf(join(root, "f"))).toBe(0o664);
    chmodSync(join(root, "f"), 0o777);
    await writeDirectly(join(root, "f"), utf8("y"), { mode: 0o600 });
    expect(modeOf(join(root, "f"))).toBe(0o600);
  } finally {
    process.umask(umask);
  }
});

test("passes on an error of the source and leaves no file", async () => {
  const broken = fail("checksum", "damaged");
  const source = async function* (): ByteStream {
    yield utf8("x");
    throw broken;
  };
  await expect(atomicWrite(join(root, "f"), source())).rejects.toBe(broken);
  await expect(writeDirectly(join(root, "g"), source())).rejects.toBe(broken);
  expect(readdirSync(root)).toEqual([]);
});

test("syncs the file before its rename and the directory after, and every new directory's parent", async () => {
  // All FileHandles share one prototype. The spy gets the synced path from the descriptor.
  const handle = await open(root, "r");
  const prototype: { sync(): Promise<void> } = Object.getPrototypeOf(handle);
  await handle.close();
  const { readlinkSync } = await import("node:fs");
  const synced: string[] = [];
  const real = prototype.sync;
  const spy = vi.spyOn(prototype, "sync").mockImplementation(async function (this: {
    fd: number;
    sync(): Promise<void>;
  }) {
    synced.push(
      `${readlinkSync(`/proc/self/fd/${this.fd}`).slice(root.length)} of ${readdirSync(join(root, "a")).join(",")}`,
    );
    await real.call(this);
  });
  try {
    await makeDirectories(join(root, "a"));
    synced.length = 0;
    await atomicWrite(join(root, "a/f"), utf8("x"));
    expect(synced).toEqual(["/a/f.pgbackrest.tmp of f.pgbackrest.tmp", "/a of f"]);
    synced.length = 0;
    await makeDirectories(join(root, "a/b/c"));
    expect(synced).toEqual(["/a/b of b,f", "/a of b,f"]);
    synced.length = 0;
    await makeDirectories(join(root, "a/b/c"));
    await atomicWrite(join(root, "a/f"), utf8("x"), { syncDirectories: false });
    expect(synced).toEqual(["/a/f.pgbackrest.tmp of b,f,f.pgbackrest.tmp"]);
  } finally {
    spy.mockRestore();
  }
});

test("cannot sync a missing directory", async () => {
  await expect(syncDirectory(join(root, "missing"))).rejects.toMatchObject({
    kind: "pathOpen",
    message: `unable to open path '${join(root, "missing")}' for sync: [2] No such file or directory`,
  });
});

test.each([false, true])(
  "of two concurrent writers none gives the file's name to the other's unfinished content (halves as long as the whole: %s)",
  async (sameSize) => {
    const path = join(root, "f");
    const opens: (() => void)[] = [];
    const [one, two] = [1, 2].map(() => new Promise<void>((resolve) => void opens.push(resolve)));
    const source = async function* (gate: Promise<void> | undefined, isLong = false): ByteStream {
      yield utf8(isLong ? "long half" : "half");
      await gate;
      yield utf8("whole");
    };
    const began = (sizeBytes: number) =>
      vi.waitFor(() => expect(statSync(`${path}.pgbackrest.tmp`).size).toBe(sizeBytes));
    const first = atomicWrite(path, source(one)).catch((error: unknown) => error);
    await began(4);
    const inode = statSync(`${path}.pgbackrest.tmp`).ino;
    const second = atomicWrite(path, source(two, sameSize));
    await vi.waitFor(() => expect(statSync(`${path}.pgbackrest.tmp`).ino).not.toBe(inode));
    // With `sameSize` half of the second file is as long as the whole first one, so only the inode differs.
    await began(sameSize ? 9 : 4);
    opens[0]?.();
    expect(await first).toMatchObject({ kind: "fileMove", retryable: true });
    expect(readdirSync(root)).toEqual(["f.pgbackrest.tmp"]);
    opens[1]?.();
    await second;
    expect(readdirSync(root)).toEqual(["f"]);
    expect(readFileSync(path, "utf8")).toBe(sameSize ? "long halfwhole" : "halfwhole");
  },
);

test("writers with their own temporary names both succeed, and the last one's content stays", async () => {
  const path = join(root, "f");
  const options = { random: seededRandom(1) };
  const other = { random: seededRandom(2) };
  await atomicWrite(
    path,
    (async function* (): ByteStream {
      yield utf8("first");
      await atomicWrite(path, utf8("second"), other);
      expect(readdirSync(root).filter((name) => !/^f\.[0-9a-f]{16}\.pgbackrest\.tmp$/.test(name))).toEqual(["f"]);
      expect(readFileSync(path, "utf8")).toBe("second");
    })(),
    options,
  );
  expect(readFileSync(path, "utf8")).toBe("first");
  expect(readdirSync(root)).toEqual(["f"]);
});

test("a writer whose shared temporary name was removed publishes nothing", async () => {
  const path = join(root, "f");
  const source = async function* (): ByteStream {
    yield utf8("first");
    for (const name of readdirSync(root)) rmSync(join(root, name));
  };
  await expect(atomicWrite(path, source())).rejects.toThrow("is not the file that was written");
});

// claim: README.md: a device or pipe is never replaced by a file, and a file with other names is never written into
describe("an existing entry", () => {
  test("loses its name: other names of the file keep the old content", async () => {
    writeFileSync(join(root, "f"), "old");
    for (const [name, write] of [
      ["put", (path: string) => atomicWrite(path, utf8("new"))],
      ["in place", (path: string) => writeDirectly(path, utf8("new"))],
      ["by a thread", writeByThread],
    ] as const) {
      linkSync(join(root, "f"), join(root, name));
      await write(join(root, name));
      expect([readFileSync(join(root, "f"), "utf8"), readFileSync(join(root, name), "utf8")]).toEqual(["old", "new"]);
    }
    symlinkSync("f", join(root, "link"));
    await writeDirectly(join(root, "link"), utf8("new"));
    expect([readFileSync(join(root, "f"), "utf8"), readFileSync(join(root, "link"), "utf8")]).toEqual(["old", "new"]);
  });

  test.each(["pipe", "link to a pipe"])("a %s is neither replaced nor removed", async (kind) => {
    const path = join(root, "p");
    execFileSync("mkfifo", [kind === "pipe" ? path : join(root, "real")]);
    if (kind !== "pipe") symlinkSync("real", path);
    const text = `unable to replace '${path}', which is a device, a pipe or a socket and not a file`;
    const before = readdirSync(root);
    await expect(atomicWrite(path, utf8("x"))).rejects.toMatchObject({ kind: "fileOpen", message: text });
    await expect(writeDirectly(path, utf8("x"))).rejects.toMatchObject({ kind: "fileOpen", message: text });
    await expect(writeByThread(path)).rejects.toMatchObject({ kind: "fileOpen", message: text });
    expect(readdirSync(root)).toEqual(before);
    expect(statSync(path).isFIFO()).toBe(true);
  });

  test("a directory stays", async () => {
    mkdirSync(join(root, "d"));
    await expect(writeDirectly(join(root, "d"), utf8("x"))).rejects.toMatchObject({ kind: "fileOpen" });
    await expect(atomicWrite(join(root, "d"), utf8("x"))).rejects.toMatchObject({ kind: "fileMove" });
    expect(readdirSync(root)).toEqual(["d"]);
  });
});

async function writeByThread(path: string): Promise<void> {
  const writer = await openFileWriter(path, {});
  writer.write(utf8("new"));
  await writer.finish();
}

test("creates a file once: with missing directories, durable, and leaves nothing beside it", async () => {
  const path = join(root, "a/b/f");
  expect(await atomicCreate(path, utf8("first"), { random: systemRandom })).toBe(true);
  expect(await atomicCreate(path, utf8("second"), { random: systemRandom })).toBe(false);
  expect(readFileSync(path, "utf8")).toBe("first");
  expect(readdirSync(join(root, "a/b"))).toEqual(["f"]);
  expect([modeOf(path), statSync(path).nlink]).toEqual([0o640, 1]);
});

test("creates over nothing, not even over a dangling link", async () => {
  symlinkSync(join(root, "nowhere"), join(root, "f"));
  expect(await atomicCreate(join(root, "f"), utf8("x"), { random: systemRandom })).toBe(false);
  expect(readdirSync(root)).toEqual(["f"]);
});

test.each(["EMLINK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EPERM", "EXDEV"])(
  "creates a file by an exclusive open where a hard link fails with %s",
  async (code) => {
    const spy = vi.spyOn(promised, "link").mockRejectedValue(Object.assign(new Error(code), { code }));
    syncBuiltinESMExports();
    try {
      const create = (text: string): Promise<boolean> =>
        atomicCreate(join(root, "f"), utf8(text), { random: systemRandom });
      expect([await create("first"), await create("second")]).toEqual([true, false]);
      expect(spy).toHaveBeenCalledTimes(2);
    } finally {
      spy.mockRestore();
      syncBuiltinESMExports();
    }
    expect(readFileSync(join(root, "f"), "utf8")).toBe("first");
    expect(readdirSync(root)).toEqual(["f"]);
  },
);

describe("a file that is shorter after its sync than what was written is refused", () => {
  /** The file loses its end like one on a file system that drops it. */
  const shorten = (): void => {
    for (const name of readdirSync(root)) truncateSync(join(root, name), 3);
  };
  async function* content(): ByteStream {
    yield utf8("content");
    shorten();
  }
  const refusal = expect.objectContaining({
    kind: "fileWrite",
    retryable: true,
    message: expect.stringMatching(/\/f' has 3 bytes after its sync where 7 were written$/),
  });

  test.each([atomicWrite, writeDirectly])("%o", async (write) => {
    await expect(write(join(root, "f"), content())).rejects.toThrow(refusal);
    expect(readdirSync(root)).toEqual([]);
  });

  test("of a writer in place", async () => {
    const writer = await openFileWriter(join(root, "f"), {});
    writer.write(utf8("content"));
    shorten();
    await expect(writer.finish()).rejects.toThrow(refusal);
    expect(readdirSync(root)).toEqual([]);
  });
});
