import { describe, expect, test } from "vitest";
import {
  boundedRestoreCommand,
  librariesIn,
  neutralSettings,
  parseControlData,
  preloadIn,
} from "../../../../runtime/operations/drill/neutral";

const CONTROL = `pg_control version number:            1300
Database cluster state:               shut down in recovery
Latest checkpoint's REDO WAL file:    000000010000000000000003
max_connections setting:              400
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           5
max_locks_per_xact setting:           128
track_commit_timestamp setting:       on
`;

describe("the settings of a drill's server", () => {
  const limits = parseControlData(CONTROL);
  const linesOf = (major: number): string[] =>
    neutralSettings({
      major,
      path: "/d/o'r",
      socketDirectory: "/d/o'r",
      port: 54329,
      limits,
      preload: ["a", "b"],
    }).split("\n");

  test("are as large as production's where recovery or a dump needs it", () => {
    expect(limits).toEqual({
      state: "shut down in recovery",
      maxConnections: 400,
      maxPreparedTransactions: 5,
      maxLocksPerTransaction: 128,
      trackCommitTimestamp: true,
    });
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

  test("copy libraries; the last setting counts", () => {
    const texts = [
      "#shared_preload_libraries = 'no'\nshared_preload_libraries = 'pg_stat_statements, \"My Lib\"' # why\n",
      "shared_preload_libraries=timescaledb",
    ];
    expect(librariesIn(preloadIn(texts.slice(0, 1)))).toEqual(["pg_stat_statements", "My Lib"]);
    expect(preloadIn(texts)).toBe("timescaledb");
    expect(librariesIn(preloadIn(["shared_preload_libraries = ''"]))).toEqual([]);
  });
});

test("recovery gets no segment that arrived after the drill began", () => {
  expect(boundedRestoreCommand("get %f", null)).toBe("get %f");
  expect(boundedRestoreCommand("get %f", "00000001000000000000000A")).toBe(
    'if [ "%f" ">" "00000001000000000000000A" ]; then exit 1; fi; get %f',
  );
});
