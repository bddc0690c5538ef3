import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openFileWriter } from "../../../runtime/local/fileWriter";

const PIECE = Buffer.alloc(1024 * 1024, "piece ");
/** More than is flushed at once. */
const PIECES = 70;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pgb-writer-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("a large file has all of its bytes at the end", async () => {
  const path = join(folder, "large");
  const writer = await openFileWriter(path, { syncDirectories: true });
  for (let no = 0; no < PIECES; no++) writer.write(PIECE);
  await writer.finish();
  expect(readFileSync(path).equals(Buffer.concat(Array.from({ length: PIECES }, () => PIECE)))).toBe(true);
  expect(openPaths()).not.toContain(path);
});

test("an abandoned file is removed at once, and closed after the flush that still runs", async () => {
  const path = join(folder, "large");
  const writer = await openFileWriter(path, { syncDirectories: true });
  for (let no = 0; no < PIECES; no++) writer.write(PIECE);
  writer.abandon();
  // Another attempt may use the name at once.
  expect(readdirSync(folder)).toEqual([]);
  expect(openPaths()).toContain(`${path} (deleted)`);
  await vi.waitFor(() => expect(openPaths()).not.toContain(`${path} (deleted)`));
});

/** What this process has open. */
function openPaths(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}
