import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkAssertion } from "../../../../runtime/operations/drill/checks";
import { Session } from "../../../../runtime/postgres/session";
import { startPostgresDouble } from "../../../harness/doubles/postgresDouble";

describe("an assertion", () => {
  let folder = "";
  let postgres: Server;
  const one = { columns: ["?column?"], rows: [[true], [true]] };
  const script = {
    "SELECT true": [one],
    "SELECT false, true": [{ columns: ["?column?", "?column?"], rows: [[false, true]] }],
    "SELECT FROM t": [{ columns: [], rows: [[], []] }],
    "SELECT 1; SELECT 2": [one, one],
  };
  const judge = (sql: string): Promise<string> =>
    checkAssertion(
      { name: "a", sql },
      {
        server: {
          connect: (database = "postgres") =>
            Session.open({
              host: folder,
              port: 5432,
              user: "u",
              database,
              queryTimeoutMs: 10_000,
              applicationName: "test",
            }),
        },
      },
    ).then(
      ({ text, verdict }) => `${verdict}: ${text}`,
      (error: Error) => error.message,
    );
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "checks-"));
    postgres = await startPostgresDouble(folder, script);
  });
  afterAll(() => {
    postgres.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each([
    ["SELECT true", "ok: 2 rows hold"],
    ["SELECT false, true", "assertion 'a' does not hold: 1 of 1 rows are not true"],
    ["SELECT FROM t", "assertion 'a' returned no column"],
    ["SELECT 1; SELECT 2", "only one statement is allowed in 'SELECT 1; SELECT 2'"],
    ["SELECT nothing", "assertion 'a' returned no row"],
  ])("%s", async (sql, verdict) => {
    expect(await judge(sql)).toBe(verdict);
  });
});
