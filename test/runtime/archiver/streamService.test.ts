/** What an agent does for commits that need not wait for it. test/interop/wal/synchronous.test.ts has a real server. */
import { expect, test } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { stopRequiring } from "../../../runtime/archiver/streamService";
import type { Session } from "../../../runtime/postgres/session";
import { testContext } from "../../harness/context";

/** What ALTER SYSTEM did. @param down attempts that find no server */
const altered = async (names: string, down = 0): Promise<readonly (string | null)[]> => {
  const values: (string | null)[] = [];
  let tries = 0;
  const session = {
    query: async (sql: string) => ({ rows: [{ value: sql.includes("pg_file_settings") ? "" : names }] }),
    alterSystem: async (_name: string, value: string | null) => void values.push(value),
    reload: async () => {},
    close: async () => {},
  };
  const newSession = async (): Promise<Session> => {
    tries += 1;
    if (tries <= down) throw fail("dbConnect", "no server");
    return session as object as Session;
  };
  await stopRequiring({ newSession }, testContext(), new AbortController().signal);
  return values;
};

// claim: docs/synchronous.md: without `synchronous` in the configuration, the agent removes its name when it starts
//   (without any report of an earlier agent)
test("commits stop waiting although no report says that an agent made them wait", async () => {
  expect(await altered("pgbackstop")).toEqual([null]);
  expect(await altered("FIRST 2 (pgbackstop, standby)", 3)).toEqual(["FIRST 1 (standby)"]);
});

test("the value of others stays", async () => {
  expect(await altered("standby")).toEqual([]);
  expect(await altered("")).toEqual([]);
});
