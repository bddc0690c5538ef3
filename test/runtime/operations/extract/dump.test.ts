/** The file of a dump; test/interop/restore/extractTable.test.ts fills real ones. */
import { existsSync, readFileSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { expect, test } from "vitest";
import { writeDump } from "../../../../runtime/operations/extract/dump";
import type { Programs } from "../../../../runtime/postgres/programs";
import type { Session } from "../../../../runtime/postgres/session";
import { testContext } from "../../../harness/context";
import { errorOf } from "../../format/vectors";
import { temporaryFolder } from "../../repository/support";

const SIDE = {
  query: async () => ({ rows: [{ size: "1" }], command: "", rowCount: 1, oid: 0, fields: [] }),
} as Partial<Session> as Session;

/** Dumps the whole database as the text `dump`. */
function dumpTo(
  path: string,
  { meanwhile = () => undefined, code = 0 }: { meanwhile?: () => void; code?: number } = {},
) {
  const programs = {
    run: async (_name, _args, { output }) => {
      writeSync(Number(output), "dump");
      meanwhile();
      return { code, stdout: "", stderr: "no" };
    },
  } as Partial<Programs> as Programs;
  return writeDump({ side: SIDE, programs, connection: [], wanted: null, path }, testContext());
}

test("a file that appears while the dump is written stays, and so does the dump", async () => {
  const path = `${temporaryFolder()}/shop.dump`;
  const error = await errorOf("fileExists", () => dumpTo(path, { meanwhile: () => writeFileSync(path, "somebody's") }));
  expect(error.hints).toEqual([`The dump is complete: rename '${path}.pgbackstop.tmp'.`]);
  expect([readFileSync(path, "utf8"), readFileSync(`${path}.pgbackstop.tmp`, "utf8")]).toEqual(["somebody's", "dump"]);
});

test("what a killed run left is no file of the next one, and no link is followed", async () => {
  const folder = temporaryFolder();
  const path = `${folder}/shop.dump`;
  writeFileSync(`${folder}/else`, "somebody's");
  symlinkSync(`${folder}/else`, `${path}.pgbackstop.tmp`);
  await dumpTo(path);
  expect([readFileSync(path, "utf8"), readFileSync(`${folder}/else`, "utf8")]).toEqual(["dump", "somebody's"]);
  expect(existsSync(`${path}.pgbackstop.tmp`)).toBe(false);
});

test("a dump that fails leaves no file", async () => {
  const path = `${temporaryFolder()}/shop.dump`;
  const error = await errorOf("execute", () => dumpTo(path, { code: 1 }));
  expect(error.message).toBe("pg_dump failed: no");
  expect([existsSync(path), existsSync(`${path}.pgbackstop.tmp`)]).toEqual([false, false]);
});
