import { describe, expect, test } from "vitest";
import { boundedRestoreCommand, librariesIn, neutralSettings } from "../../../../runtime/operations/drill/neutral";

describe("the settings of a drill's server", () => {
  const limits = {
    max_connections: 400,
    max_worker_processes: 8,
    max_wal_senders: 10,
    max_prepared_transactions: 5,
    max_locks_per_transaction: 128,
  };
  const linesOf = (major: number): string[] =>
    neutralSettings({
      major,
      path: "/d/o'r",
      socketDirectory: "/d/o'r",
      port: 54329,
      limits,
      trackCommitTimestamp: true,
      preload: ["a", "b"],
    }).split("\n");

  test("are as large as production's where recovery or a dump needs it", () => {
    expect(linesOf(15)).toEqual(
      expect.arrayContaining([
        "max_connections = '400'",
        "max_prepared_transactions = '5'",
        "max_locks_per_transaction = '128'",
        "track_commit_timestamp = 'on'",
      ]),
    );
  });

  test("let nothing act or be reached", () => {
    expect(linesOf(15)).toEqual(
      expect.arrayContaining([
        "archive_mode = 'off'",
        "listen_addresses = ''",
        "unix_socket_directories = '/d/o''r'",
        "max_worker_processes = '0'",
        "max_wal_senders = '0'",
        "autovacuum = 'off'",
        "hot_standby = 'off'",
        "ssl = 'off'",
        "shared_preload_libraries = 'a,b'",
      ]),
    );
    expect(linesOf(16)).not.toContain("event_triggers = 'off'");
    expect(linesOf(17)).toContain("event_triggers = 'off'");
  });

  test("copy libraries", () => {
    expect(librariesIn('pg_stat_statements, "My Lib"')).toEqual(["pg_stat_statements", "My Lib"]);
    expect(librariesIn("")).toEqual([]);
  });
});

test("recovery gets no segment that arrived after the drill began", () => {
  expect(boundedRestoreCommand("get %f", null)).toBe("get %f");
  expect(boundedRestoreCommand("get %f", "00000001000000000000000A")).toBe(
    'if [ "%f" ">" "00000001000000000000000A" ]; then exit 1; fi; get %f',
  );
});
