/**
 * Several histories in one archive: a copy that somebody promoted without isolating it, a recovery into the past, and
 * its undo. Each default restores the rows of this server's own history, with the newest backup on it. On a machine
 * without the server, two living histories are a question, and each answer that it prints is run.
 */
import { readdirSync, rmSync, utimesSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { historyName } from "../../../runtime/format/wal/walSegment";
import { skipped } from "../../harness/real/interopParts";
import { fuseMissing, OpenedBackup } from "../../harness/real/openedBackup";
import { dropTemplates } from "../../harness/real/sampleData";
import { pgCtl, TestBed } from "../../harness/real/testBed";
import { atNight } from "../../../tools/parts/nightly";
import { findPostgres } from "../../../tools/parts/postgres/postgres";
import { sleep, waitFor } from "../../../tools/parts/process";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";

const ROWS = "SELECT count(*) FILTER (WHERE by = 'production') || '+' || count(*) FILTER (WHERE by = 'copy') FROM kept";

describe.each(atNight(17, 18, 15))("histories in one archive, PostgreSQL %i", async (major) => {
  const result = await findPostgres(major);
  if ("missing" in result) return void skipped(`histories of PostgreSQL ${major}`, result.missing);
  const { binaries } = result;
  let bed: TestBed;
  let copy: TestCluster;

  const write = (from: number, to: number): Promise<unknown> =>
    bed.cluster.sql(`INSERT INTO kept SELECT id, 'production' FROM generate_series(${from}, ${to}) AS id`);
  const rows = (cluster = bed.cluster): Promise<string> => cluster.value(ROWS);
  /** Rows of a restore on another machine; else the error. */
  const restored = async (...args: string[]): Promise<string> => {
    const { dataPath, result: ended } = await bed.restoreAside({ by: null, args });
    try {
      if (ended.exitCode !== 0) return `${ended.exitCode} ${ended.stdout}${ended.stderr}`;
      const cluster = TestCluster.adopt({ binaries, dataPath });
      try {
        await cluster.start({}, { timeoutMs: 180_000 });
        await cluster.waitForRecovery();
        return await rows(cluster);
      } finally {
        await cluster.remove();
      }
    } finally {
      rmSync(join(dataPath, ".."), { recursive: true, force: true });
    }
  };
  const recovered = async (...args: string[]): Promise<string> => {
    const { stdout } = await bed.oursOk(["recover", "--yes", ...args]);
    return `${await rows()} on ${/open[^]*? on timeline (\d+)/.exec(stdout)?.[1]}`;
  };
  const archiveOf = async (cluster: TestCluster): Promise<void> => {
    await cluster.sql("SELECT pg_create_restore_point('archive all')");
    const name = await cluster.switchWal();
    await waitFor(`archiving of ${name}`, 60_000, async () =>
      (await cluster.value("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")) >= name ? true : null,
    );
  };

  const archiving = (dataPath: string): Record<string, string> => {
    const command = bed.oursCommand([`--pg1-path=${dataPath}`, "archive-push", "%p"]);
    return { archive_mode: "on", archive_command: [bed.runtime.node, ...command, "# pgbackrest"].join(" ") };
  };

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "lz4" }, { compressType: "lz4", encrypted: true }],
    });
    await pgCtl(bed, ["start"]);
    await bed.oursOk(["stanza-create"]);
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE kept (id int PRIMARY KEY, by text)");
    await bed.oursOk(["backup", "--type=full"]);
    await write(1, 100);
    await bed.archiveAll();

    const { dataPath, result: ended } = await bed.restoreAside({ by: null });
    expect(ended.exitCode, ended.stderr).toBe(0);
    copy = TestCluster.adopt({ binaries, dataPath });
    await copy.start(archiving(dataPath), { timeoutMs: 180_000 });
    await copy.waitForRecovery();
    await copy.sql("INSERT INTO kept VALUES (1001, 'copy')");
    await archiveOf(copy);
    await write(101, 200);
    await bed.archiveAll();
  }, 300_000);
  afterAll(async () => {
    await copy?.remove();
    await pgCtl(bed, ["stop", "-m", "immediate"]).catch(() => undefined);
    await bed?.remove();
  });

  test("on another machine they are a question, and each answer recovers its history", async () => {
    const question = await restored();
    expect(question).toMatch(/^58 [^]*the archive has 2 histories/);
    const answers = [...question.matchAll(/(--target-timeline=\d) recovers along/g)].map(([, option = ""]) => option);
    expect(answers).toEqual(["--target-timeline=1", "--target-timeline=2"]);
    expect([await restored("--target-timeline=1"), await restored("--target-timeline=2")]).toEqual(["200+0", "100+1"]);
    expect(await restored("--type=immediate", "--target-action=promote")).toMatch(/^58 /);
  });

  test("the running server recovers its own rows, also if the newest backup is the copy's", async () => {
    const config = bed.variant("copy", {
      stanza: { "pg1-path": copy.dataPath, "pg1-socket-path": copy.socketPath, "pg1-port": String(copy.port) },
    });
    await bed.oursOk(["backup", "--type=full"], { config });
    const { stdout } = await bed.oursOk(["recover", "--dry-run"]);
    expect(stdout).toMatch(/not followed[^]*timeline 2/);
    if (fuseMissing() === null) {
      const opened = new OpenedBackup(bed, "opened");
      await opened.open();
      expect(await opened.value(ROWS)).toBe("200+0");
      await opened.close();
    }
    const status = await bed.ours(["status"]);
    expect(status.exitCode).toBe(104);
    expect(status.stdout).toMatch(/another server archives here: timeline 2, from .* of timeline 1/);
    await copy.stop();
    expect(await recovered()).toBe("200+0 on 3");
    await bed.archiveAll();
    expect(await restored()).toBe("200+0");
  });

  test("after a recovery into the past, the older backup is taken and what was undone stays away", async () => {
    await bed.oursOk(["backup", "--type=full"]);
    await write(201, 300);
    await sleep(1100);
    const time = await bed.cluster.value("SELECT clock_timestamp()::text");
    await sleep(1100);
    await write(301, 400);
    await bed.oursOk(["backup", "--type=full"]);
    expect(await recovered("--type=time", `--target=${time}`, "--target-action=promote")).toBe("300+0 on 4");
    await bed.archiveAll();
    expect(await restored()).toBe("300+0");
    expect(await recovered()).toBe("300+0 on 5");
  });

  test("after the undo of a recovery, the rows are back in every default", async () => {
    // To the end of the newest backup of this history, which is from before the undone rows.
    expect(await recovered("--type=immediate", "--target-action=promote")).toBe("200+0 on 6");
    await bed.oursOk(["backup", "--type=full"]);
    await bed.oursOk(["recover", "--undo", "--yes"]);
    await bed.archiveAll();
    expect(await rows()).toBe("300+0");
    expect(await restored()).toBe("300+0");
    expect(await recovered()).toMatch(/^300\+0 on /);
  });

  test("an old primary that archives its last WAL after a failover is a question for a day", async () => {
    await bed.stopArchiving();
    await write(301, 310);
    await bed.cluster.switchWal();
    const timeline = (await bed.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())")).slice(0, 8);
    await pgCtl(bed, ["stop", "-m", "immediate"]);
    const { dataPath } = await bed.restoreAside({ by: null });
    const promoted = TestCluster.adopt({ binaries, dataPath });
    try {
      await promoted.start(archiving(dataPath), { timeoutMs: 180_000 });
      await promoted.waitForRecovery();
      await promoted.sql("INSERT INTO kept VALUES (1002, 'copy')");
      await archiveOf(promoted);
    } finally {
      await promoted.remove();
    }
    const deferred = readdirSync(bed.walFile("archive_status"))
      .flatMap((name) => (name.endsWith(".ready") ? [name.slice(0, -".ready".length)] : []))
      .sort();
    for (const name of deferred) await bed.oursOk(["archive-push", bed.walFile(name)]);
    expect(await restored()).toMatch(/^58 [^]*the archive has 2 histories/);

    // Two days later the new primary is still at work.
    const next = historyName(Number.parseInt(timeline, 16) + 1);
    for (const key of [1, 2]) {
      const archive = join(bed.repoPath(key), "archive", bed.stanza, `${major}-1`);
      for (const path of readdirSync(archive, { recursive: true, encoding: "utf8" })) {
        const days = deferred.includes(basename(path).slice(0, 24)) ? 2 : path === next ? 3 : 0;
        if (days > 0)
          utimesSync(join(archive, path), Date.now() / 1000 - days * 86_400, Date.now() / 1000 - days * 86_400);
      }
    }
    expect(await restored()).toBe("300+1");
  });
});
