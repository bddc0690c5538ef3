import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { removeFolder } from "../../../../runtime/operations/open/closeBackup";
import { openLocation } from "../../../../runtime/operations/open/openLocation";
import { OPENING_LOCK } from "../../../../runtime/operations/open/openLocks";
import { temporaryFolder } from "../../repository/support";

const SELF = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

test("the lock is the last thing that a close removes: an open that begins then finds nothing, and keeps the folder", async () => {
  const location = openLocation(join(temporaryFolder(), "past"));
  const lock = join(location.folder, OPENING_LOCK);
  mkdirSync(location.folder);
  writeFileSync(lock, "");
  for (let number = 0; number < 300; number++) writeFileSync(join(location.folder, `page${number}`), "");
  let left: readonly string[] | null = null;
  const watch = setInterval(() => {
    if (left !== null || existsSync(lock)) return;
    try {
      const names = readdirSync(location.folder);
      writeFileSync(lock, "of another open");
      left = names;
    } catch {
      // The folder went before this open began.
    }
  }, 0);
  await removeFolder(location, SELF);
  clearInterval(watch);
  expect(left ?? []).toEqual([]);
  expect(existsSync(lock)).toBe(left !== null);
  if (left !== null) await removeFolder(location, SELF);
  expect(existsSync(location.folder)).toBe(false);
});
