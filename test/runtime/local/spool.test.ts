import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import { agentSpool, type Spool, stockSpool } from "../../../runtime/local/spool";
import { temporaryFolder } from "../repository/support";

const NAME = "000000010000000000000001";
let spool: Spool;

beforeEach(() => {
  spool = stockSpool(temporaryFolder(), "demo", "out");
});

it("is in stock's location; the agent's own is not", () => {
  expect(stockSpool("/spool", "demo", "in").path).toBe("/spool/archive/demo/in");
  expect(agentSpool("/spool", "demo").path).toBe("/spool/pgbackstop/demo/in");
  expect(agentSpool("/spool", "demo", 2).path).toBe("/spool/pgbackstop/demo/in-repo2");
});

it("writes status files in stock's bytes and reads them back", async () => {
  expect(await spool.list()).toEqual([]);
  expect(await spool.findStatus(NAME)).toBeNull();
  await spool.make();
  await spool.writeError(NAME, 104, "repo2: away");
  expect(readFileSync(join(spool.path, `${NAME}.error`), "utf8")).toBe("104\nrepo2: away");
  expect(await spool.findStatus(NAME)).toEqual({ kind: "error", code: 104, message: "repo2: away" });
  await spool.writeOk(NAME);
  expect(readFileSync(join(spool.path, `${NAME}.ok`), "utf8")).toBe("");
  expect(await spool.list()).toEqual([`${NAME}.ok`]);
  await spool.writeOk(NAME, ["one", "two"]);
  expect(readFileSync(join(spool.path, `${NAME}.ok`), "utf8")).toBe("0\none\ntwo");
  expect(await spool.findStatus(NAME)).toEqual({ kind: "ok", code: 0, message: "one\ntwo" });
});

it("applies a global error to every file without a status, and takes an operator's renamed file for a skip", async () => {
  await spool.make();
  await spool.writeError(null, 103, "unable to find a valid repository");
  expect(await spool.findStatus(NAME)).toMatchObject({ kind: "error", code: 103 });
  writeFileSync(join(spool.path, `${NAME}.ok`), "55\nmissing");
  expect(await spool.findStatus(NAME)).toEqual({ kind: "ok", code: 55, message: "missing" });
  await spool.clearErrors(NAME);
  expect(await spool.list()).toEqual([`${NAME}.ok`]);
});

it("moves complete files out, once", async () => {
  await spool.make();
  writeFileSync(join(spool.path, NAME), "wal");
  const destination = join(temporaryFolder(), "RECOVERYXLOG");
  expect(await spool.moveOut(NAME, destination)).toBe(true);
  expect(readFileSync(destination, "utf8")).toBe("wal");
  expect(await spool.moveOut(NAME, destination)).toBe(false);
});
