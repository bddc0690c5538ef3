import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { requireHoles } from "../../../../runtime/local/punchHoles";
import type { Fetch } from "../../../../runtime/operations/open/openFiles";
import { PageCache } from "../../../../runtime/operations/open/pageCache";
import { PAGE_BYTES } from "../../../../runtime/operations/open/pageSet";
import { waitFor } from "../../../../tools/parts/process";
import { testContext } from "../../../harness/context";
import { originBytes, type UpperWorld, upperWorlds } from "./upperWorld";

const world = upperWorlds();

/** What is dropped at once. */
const PART = 512;
const LIMIT = 2 * PART * PAGE_BYTES;
const NONE: Fetch = { pages: () => Promise.resolve(), readTo: () => {} };

function fill({ upper }: UpperWorld, index: number, content: Buffer, first: number, count: number): void {
  const { file, origin } = upper.targets[index] ?? {};
  if (file === undefined || origin === undefined) throw new Error("no such file");
  file.fill(origin, first * PAGE_BYTES, content.subarray(first * PAGE_BYTES, (first + count) * PAGE_BYTES));
}

/** `fallocate` first runs these lines of a shell. */
async function withFallocate<T>(made: UpperWorld, lines: string, work: () => Promise<T>): Promise<T> {
  const script = `#!/bin/sh\n${lines}\nPATH=\${PATH#*:} exec fallocate "$@"\n`;
  writeFileSync(join(made.folder, "fallocate"), script, { mode: 0o755 });
  vi.stubEnv("PATH", `${made.folder}:${process.env.PATH}`);
  try {
    return await work();
  } finally {
    vi.unstubAllEnvs();
  }
}

