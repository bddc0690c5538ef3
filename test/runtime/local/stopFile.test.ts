import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkStopFile, hasStopFile, removeStopFile, writeStopFile } from "../../../runtime/local/stopFile";

let lockPath: string;
beforeEach(() => {
  lockPath = mkdtempSync(join(tmpdir(), "stop-"));
});
afterEach(() => rmSync(lockPath, { recursive: true, force: true }));

const thrownBy = (work: () => void): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
};

test("nothing is stopped without a stop file, nor without the lock path", () => {
  checkStopFile(lockPath, "demo");
  checkStopFile(join(lockPath, "missing"), "demo");
});

test("the stanza's own stop file stops that stanza only", () => {
  writeFileSync(join(lockPath, "demo.stop"), "");
  expect(thrownBy(() => checkStopFile(lockPath, "demo"))).toMatchObject({
    kind: "stop",
    exitCode: 62,
    message: "stop file exists for stanza demo",
    hints: [`Run pgbackstop start --stanza=demo, or remove '${lockPath}/demo.stop'.`],
  });
  checkStopFile(lockPath, "other");
  checkStopFile(lockPath, undefined);
});

test("all.stop stops every stanza", () => {
  writeFileSync(join(lockPath, "all.stop"), "");
  expect(thrownBy(() => checkStopFile(lockPath, "demo"))).toMatchObject({
    kind: "stop",
    message: "stop file exists for all stanzas",
  });
  expect(thrownBy(() => checkStopFile(lockPath, undefined))).toMatchObject({
    kind: "stop",
    message: "stop file exists for all stanzas",
  });
});

test("is created and removed once, with its directory", () => {
  const path = join(lockPath, "not", "there");
  for (const stanza of ["main", undefined]) {
    expect(hasStopFile(path, stanza)).toBe(false);
    expect(removeStopFile(path, stanza)).toBe(false);
    expect(writeStopFile(path, stanza)).toBe(true);
    expect(writeStopFile(path, stanza)).toBe(false);
    expect(thrownBy(() => checkStopFile(path, "main"))).toMatchObject({ kind: "stop" });
    expect(removeStopFile(path, stanza)).toBe(true);
    expect(thrownBy(() => checkStopFile(path, "main"))).toBeUndefined();
  }
});
