import { existsSync, mkdirSync, openSync, readdirSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { type SharedFile, SharedPages } from "../../../../runtime/operations/clone/sharedPages";
import { PAGE_BYTES } from "../../../../runtime/operations/open/pageSet";
import { temporaryFolder } from "../../repository/support";

let directory: string;

beforeEach(() => {
  directory = temporaryFolder();
});

function opened(count: number, boot = "boot1"): SharedFile {
  const file = SharedPages.open({ directory, boot, rows: "rows" }).file(7, count * PAGE_BYTES);
  if (file === null) throw new Error("the file is shared");
  return file;
}

const page = (byte: number): Buffer => Buffer.alloc(PAGE_BYTES, byte);

describe("pages that clones share", () => {
  test("are there for another one when they were written, and nothing else is", () => {
    const [one, other] = [opened(3000), opened(3000)];
    expect(one.presentIn([0, 2999])).toEqual([]);
    one.write(5, Buffer.concat([page(1), page(0)]));
    one.write(2999, page(9));
    expect(other.presentIn([0, 5000])).toEqual([
      [5, 6],
      [2999, 2999],
    ]);
    const target = Buffer.alloc(2 * PAGE_BYTES, 255);
    expect([other.read(5, target), target.equals(Buffer.concat([page(1), page(0)]))]).toEqual([true, true]);
    expect(statSync(join(directory, "boot1-rows/7")).blocks * 512).toBeLessThan(10 * PAGE_BYTES);
    for (const file of [one, other]) file.close();
  });

  // claim: docs/clones.md: a shared page that this machine has lost is never read as a wrong one
  test("with other bytes than were written are missing", () => {
    const file = opened(10);
    file.write(2, Buffer.concat([page(1), page(2), page(3)]));
    // Marks take one page here.
    writeSync(openSync(join(directory, "boot1-rows/7"), "r+"), page(0), 0, 100, 4 * PAGE_BYTES + 17);
    expect(file.read(2, Buffer.alloc(3 * PAGE_BYTES))).toBe(false);
    expect(file.presentIn([0, 9])).toEqual([
      [2, 2],
      [4, 4],
    ]);
    file.close();
  });

  test("do not outlive the machine's start", () => {
    mkdirSync(join(directory, "boot0-rows"));
    opened(1).close();
    expect(readdirSync(directory)).toEqual(["boot1-rows"]);
    expect(existsSync(join(directory, "boot0-rows"))).toBe(false);
  });

  test("do not include those of a file that ends inside a page", () => {
    expect(SharedPages.open({ directory, boot: "boot1", rows: "rows" }).file(1, PAGE_BYTES + 1)).toBeNull();
  });
});
