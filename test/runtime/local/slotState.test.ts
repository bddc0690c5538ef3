import { existsSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  addReadyFile,
  loadSlotPosition,
  loadSlotReport,
  markDone,
  saveSlotPosition,
  saveSlotReport,
  setReadyFiles,
  slotDirectory,
} from "../../../runtime/local/slotState";
import { temporaryFolder } from "../repository/support";

test("a position comes back, and is forgotten; an unreadable one counts as none", async () => {
  const spool = temporaryFolder();
  expect(await loadSlotPosition(spool, "demo")).toBeNull();
  const position = { systemId: 7_000_000_000_000_000_001n, timeline: 3, lsn: 0x5000000n };
  await saveSlotPosition(spool, "demo", position);
  expect(await loadSlotPosition(spool, "demo")).toEqual(position);
  writeFileSync(`${spool}/pgbackstop/demo/slot.json`, '{"lsn":"x"}');
  expect(await loadSlotPosition(spool, "demo")).toBeNull();
  await saveSlotPosition(spool, "demo", null);
  expect(existsSync(`${spool}/pgbackstop/demo/slot.json`)).toBe(false);
});

test("a report comes back", async () => {
  const spool = temporaryFolder();
  expect(await loadSlotReport(spool, "demo")).toBeNull();
  const report = {
    slot: "pgbackstop_demo",
    atS: 1_795_156_859,
    activeAtS: 1_795_156_850,
    isActive: false,
    walStatus: "extended",
    retainedBytes: 5,
    safeBytes: null,
    lossCount: 2,
    trouble: "no server",
  };
  await saveSlotReport(spool, "demo", report);
  expect(await loadSlotReport(spool, "demo")).toEqual(report);
});

test("waiting files keep their age, done ones stay while the server has the file", async () => {
  const directory = slotDirectory(temporaryFolder(), "demo");
  const list = (): string[] => readdirSync(`${directory}/archive_status`).sort();
  await setReadyFiles(directory, ["A", "B"], () => false);
  utimesSync(`${directory}/archive_status/B.ready`, 1000, 1000);
  await markDone(directory, "A");
  await markDone(directory, "never");
  await addReadyFile(directory, "C");
  expect(list()).toEqual(["A.done", "B.ready", "C.ready"]);
  await setReadyFiles(directory, ["B"], (name) => name === "A");
  expect(list()).toEqual(["A.done", "B.ready"]);
  expect(statSync(`${directory}/archive_status/B.ready`).mtimeMs).toBe(1_000_000);
  // What was done waits again after the server was reset.
  await setReadyFiles(directory, ["A"], () => true);
  expect(list()).toEqual(["A.ready"]);
});
