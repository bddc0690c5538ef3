import { mkdtempSync, rmSync } from "node:fs";
import { chmod, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { actAs, actAsRoot } from "../../../runtime/local/actAs";

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
