import { expect, test } from "vitest";
import { asAccountArgs } from "../../../../runtime/commands/recovery/recoverTools";
import { run } from "../../../../tools/parts/process";
import { isRoot, serverUser } from "../../../../tools/parts/users";

// Root may have left the data directory, of which the caller knows the owners, to its own group.
test.runIf(isRoot())("a program runs as an account with its own groups, not with that of its files", async () => {
  const { gid, uid } = serverUser();
  const [program = "", ...args] = asAccountArgs({ uid, gid: 0 });
  const ids = async (option: string): Promise<string[]> =>
    (await run(program, [...args, "id", option])).stdout.trim().split(" ");
  expect([await ids("-u"), await ids("-g")]).toEqual([[String(uid)], [String(gid)]]);
  expect(await ids("-G")).not.toContain("0");
});
