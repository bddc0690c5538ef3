import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadStreamState, saveStreamState } from "../../../runtime/local/streamState";
import { temporaryFolder } from "../repository/support";

test("reads the written state back, and nothing from an invalid file", async () => {
  const folder = temporaryFolder();
  const states = [{ key: 1, lsn: "0/3000148", positionBytes: 0x3000148, atS: 1_795_156_859, lostCount: 0 }];
  expect(await loadStreamState(folder, "main")).toEqual([]);
  await saveStreamState(folder, "main", states);
  expect(await loadStreamState(folder, "main")).toEqual(states);
  const file = join(folder, "pgbackstop", "main", "stream.json");
  mkdirSync(join(folder, "pgbackstop", "main"), { recursive: true });
  for (const text of [
    "",
    "{}",
    "null",
    '{"version":2,"repos":[]}',
    '{"version":1,"repos":[null,{"key":"1","lsn":"0/1","at":1}]}',
  ]) {
    writeFileSync(file, text);
    expect(await loadStreamState(folder, "main")).toEqual([]);
  }
});
