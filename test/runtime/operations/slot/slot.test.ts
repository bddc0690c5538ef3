import { expect, test } from "vitest";
import { createSlot, findInServer, findSlot, slotName } from "../../../../runtime/operations/slot/slot";
import { boundWarning } from "../../../../runtime/operations/slot/slotCheck";

test("a stanza's slot has a legal name of its own", () => {
  expect(slotName("main")).toBe("pgbackstop_main");
  const names = ["my-db", "my.db", "My_db", "ä", "x".repeat(80), `${"x".repeat(80)}y`].map(slotName);
  for (const name of names) expect(name).toMatch(/^pgbackstop_[a-z0-9_]{1,52}$/);
  expect(new Set(names).size).toBe(names.length);
});

const answering = (row: object | null) => ({
  query: async () => ({ rows: row === null ? [] : [row] }) as never,
});
const ROW = { lsn: "0/3000148", pid: 7, status: "reserved", safe: "1024", retained: "512" };

test("a slot shows its position, its reader, and what the server keeps for it", async () => {
  expect(await findSlot(answering(null), "s")).toBeNull();
  const slot = await findSlot(answering(ROW), "s");
  expect(slot).toEqual({
    restartLsn: 0x3000148n,
    activePid: 7,
    walStatus: "reserved",
    retainedBytes: 512,
    safeBytes: 1024,
  });
  expect(slot === null ? null : boundWarning(slot, "s")).toBeNull();
});

test("a lost slot has no position, and one without a limit is warned about", async () => {
  expect((await findSlot(answering({ ...ROW, status: "lost" }), "s"))?.restartLsn).toBeNull();
  const unbounded = await findSlot(answering({ ...ROW, safe: null }), "s");
  expect(unbounded === null ? null : boundWarning(unbounded, "s")).toContain("max_slot_wal_keep_size is -1");
});

test.each([
  ["42501", "needs REPLICATION"],
  ["53400", "Raise max_replication_slots"],
  ["55000", "wal_level = replica"],
])("a refusal with %s says what to change", async (code, hint) => {
  const session = {
    query: async (): Promise<never> => {
      throw Object.assign(new Error("refused"), { code });
    },
  };
  await expect(createSlot(session, "s")).rejects.toMatchObject({
    kind: "dbQuery",
    hints: [expect.stringContaining(hint)],
  });
});

test("if the role may not look at pg_wal, the slot says which WAL the server has", async () => {
  const names = ["000000010000000000000002", "000000010000000000000003", "000000010000000000000004"];
  const slot = { name: "s", segmentSizeBytes: 16 * 1024 * 1024 };
  const asked = (row: object | null) => ({
    query: async (sql: string) => {
      if (sql.includes("pg_ls_waldir")) throw Object.assign(new Error("permission denied"), { code: "42501" });
      return answering(row).query();
    },
  });
  expect(await findInServer(asked(ROW), names, slot)).toEqual(names.slice(1));
  expect(await findInServer(asked({ ...ROW, status: "lost" }), names, slot)).toEqual([]);
  expect(await findInServer(asked(null), names, slot)).toEqual([]);
});
