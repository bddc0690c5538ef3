import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { DEFAULT_SETTINGS } from "../../../../runtime/config/settings";
import { type SlotReport, slotDirectory } from "../../../../runtime/local/slotState";
import { isRead, loadSlot, waitingFor } from "../../../../runtime/operations/slot/slotReport";
import { temporaryFolder } from "../../repository/support";

const REPORT: SlotReport = {
  slot: "pgbackstop_demo",
  atS: 1000,
  activeAtS: 1000,
  isActive: true,
  walStatus: "reserved",
  retainedBytes: 0,
  safeBytes: null,
  lossCount: 0,
  trouble: null,
};

test("a host that archives by archive_command has no slot", async () => {
  const settings = { settings: DEFAULT_SETTINGS, spoolPath: temporaryFolder(), stanza: "demo" };
  expect(await loadSlot(settings)).toBeNull();
  const own = { ...settings, settings: { ...DEFAULT_SETTINGS, archive: "stream" as const } };
  expect(await loadSlot(own)).toMatchObject({ isActive: false, trouble: "no agent has read it yet" });
});

test("a dead agent lists nothing: its last look counts as the age of what waits", async () => {
  const spoolPath = temporaryFolder();
  const settings = { settings: { ...DEFAULT_SETTINGS, archive: "stream" as const }, spoolPath, stanza: "demo" };
  const status = `${slotDirectory(spoolPath, "demo")}/archive_status`;
  const name = "000000010000000000000003";
  mkdirSync(status, { recursive: true });
  expect([isRead(REPORT, 1060), isRead(REPORT, 1061)]).toEqual([true, false]);
  expect(await waitingFor(settings, "/nowhere", REPORT, 1060)).toEqual({ count: 0, oldestAtS: null });
  expect(await waitingFor(settings, "/nowhere", REPORT, 2000)).toEqual({ count: 0, oldestAtS: 1000 });
  writeFileSync(`${status}/${name}.ready`, "");
  utimesSync(`${status}/${name}.ready`, 900, 900);
  expect(await waitingFor(settings, "/nowhere", REPORT, 2000)).toEqual({ count: 1, oldestAtS: 900 });
});
