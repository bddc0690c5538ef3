import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { requireHoles } from "../../../../runtime/local/punchHoles";
import type { Fetch } from "../../../../runtime/operations/open/openFiles";
import { PageCache } from "../../../../runtime/operations/open/pageCache";
import { PAGE_BYTES } from "../../../../runtime/operations/open/pageSet";
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

describe("fetched pages with a limit", () => {
  // claim: docs/open.md: with `--cache-max` the least recently read pages are dropped, and written ones stay
  test("the least recently read are dropped, their space is given back, and written ones stay", async () => {
    const made = world({ "base/1": 4 * PART * PAGE_BYTES });
    const content = originBytes(0, 4 * PART * PAGE_BYTES);
    const cache = new PageCache({ ...made.upper, lock: made.lock, sizeBytesMax: LIMIT }, testContext());
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
    const held = join(made.folder, "held");
    writeFileSync(
      join(made.folder, "fallocate"),
      `#!/bin/sh\nreadlink /proc/$$/fd/4 > ${held}\nPATH=\${PATH#*:} exec fallocate "$@"\n`,
      { mode: 0o755 },
    );
    vi.stubEnv("PATH", `${made.folder}:${process.env.PATH}`);
    try {
      await made.dropAll();
    } finally {
      vi.unstubAllEnvs();
    }
    expect(readFileSync(held, "utf8")).toBe(`${join(made.folder, "serving.lock")}\n`);
    expect(made.stored("base/1")).toEqual(Buffer.alloc(PART * PAGE_BYTES));
  });

  test("pages that come back before their space is given back stay", async () => {
    const made = world({ "base/1": PART * PAGE_BYTES });
    const content = originBytes(0, PART * PAGE_BYTES);
    fill(made, 0, content, 0, PART);
    const { journal } = made.upper;
    const sync = journal.sync.bind(journal);
    const parts = {
      ...made.upper,
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

  test("a file system without holes is refused in words", () => {
    const made = world({});
    expect(() => requireHoles(made.folder)).not.toThrow();
    // Of a process that was killed.
    writeFileSync(join(made.folder, "holes"), "");
    expect(() => requireHoles(made.folder)).not.toThrow();
    expect(() => requireHoles("/proc/self")).toThrow();
  });
});
