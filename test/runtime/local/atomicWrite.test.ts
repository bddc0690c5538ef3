import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type ByteStream, utf8 } from "../../../runtime/base/bytes";
import { fail } from "../../../runtime/base/errors";
import { atomicWrite, makeDirectories, syncDirectory, writeInPlace } from "../../../runtime/local/atomicWrite";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "atomic-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));
const modeOf = (path: string): number => statSync(path).mode & 0o777;

test("writes bytes and streams, making directories", async () => {
  await atomicWrite(join(root, "a/b/f"), utf8("bytes"));
  expect(readFileSync(join(root, "a/b/f"), "utf8")).toBe("bytes");
  const source = async function* (): ByteStream {
    yield utf8("st");
    yield utf8("ream");
  };
  await atomicWrite(join(root, "a/b/f"), source());
  expect(readFileSync(join(root, "a/b/f"), "utf8")).toBe("stream");
  expect([modeOf(join(root, "a")), modeOf(join(root, "a/b")), modeOf(join(root, "a/b/f"))]).toEqual([0o750, 0o750, 0o640]);
});

test("a mode that is asked for is exact, whatever the umask and the old file", async () => {
  const umask = process.umask(0o077);
  try {
    await atomicWrite(join(root, "f"), utf8("x"), { mode: 0o664 });
    expect(modeOf(join(root, "f"))).toBe(0o664);
    chmodSync(join(root, "f"), 0o777);
    await writeInPlace(join(root, "f"), utf8("y"), { mode: 0o600 });
    expect(modeOf(join(root, "f"))).toBe(0o600);
  } finally {
    process.umask(umask);
  }
});

test("an error of the source comes out as it is and leaves no file", async () => {
  const broken = fail("checksum", "damaged");
  const source = async function* (): ByteStream {
    yield utf8("x");
    throw broken;
  };
  await expect(atomicWrite(join(root, "f"), source())).rejects.toBe(broken);
  await expect(writeInPlace(join(root, "g"), source())).rejects.toBe(broken);
  expect(readdirSync(root)).toEqual([]);
});

test("syncs the file before its rename and the directory after, and every new directory's parent", async () => {
  // Every FileHandle has the one prototype: what is synced is read from its descriptor.
  const handle = await open(root, "r");
  const prototype: { sync(): Promise<void> } = Object.getPrototypeOf(handle);
  await handle.close();
  const { readlinkSync } = await import("node:fs");
  const synced: string[] = [];
  const real = prototype.sync;
  const spy = vi.spyOn(prototype, "sync").mockImplementation(async function (this: { fd: number; sync(): Promise<void> }) {
    synced.push(`${readlinkSync(`/proc/self/fd/${this.fd}`).slice(root.length)} of ${readdirSync(join(root, "a")).join(",")}`);
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

test("a missing directory cannot be synced", async () => {
  await expect(syncDirectory(join(root, "missing"))).rejects.toMatchObject({
    kind: "pathOpen",
    message: `unable to open path '${join(root, "missing")}' for sync: [2] No such file or directory`,
  });
});
