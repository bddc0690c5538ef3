import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatLsn, parseLsn } from "../../../../runtime/format/wal/walSegment";
import { checkAssertion, judgeRecoveryEnd } from "../../../../runtime/operations/drill/checks";
import { Session } from "../../../../runtime/postgres/session";
import { startPostgresDouble } from "../../../harness/doubles/postgresDouble";
import { backupEntry } from "./support";

describe("the end of a recovery", () => {
  const MIB = 1024 * 1024;
  const online = backupEntry("20261101-020000F");
  const judge = (
    reached: string | null,
    newestWal: string | null,
    backup = online,
    type: "default" | "immediate" = "default",
    followed: number | null = null,
  ): string => {
    try {
      const end = { reached: reached === null ? null : parseLsn(reached), followed };
      const { text, verdict } = judgeRecoveryEnd(end, { backup, type }, newestWal, MIB);
      return `${verdict}: ${text}`;
    } catch (error) {
      return (error as Error).message;
    }
  };
  const newest = "0000000100000000000000C0";

  it("is that of the archive", () => {
    expect(judge("0/C000100", newest)).toBe("ok: reached 0/C000100, the end of the archive");
    expect(judge("0/B000100", newest)).toMatch(/^recovery ended at 0\/B000100, before 0\/C000000: segment /);
    expect(judge("0/B000100", newest, online, "immediate")).toBe("ok: reached 0/B000100");
  });

  // claim: docs/drills.md: a repository without the history of the present timeline fails the drill
  it("is on the timeline of the archive, or a newer one", () => {
    const second = "0000000200000000000000B5";
    const judged = (followed: number | null): string => judge("0/C000100", second, online, "default", followed);
    expect(judged(1)).toBe(
      `recovery followed timeline 1 to 0/C000100, and the archive continues to ${second}: 00000002.history is missing`,
    );
    for (const followed of [2, 3, null]) expect(judged(followed)).toMatch(/^ok: /);
    expect(judge("0/C000100", second, online, "immediate", 1)).toMatch(/^ok: /);
  });

  it("is not judged by an archive without WAL", () => {
    const text = `reached ${formatLsn(parseLsn("0/3000100"))}: the repository has no WAL of the backup's cluster, so that only the backup came back`;
    expect(judge("0/3000100", null)).toBe(text);
    expect(judge("0/3000100", null, { ...online, optionArchiveCheck: false })).toBe(`warning: ${text}`);
    expect(judge("0/3000100", null, online, "immediate")).toBe("ok: reached 0/3000100");
  });

  it("is needed by the backup of a running server", () => {
    expect(judge(null, newest)).toBe("the server reports no recovery, which the backup of a running server needs");
    expect(judge(null, newest, { ...online, optionOnline: false })).toMatch(/^ok: nothing to recover/);
  });
});

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
          connect: (database) =>
            Session.open({
              host: folder,
              port: 5432,
              user: "u",
              database: database ?? "postgres",
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
