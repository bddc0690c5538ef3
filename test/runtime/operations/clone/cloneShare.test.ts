import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { joinShare, leaveShare, type ShareRequest } from "../../../../runtime/operations/clone/cloneShare";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

let folder: string;

const request = (name: string): ShareRequest => ({
  at: join(folder, "clones", name),
  account: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
  lockPath: join(folder, "lock"),
  self: { pid: process.pid, execId: "1-00000000" },
});

beforeEach(() => {
  folder = temporaryFolder();
  mkdirSync(join(folder, "clones"));
});

describe("the directory of shared pages", () => {
  test("stays until the last clone of the place is closed", async () => {
    const context = testContext();
    const pages = await joinShare(request("one"), context);
    // Two at the same time wait for each other.
    const again = await Promise.all([joinShare(request("two"), context), joinShare(request("one"), context)]);
    expect(again).toEqual([pages, pages]);
    writeFileSync(join(pages, "page"), "");
    await leaveShare(request("one"), context);
    await leaveShare(request("one"), context);
    expect(readdirSync(pages)).toEqual(["page"]);
    await leaveShare(request("two"), context);
    expect(existsSync(pages)).toBe(false);
    // And the place can be used again.
    expect(await joinShare(request("three"), context)).toBe(pages);
  });

  test("is not made for a backup that was only opened", async () => {
    await leaveShare(request("opened"), testContext());
    expect(readdirSync(join(folder, "clones"))).toEqual([]);
  });
});