describe("fetched pages with a limit", () => {
  // claim: docs/open.md: with `--cache-max` the least recently read pages are dropped, and written ones stay
  test("the least recently read are dropped, their space is given back, and written ones stay", async () => {
    const made = world({ "base/1": 4 * PART * PAGE_BYTES });
    const content = originBytes(0, 4 * PART * PAGE_BYTES);
    const cache = new PageCache(
      { ...made.upper, folder: made.folder, lock: made.lock, sizeBytesMax: LIMIT },
      testContext(),
    );
    const fetch = cache.around(NONE);
    const { file, origin } = made.upper.targets[0] ?? {};
    if (file === undefined || origin === undefined) throw new Error("no file");
    for (const part of [0, 1]) fill(made, 0, content, part * PART, PART);
    file.write(PART * PAGE_BYTES, Buffer.alloc(PAGE_BYTES, 1));
    await cache.shrink();
    expect(origin.pages.missingRuns(0, 2 * PART - 1)).toEqual([]);
    // The first part is read again, so that the second one is older.
    fetch.readTo(file, origin, [3, 3]);
    fill(made, 0, content, 2 * PART, PART);
    await cache.shrink();
    expect(origin.pages.runsIn(0, 4 * PART)).toEqual([
      [0, PART],
      [2 * PART, 3 * PART - 1],
    ]);
    const { blocks } = statSync(join(made.folder, "upper/base/1"));
    expect(blocks * 512).toBeLessThanOrEqual(LIMIT + 16 * PAGE_BYTES);
    await cache.close();
    fill(made, 0, content, 3 * PART, PART);
    await cache.shrink();
    expect(origin.pages.missingRuns(3 * PART, 4 * PART)).toEqual([]);
  });

  test("the program that gives the space back holds the lock of the process, also after a kill", async () => {
    const made = world({ "base/1": PART * PAGE_BYTES });
    fill(made, 0, originBytes(0, PART * PAGE_BYTES), 0, PART);
    await made.write("base/1", 0, Buffer.alloc(PAGE_BYTES, 1));
    const held = join(made.folder, "held");
    await withFallocate(made, `readlink /proc/$$/fd/3 > ${held}`, () => made.dropAll());
    expect(readFileSync(held, "utf8")).toBe(`${join(made.folder, "serving.lock")}\n`);
    expect(made.stored("base/1").subarray(PAGE_BYTES)).toEqual(Buffer.alloc((PART - 1) * PAGE_BYTES));
  });

  // claim: docs/open.md: readers are served while pages are dropped
  test("many files that go whole need no process, keep size and mode, and readers are served between them", async () => {
    const sizes = Object.fromEntries(Array.from({ length: 40 }, (_, number) => [`base/${number}`, 5000 + number]));
    const made = world(sizes);
    for (const path of Object.keys(sizes)) await made.read(path);
    const open = made.nodeOf("base/7");
    await made.ask({ kind: "open" }, open);
    chmodSync(join(made.folder, "upper/base/9"), 0o640);
    // Of a process that was killed.
    writeFileSync(join(made.folder, "renewed-0"), "");
    made.upper.tree.find("base/3")?.file?.write(0, Buffer.from("own"));
    let readCount = 0;
    const started = join(made.folder, "started");
    await withFallocate(made, `echo >> ${started}`, async () => {
      let isDone = false;
      const dropping = made.dropAll().finally(() => {
        isDone = true;
      });
      while (!isDone) {
        await made.read("base/3", 0, 3);
        readCount++;
        await new Promise((resolve) => setImmediate(resolve));
      }
      await dropping;
    });
    expect(existsSync(started)).toBe(false);
    expect(readCount).toBeGreaterThan(10);
    for (const [path, size] of Object.entries(sizes)) {
      const { blocks, mode, size: actual } = statSync(join(made.folder, "upper", path));
      expect([actual, mode & 0o777]).toEqual([size, path === "base/9" ? 0o640 : 0o644]);
      if (path !== "base/3") expect(blocks).toBe(0);
    }
    expect(readdirSync(made.folder).filter((name) => name.startsWith("renewed"))).toEqual([]);
    const again = await made.ask({ kind: "read", offsetBytes: 0, sizeBytes: 5007 }, open);
    expect(Buffer.from(again)).toEqual(originBytes(7, 5007));
    made.reopen();
    expect(await made.read("base/9")).toEqual(originBytes(9, 5009));
  });

  test("while space is given back other pages are served, and what is read or written there waits for it", async () => {
    const made = world({ "base/1": 8 * PAGE_BYTES, "base/2": PAGE_BYTES });
    const expected = originBytes(0, 8 * PAGE_BYTES);
    await made.read("base/1");
    for (const page of [0, 7]) {
      await made.write("base/1", page * PAGE_BYTES, Buffer.alloc(PAGE_BYTES, 1));
      expected.fill(1, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    }
    const [began, go] = [join(made.folder, "began"), join(made.folder, "go")];
    const waits = `echo > ${began}; while [ ! -e ${go} ]; do sleep 0.02; done`;
    await withFallocate(made, waits, async () => {
      const dropping = made.dropAll();
      await waitFor("the program", 10_000, async () => (existsSync(began) ? true : null));
      const done: string[] = [];
      const waiting = [
        made.write("base/1", 2 * PAGE_BYTES, Buffer.alloc(PAGE_BYTES, 2)).then(() => done.push("write")),
        made.read("base/1", 3 * PAGE_BYTES, 10).then(() => done.push("read")),
        made.truncate("base/1", 6 * PAGE_BYTES).then(() => done.push("cut")),
      ];
      // Fetched for another reader.
      made.upper.targets[0]?.file.fill(made.upper.targets[0].origin, 0, originBytes(0, 8 * PAGE_BYTES));
      expect((await made.read("base/1", 0, PAGE_BYTES)).equals(expected.subarray(0, PAGE_BYTES))).toBe(true);
      expect(await made.read("base/2")).toEqual(originBytes(1, PAGE_BYTES));
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(done).toEqual([]);
      writeFileSync(go, "");
      await Promise.all([dropping, ...waiting]);
    });
    expected.fill(2, 2 * PAGE_BYTES, 3 * PAGE_BYTES);
    for (const die of [() => {}, () => made.reopen()]) {
      die();
      expect((await made.read("base/1")).equals(expected.subarray(0, 6 * PAGE_BYTES))).toBe(true);
    }
  });

  test("pages that come back before their space is given back stay", async () => {
    const made = world({ "base/1": PART * PAGE_BYTES });
    const content = originBytes(0, PART * PAGE_BYTES);
    fill(made, 0, content, 0, PART);
    const { journal } = made.upper;
    const sync = journal.sync.bind(journal);
    const parts = {
      ...made.upper,
      folder: made.folder,
      lock: made.lock,
      sizeBytesMax: 0,
      journal: {
        sync: async () => {
          await sync();
          fill(made, 0, content, 7, 2);
        },
      },
    };
    const cache = new PageCache(parts, testContext());
    const dropping = cache.shrink();
    void cache.close();
    await dropping;
    expect(made.upper.targets[0]?.origin.pages.runsIn(0, PART)).toEqual([[7, 8]]);
    const stored = made.stored("base/1");
    expect(
      stored.subarray(7 * PAGE_BYTES, 9 * PAGE_BYTES).equals(content.subarray(7 * PAGE_BYTES, 9 * PAGE_BYTES)),
    ).toBe(true);
    expect(stored.subarray(0, PAGE_BYTES)).toEqual(Buffer.alloc(PAGE_BYTES));
  });

  test("a file that becomes whole keeps its pages", async () => {
    const made = world({ "base/1": 3 * PAGE_BYTES });
    const { file } = made.upper.targets[0] ?? {};
    await made.read("base/1");
    await file?.keptWhile(() => made.dropAll());
    expect(file?.origin?.pages.missingCount).toBe(0);
    await made.dropAll();
    expect(file?.origin?.pages.missingCount).toBe(3);
  });

  test("a file system without holes is refused in words", async () => {
    const made = world({});
    await requireHoles(made.folder);
    // Of a process that was killed.
    writeFileSync(join(made.folder, "holes"), "");
    await requireHoles(made.folder);
    await expect(requireHoles("/proc/self")).rejects.toThrow();
  });
});
