import { expect, test } from "vitest";
import { utf8 } from "../../../../runtime/base/bytes";
import { checkDumpLoads } from "../../../../runtime/operations/drill/dumpCheck";
import type { Programs } from "../../../../runtime/postgres/programs";
import type { Session } from "../../../../runtime/postgres/session";
import { publishDump } from "../../../../runtime/repository/dumpStore";
import { testContext } from "../../../harness/context";
import { testLease } from "../../../harness/leases";
import { contentOfDump, DUMP_LABEL, madeDump } from "../../../harness/madeDump";
import { repository, temporaryFolder } from "../../repository/support";

/** Loads a dump of two databases with a shell script instead of pg_restore. */
async function load(script: string, damage = false) {
  const repo = repository(1);
  for (const [name, text] of [
    ["globals.sql", "g"],
    ["a.dump", "aa"],
    ["b.dump", damage ? "xx" : "bb"],
  ])
    await repo.storage.put(`pgbackstop/demo/dump/${DUMP_LABEL}/${name}`, utf8(text ?? ""));
  const manifest = madeDump({
    databases: [
      { name: "a", encoding: "UTF8", ...contentOfDump("aa") },
      { name: "b", encoding: "LATIN1", ...contentOfDump("bb") },
    ],
    globals: contentOfDump("g"),
  });
  await publishDump(repo, manifest, testLease(), testContext());
  const statements: string[] = [];
  const session = {
    query: async (sql: string) => {
      statements.push(sql);
      const tables = ["s", "t"].map((name) => ({ schema: "public", name }));
      const rows = sql.includes("pg_stat_user_tables") ? tables : [{ size: "0", rows: "15" }];
      return { rows, command: "", rowCount: rows.length, oid: 0, fields: [] };
    },
    close: async () => {},
  } as Partial<Session> as Session;
  const programs = { has: async () => true, command: () => ["sh", "-c", script] } as Partial<Programs> as Programs;
  const server = { connect: async () => session };
  const location = { host: "/run", port: 1, user: "me", path: temporaryFolder() };
  const run = checkDumpLoads({ repo, dump: "latest", session, server, programs, ...location }, testContext());
  return { result: await run.catch((error: unknown) => error), statements };
}

test("a dump is loaded database by database, each removed after it", async () => {
  const { result, statements } = await load('[ "$(wc -c)" -eq 2 ]');
  expect(result).toEqual({ verdict: "ok", text: `dump ${DUMP_LABEL}: databases loaded: 2, tables: 4, rows: 60` });
  expect(statements.filter((sql) => sql.startsWith("create"))).toEqual([
    "create database pgbackstop_dump template template0 encoding 'UTF8' locale 'C'",
    "create database pgbackstop_dump template template0 encoding 'LATIN1' locale 'C'",
  ]);
  expect(statements.at(-1)).toBe("drop database if exists pgbackstop_dump with (force)");
});

test("an error of pg_restore, or a wrong hash, fails the check", async () => {
  const failed = await load("cat > /dev/null; echo 'relation exists' >&2; exit 1");
  expect(failed.result).toMatchObject({ kind: "execute", message: expect.stringContaining("relation exists") });
  expect(failed.statements.at(-1)).toContain("drop database");
  expect((await load("cat > /dev/null", true)).result).toMatchObject({ kind: "checksum" });
});
