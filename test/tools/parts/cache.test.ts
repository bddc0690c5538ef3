import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cached, withLock } from "../../../tools/parts/cache";
import { sleep } from "../../../tools/parts/process";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pgb-cache-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("an entry of the cache", () => {
  test("is made once, also for two concurrent callers", async () => {
    let made = 0;
    const make = async (scratch: string): Promise<void> => {
      made += 1;
      await sleep(50);
      writeFileSync(join(scratch, "content"), "x");
    };
    const entry = join(folder, "entry");
    expect(await Promise.all([cached(entry, make), cached(entry, make)])).toEqual([entry, entry]);
    expect(made).toBe(1);
    expect(readFileSync(join(entry, "content"), "utf8")).toBe("x");
    expect(readdirSync(folder)).toEqual(["entry"]);
  });

  test("that cannot be made leaves nothing behind and may be tried again", async () => {
    const entry = join(folder, "entry");
    await expect(
      cached(entry, async (scratch) => {
        writeFileSync(join(scratch, "half"), "");
        throw new Error("no luck");
      }),
    ).rejects.toThrow("no luck");
    expect(readdirSync(folder)).toEqual([]);
    await cached(entry, async () => {});
    expect(existsSync(entry)).toBe(true);
  });
});

describe("a lock", () => {
  test("has one holder at a time", async () => {
    const lock = join(folder, "lock");
    let inside = 0;
    const work = async (): Promise<void> => {
      inside += 1;
      expect(inside).toBe(1);
      await sleep(20);
      inside -= 1;
    };
    await Promise.all([withLock(lock, work), withLock(lock, work), withLock(lock, work)]);
    expect(existsSync(lock)).toBe(false);
  });

  test("of a dead process is taken over", async () => {
    const lock = join(folder, "lock");
    // Larger than any Linux process id.
    writeFileSync(lock, "4194305");
    expect(await withLock(lock, async () => "done")).toBe("done");
  });

  test("is released when the work fails", async () => {
    const lock = join(folder, "lock");
    await expect(withLock(lock, () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
    expect(existsSync(lock)).toBe(false);
  });
});
