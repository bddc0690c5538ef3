import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
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

test("other accounts may not write beside it, and a link in the place of its temporary file leads nowhere", async () => {
  const spool = join(temporaryFolder(), "spool");
  // As `neutral-umask` has it.
  const umask = process.umask(0);
  try {
    await saveStreamState(spool, "main", []);
  } finally {
    process.umask(umask);
  }
  for (const path of [spool, join(spool, "pgbackstop"), join(spool, "pgbackstop", "main")])
    expect(statSync(path).mode & 0o777, path).toBe(0o750);
  const elsewhere = join(temporaryFolder(), "pg_control");
  writeFileSync(elsewhere, "precious");
  symlinkSync(elsewhere, join(spool, "pgbackstop", "main", "stream.json.tmp"));
  await saveStreamState(spool, "main", []);
  expect(readFileSync(elsewhere, "utf8")).toBe("precious");
});
