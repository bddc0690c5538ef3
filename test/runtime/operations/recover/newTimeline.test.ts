import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { askForNewTimeline, forgetNewTimeline } from "../../../../runtime/operations/recover/newTimeline";
import { temporaryFolder } from "../../repository/support";

test("a file in LATIN1 keeps its bytes", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "postgresql.auto.conf");
  const before = Buffer.from("cluster_name = 'caf\xe9'\n", "latin1");
  writeFileSync(path, before);
  const account = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, mode: 0o600 };
  await askForNewTimeline(folder, ["false"], account);
  const asked = readFileSync(path);
  expect(asked.subarray(0, before.length)).toEqual(before);
  expect(asked.length).toBeGreaterThan(before.length);
  await forgetNewTimeline(folder, account);
  expect(readFileSync(path)).toEqual(before);
});
