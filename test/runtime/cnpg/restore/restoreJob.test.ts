import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { guardedByMark } from "../../../../runtime/base/recoveryExit";
import type { JsonObject } from "../../../../runtime/cnpg/kubernetes/clusterObject";
import { linkWal, restoreArgs, restoreJobService } from "../../../../runtime/cnpg/restore/restoreJob";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";
import { bytesOf, cluster } from "../support";

const withTarget = (recoveryTarget?: JsonObject): JsonObject =>
  cluster({
    bootstrap: { recovery: { source: "origin", ...(recoveryTarget === undefined ? {} : { recoveryTarget }) } },
  });

describe("the selected backup", () => {
  test.each([
    [undefined, ["restore", "--delta"]],
    [{ backupID: "20261120-064059F" }, ["restore", "--delta", "--set=20261120-064059F"]],
    [{ targetTLI: "3" }, ["restore", "--target-timeline=3", "--delta"]],
    [
      { targetTime: "2026-11-20T06:40:59Z" },
      ["restore", "--type=time", "--target=2026-11-20T06:40:59+00", "--target-action=promote", "--delta"],
    ],
    // CloudNativePG reads a time without a zone as UTC. PostgreSQL reads it as local time.
    [
      { targetTime: "2026-11-20 06:40:59" },
      ["restore", "--type=time", "--target=2026-11-20 06:40:59+00", "--target-action=promote", "--delta"],
    ],
    [
      { targetTime: "2026-11-20 06:40:59.5+02:00" },
      ["restore", "--type=time", "--target=2026-11-20 06:40:59.5+02:00", "--target-action=promote", "--delta"],
    ],
    [
      { targetLSN: "0/3000028", targetTLI: "latest" },
      ["restore", "--type=lsn", "--target=0/3000028", "--target-action=promote", "--target-timeline=latest", "--delta"],
    ],
    [{ targetName: "before", backupID: "L" }, ["restore", "--delta", "--set=L"]],
    [
      { targetImmediate: true, backupID: "L" },
      ["restore", "--type=immediate", "--target-action=promote", "--delta", "--set=L"],
    ],
  ])("for %j", (target, args) => {
    expect(restoreArgs(withTarget(target))).toEqual(args);
  });

  test.each([{ targetName: "before" }, { targetXID: "777" }, { targetImmediate: true }])(
    "for %j must be named",
    (target) => {
      expect(() => restoreArgs(withTarget(target))).toThrow("needs recoveryTarget.backupID");
    },
  );
});

describe("a restore for a job", () => {
  /** Files that the program's `restore` leaves. */
  function setUp(exitCode = 0) {
    const dataDirectory = join(temporaryFolder(), "pgdata");
    const run = async (
      _args: readonly string[],
      _signal: AbortSignal,
      onOutput: (text: string) => void,
    ): Promise<number> => {
      mkdirSync(join(dataDirectory, "pg_wal", "archive_status"), { recursive: true });
      const lines = [
        "work_mem = '8MB'",
        "restore_command = 'other %f %p'",
        "recovery_target_time = '2026-11-20'",
        "recovery_target_timeline = '2'",
        "primary_conninfo = 'host=old'",
        "pgbackstop.block = 'settings of this recovery, begin'",
        "max_connections = '300'",
        "pgbackstop.block = 'settings of this recovery, end'",
      ];
      writeFileSync(join(dataDirectory, "postgresql.auto.conf"), `${lines.join("\n")}\n`);
      for (const name of ["recovery.signal", "standby.signal", "backup_label"])
        writeFileSync(join(dataDirectory, name), "");
      if (exitCode !== 0) onOutput("ERROR: [075]: no backup set found to restore\n");
      return exitCode;
    };
    const reports: { ok: boolean; message: string }[] = [];
    const report = async (_cluster: JsonObject, outcome: { ok: boolean; message: string }): Promise<void> =>
      void reports.push(outcome);
    const { methods } = restoreJobService({ dataDirectory, run, report }, testContext());
    const restore = (of: JsonObject): Promise<unknown> =>
      Promise.resolve(methods["Restore"]?.({ cluster_definition: bytesOf(of) } as never, new AbortController().signal));
    return { dataDirectory, restore, reports };
  }

  // claim: docs/kubernetes/restore.md: the recovery target chooses the backup; no setting of an earlier recovery stays
  test("removes an earlier recovery's settings, and returns the operator's own command under its guard", async () => {
    const { dataDirectory, restore } = setUp();
    expect(await restore(withTarget())).toEqual({
      restore_config:
        "recovery_min_apply_delay = '0'\narchive_cleanup_command = ''\nrecovery_end_command = ''\n" +
        "recovery_target_action = 'promote'\n" +
        `restore_command = '${guardedByMark("/controller/manager wal-restore --log-destination /controller/log/postgres.json %f %p")}'\n` +
        // Chosen by the restore, because PostgreSQL would follow another one.
        "recovery_target_timeline = '2'\n",
      envs: [],
    });
    expect(await restore(withTarget({ targetTLI: "3" }))).toMatchObject({
      restore_config: expect.not.stringContaining("recovery_target_timeline"),
    });
    expect(readFileSync(join(dataDirectory, "postgresql.auto.conf"), "utf8")).toBe("work_mem = '8MB'\n");
    expect(
      ["recovery.signal", "standby.signal", "backup_label"].map((name) => existsSync(join(dataDirectory, name))),
    ).toEqual([false, false, true]);
    expect(lstatSync(join(dataDirectory, "pg_wal")).isDirectory()).toBe(true);
  });

  test("moves the WAL that came with the backup to the volume for WAL", async () => {
    const [data, volume] = [join(temporaryFolder(), "pgdata"), join(temporaryFolder(), "wal", "pg_wal")];
    mkdirSync(join(data, "pg_wal", "archive_status"), { recursive: true });
    mkdirSync(volume, { recursive: true });
    const segment = "000000010000000000000002";
    writeFileSync(join(data, "pg_wal", segment), "from the backup");
    writeFileSync(join(volume, segment), "half of");
    for (const _ of ["once", "again"]) {
      await linkWal(data, volume);
      expect(readlinkSync(join(data, "pg_wal"))).toBe(volume);
      expect(readFileSync(join(data, "pg_wal", segment), "utf8")).toBe("from the backup");
      expect(existsSync(join(volume, "archive_status"))).toBe(true);
    }
  });

  test("fails with the program's message", async () => {
    const { restore, reports } = setUp(75);
    await expect(restore(withTarget())).rejects.toThrow("no backup set found to restore");
    expect(reports).toEqual([{ ok: false, message: "ERROR: [075]: no backup set found to restore" }]);
  });
});
