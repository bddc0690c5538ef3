import { mkdtempSync, rmSync } from "node:fs";
import { chmod, mkdir, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { actAs, actAsRoot, groupOf, requireDirectoryOf } from "../../../runtime/local/actAs";

import { serverUser } from "../../../tools/parts/users";

const STRANGER = { uid: 61_111, gid: 61_112 };
const ids = (): unknown => [process.geteuid?.(), process.getegid?.(), process.getgroups?.()];

test.runIf(process.geteuid?.() === 0)(
  "root works with an account's rights, and gets its own back, also after an error",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "act-"));
    const before = ids();
    try {
      await expect(actAs(STRANGER, () => writeFile(join(folder, "a"), ""))).rejects.toMatchObject({ code: "EACCES" });
      expect(ids()).toEqual(before);
      await chmod(folder, 0o777);
      await actAs(STRANGER, async () => {
        expect(ids()).toEqual([STRANGER.uid, STRANGER.gid, [STRANGER.gid]]);
        await writeFile(join(folder, "a"), "");
        await expect(actAsRoot(() => Promise.reject(new Error(JSON.stringify(ids()))))).rejects.toThrow("[0,0,");
        expect(ids()).toEqual([STRANGER.uid, STRANGER.gid, [STRANGER.gid]]);
      });
      expect(await stat(join(folder, "a"))).toMatchObject(STRANGER);
      expect(ids()).toEqual(before);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

test("an account other than root works unchanged, and so does root for itself", async () => {
  const uid = process.geteuid?.() ?? 0;
  expect(await actAs({ uid, gid: 0 }, async () => process.geteuid?.() ?? 0)).toBe(uid);
});

test.runIf(process.geteuid?.() === 0)(
  "an account's directory is made, or taken from a killed process of ours",
  async () => {
    const account = { uid: 4242, gid: 4242 };
    const folder = mkdtempSync(join(tmpdir(), "pgb-own-"));
    try {
      const require = (name: string): Promise<void> => requireDirectoryOf(account, join(folder, name), "the test's");
      await mkdir(join(folder, "left"));
      for (const name of ["new", "left", "new"]) {
        await require(name);
        expect(await stat(join(folder, name))).toMatchObject(account);
      }
      await mkdir(join(folder, "used/file"), { recursive: true });
      await writeFile(join(folder, "file"), "");
      await symlink(join(folder, "new"), join(folder, "link"));
      for (const name of ["used", "file", "link"])
        await expect(require(name)).rejects.toMatchObject({ kind: "fileOwner" });
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

test.runIf(process.geteuid?.() === 0)("an account works with its own groups, not with those of its files", async () => {
  const { gid, uid } = serverUser();
  expect(await actAs({ uid, gid: 0 }, async () => [process.getegid?.(), process.getgroups?.().includes(0)])).toEqual([
    gid,
    false,
  ]);
  expect(groupOf(STRANGER)).toBe(STRANGER.gid);
  expect(groupOf({ uid: STRANGER.uid, gid: 0 })).toBe(65_534);
});
