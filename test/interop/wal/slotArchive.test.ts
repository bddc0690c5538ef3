/**
 * WAL through a replication slot, with real servers and `archive_mode = off`: backups and restores by ours and stock,
 * the same files as `archive_command` gets, and everything that may die. `PGBACKSTOP_SEED` repeats a run.
 */
// claim: docs/slot-archiving.md: with `archive_mode = off` every row comes back, to the newest WAL and to a time, by
//   ours and by stock
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { runOk, sleep, waitFor } from "../../../tools/parts/process";
import { giveTo, makeUserFolder } from "../../../tools/parts/users";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { parseLsn } from "../../../runtime/format/wal/walSegment";
import { agentPaths, AgentProcess } from "../../harness/real/agentProcess";
import { seededRandom } from "../../harness/context";
import { findParts } from "../../harness/real/interopParts";
import { dropTemplates, fillBed, writeMore } from "../../harness/real/sampleData";
import { type BedOptions, pgCtl, TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const SLOT = "pgbackstop_main";
const KILLS = NIGHTLY ? 30 : 1;
const OFF = { archive_mode: "off", archive_command: "", max_slot_wal_keep_size: "2GB", wal_keep_size: "0" };
/** Keeps little WAL. */
const TIGHT = { max_slot_wal_keep_size: "32MB", max_wal_size: "64MB", min_wal_size: "32MB" };

describe("WAL through a replication slot", async () => {
  const parts = await findParts("WAL through a replication slot", 18, "2.60");
  if (parts === null) return;
  const { binaries, stock } = parts;
  let bed: TestBed;
  let agent: AgentProcess;
  let folder = "";

  /** @param role of the agent; default the superuser */
  const open = async (options: Partial<BedOptions> = {}, more: object = {}, role?: string): Promise<void> => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "zst" }, { compressType: "lz4", encrypted: true }],
      ...options,
      settings: { ...OFF, ...options.settings },
      global: { "archive-timeout": "60", ...options.global },
    });
    const stanza = role === undefined ? {} : { "pg1-user": role };
    bed.writeVariant(bed.configPath, { settings: { archive: "stream", ...more }, stanza });
    const paths = agentPaths();
    folder = paths.folder;
    await bed.cluster.start();
    if (role !== undefined) await bed.cluster.sql(`CREATE ROLE ${role} LOGIN REPLICATION`);
    agent = await AgentProcess.start({ paths, runtime: bed.runtime, configPath: bed.configPath, stanza: bed.stanza });
    await bed.oursOk(["stanza-create"]);
  };
  afterEach(async () => {
    await agent?.stop("SIGKILL");
    await bed?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const stored = (key: number): Map<string, string> => {
    const names = readdirSync(join(bed.repoPath(key), "archive", bed.stanza), { recursive: true, encoding: "utf8" });
    return new Map(
      names.flatMap((path) => {
        const match = /([0-9A-F]{24})-([0-9a-f]{40})(\.\w+)?$/.exec(path);
        return match === null ? [] : [[match[1] ?? "", match[2] ?? ""] as const];
      }),
    );
  };
  const withLog = (error: unknown): never => {
    throw new Error(`${String(error)}\n${agent.log().slice(-3000)}`, { cause: error });
  };
  /** Ends the segment, and waits until a repository has it. */
  const archiveAll = async (key = 1): Promise<string> => {
    await bed.cluster.sql("SELECT pg_create_restore_point('archive all')");
    const name = await bed.cluster.switchWal();
    await waitFor(`${name} in repo${key}`, 60_000, async () => (stored(key).has(name) ? true : null)).catch(withLog);
    return name;
  };
  const isGapless = (segments: ReadonlyMap<string, string>): boolean => {
    const numbers = [...segments.keys()].sort().map((name) => Number.parseInt(name.slice(16), 16));
    return numbers.every((number, index) => number === (numbers[0] ?? 0) + index);
  };
  /** A file in place of the directory: no call there can succeed. */
  const takeAway = (): void => {
    renameSync(bed.repoPath(2), `${bed.repoPath(2)}.away`);
    writeFileSync(bed.repoPath(2), "");
  };
  const bringBack = (): void => {
    rmSync(bed.repoPath(2));
    renameSync(`${bed.repoPath(2)}.away`, bed.repoPath(2));
  };
  const slot = async (): Promise<Record<string, unknown>> => {
    const [row] = await bed.cluster.sql(
      "SELECT active, wal_status, restart_lsn, pg_walfile_name(restart_lsn) AS wal FROM pg_replication_slots WHERE slot_name = $1",
      [SLOT],
    );
    return row ?? {};
  };

  test.runIf(NIGHTLY)(
    "every row comes back, by ours and by stock, to the end and to a time",
    { timeout: 600_000 },
    async () => {
      await open();
      await fillBed(bed, NIGHTLY ? 20_000 : 2000);
      await dropTemplates(bed);
      await bed.oursOk(["backup", "--type=full"]);
      await writeMore(bed);
      await bed.oursOk(["backup", "--type=incr"]);
      await writeMore(bed);
      const time = await bed.cluster.value("SELECT clock_timestamp()::text");
      const then = await bed.cluster.tableChecksums();
      await sleep(1100);
      await writeMore(bed);
      await archiveAll(1);
      const last = await archiveAll(2);
      // The slot moves behind what is acknowledged, and no further.
      await waitFor("the slot", 20_000, async () => (String((await slot())["wal"]) >= last ? true : null));
      expect(await slot()).toMatchObject({ active: true, wal_status: "reserved" });
      // Each program, and each repository.
      for (const [by, repos] of NIGHTLY
        ? ([
            [null, [1, 2]],
            [stock, [1, 2]],
          ] as const)
        : ([
            [null, [2]],
            [stock, [1]],
          ] as const))
        for (const repo of repos) expect(await bed.restoreAndCompare({ by, repo }), `repo${repo}`).toEqual([]);
      for (const by of [null, stock]) {
        const args = ["--type=time", `--target=${time}`, "--target-action=promote"];
        const { dataPath, result } = await bed.restoreAside({ by, args });
        expect(result.exitCode, result.stderr).toBe(0);
        const restored = TestCluster.adopt({ binaries, dataPath });
        await restored.start({}, { timeoutMs: 180_000 });
        await restored.waitForRecovery();
        expect(await restored.tableChecksums()).toEqual(then);
        await restored.remove();
      }
      const check = await bed.oursOk(["check"]);
      expect(check.stdout + check.stderr).toContain("successfully archived to repo2");
      expect(bed.findLeaks()).toEqual([]);
      const status = await bed.oursOk(["status"]);
      expect(status.stdout).toMatch(/slot +pgbackstop_main keeps [\d.]+\w+ of WAL, [\d.]+\w+ until WAL is lost/);
      const metrics = await bed.oursOk(["metrics"]);
      expect(metrics.stdout).toContain('pgbackstop_slot_active{stanza="main"} 1');
      expect(metrics.stdout).toMatch(/pgbackstop_slot_safe_bytes\{stanza="main"\} \d{6,}/);
    },
  );

  // claim: docs/slot-archiving.md: `recover` finishes the server's WAL through the slot, and the agent then archives
  //   the new timeline
  test.runIf(NIGHTLY)(
    "recover finishes WAL first, and the agent follows the new timeline",
    { timeout: 300_000 },
    async () => {
      await open();
      await bed.cluster.stop("fast");
      await pgCtl(bed, ["start"]);
      try {
        await bed.cluster.sql("CREATE TABLE filled (g int)");
        await dropTemplates(bed);
        await bed.oursOk(["backup", "--type=full"]);
        await bed.cluster.sql("INSERT INTO filled VALUES (1)");
        await sleep(1100);
        const time = await bed.cluster.value("SELECT clock_timestamp()::text");
        await sleep(50);
        await bed.cluster.sql("DELETE FROM filled");
        const { stdout } = await bed.oursOk(["recover", "--yes", "--type=time", `--target=${time}`]);
        expect(stdout).toContain("archive the server's last WAL");
        expect(await bed.cluster.value("SELECT count(*) FROM filled")).toBe("1");
        const last = await archiveAll(2);
        expect(last.slice(0, 8)).toBe("00000002");
        await bed.oursOk(["check"]);
        const verified = await bed.ours(["verify"]);
        expect(verified.exitCode, verified.stdout).toBe(0);
        expect(await bed.restoreAndCompare({ by: stock, repo: 2 })).toEqual([]);
      } finally {
        await pgCtl(bed, ["stop", "-m", "immediate"]);
      }
    },
  );

  // claim: docs/hosts/recover.md: WAL of the old data that no repository…
  test.runIf(NIGHTLY)("recover keeps every row that is committed before the stop", { timeout: 300_000 }, async () => {
    await open({ repos: [{}] });
    await bed.cluster.stop("fast");
    await pgCtl(bed, ["start"]);
    try {
      await bed.cluster.sql("CREATE TABLE committed (id int)");
      await dropTemplates(bed);
      await bed.oursOk(["backup", "--type=full"]);
      // The agent does not archive the segment in which these commits end.
      const writing = (async (): Promise<number> => {
        for (let id = 1; ; id++) {
          const isCommitted = await bed.cluster.sql("INSERT INTO committed VALUES ($1)", [id]).then(
            () => true,
            () => false,
          );
          if (!isCommitted) return id - 1;
          await sleep(2);
        }
      })();
      const { stderr, stdout } = await bed.oursOk(["recover", "--yes"]);
      expect(stdout + stderr).toMatch(/WAL segment\(s\) of the old data follow the archived ones/);
      expect(Number(await bed.cluster.value("SELECT max(id) FROM committed"))).toBeGreaterThanOrEqual(await writing);
    } finally {
      await pgCtl(bed, ["stop", "-m", "immediate"]);
    }
  });

  // claim: docs/slot-archiving.md: a timeline that began while no agent ran is archived from its beginning on
  test.runIf(NIGHTLY)("a timeline that began while no agent ran", { timeout: 300_000 }, async () => {
    await open();
    await bed.cluster.sql("CREATE TABLE filled (g int, t text)");
    await dropTemplates(bed);
    await bed.oursOk(["backup", "--type=full"]);
    for (let timeline = 2; timeline < 4; timeline++) {
      await bed.cluster.sql("INSERT INTO filled SELECT g, repeat(md5(g::text), 9) FROM generate_series(1, 9000) g");
      await archiveAll(1);
      await archiveAll(2);
      await agent.stop("SIGKILL");
      await bed.cluster.stop("immediate");
      await bed.oursOk(["restore", "--delta", "--type=default"]);
      await bed.cluster.start({}, { timeoutMs: 180_000 });
      await bed.cluster.waitForRecovery();
      for (let turn = 0; turn < 4; turn++) {
        await bed.cluster.sql("INSERT INTO filled SELECT g, repeat(md5(g::text), 9) FROM generate_series(1, 9000) g");
        await bed.cluster.switchWal();
      }
      await agent.start();
      const last = await archiveAll(2);
      expect(last.slice(0, 8)).toBe(`0000000${timeline}`);
    }
    await bed.oursOk(["check"]);
    const verified = await bed.ours(["verify"]);
    expect(verified.exitCode, verified.stdout).toBe(0);
    expect(await bed.restoreAndCompare({ by: stock, repo: 2 })).toEqual([]);
  });

  const refuseSecondAgent = async (): Promise<void> => {
    const paths = agentPaths();
    const args = ["spool", "lock"].map((name) => `--${name}-path=${join(bed.folder, `${name}2`)}`);
    for (const name of ["spool2", "lock2"]) {
      mkdirSync(join(bed.folder, name));
      giveTo(join(bed.folder, name), bed.cluster.user);
    }
    const { configPath, runtime, stanza } = bed;
    const second = await AgentProcess.start({ paths, runtime, configPath, stanza, args });
    try {
      await waitFor("the refusal", 60_000, async () =>
        second.log().includes(`serves the replication slot ${SLOT} already`) ? true : null,
      );
    } finally {
      await second.stop("SIGKILL");
      rmSync(paths.folder, { recursive: true, force: true });
    }
  };

  // claim: docs/slot-archiving.md: `stanza-delete` of the only repository drops the slot, and `slot-drop` does so alone
  // claim: docs/slot-archiving.md: a second agent of the stanza gets no slot, and says so
  test.runIf(NIGHTLY)("a second agent gets no slot, and nobody leaves one behind", { timeout: 180_000 }, async () => {
    await open({ repos: [{}] });
    await archiveAll(1);
    await refuseSecondAgent();
    await bed.oursOk(["stop"]);
    // The agent keeps the archive lock for a second after its last push.
    const unlocked = (args: readonly string[]): Promise<true> =>
      waitFor(args.join(" "), 30_000, async () => ((await bed.ours(args)).exitCode === 0 ? true : null));
    await unlocked(["stanza-delete", "--repo=1", "--force"]);
    expect(await slot()).toEqual({});
    await unlocked(["stanza-create"]);
    await archiveAll(1);
    const status = async (): Promise<string> => (await bed.ours(["status"])).stdout;
    await agent.stop("SIGKILL");
    expect(await slot()).toMatchObject({ active: false });
    await waitFor("the trouble", 90_000, async () =>
      (await status()).includes("nobody has read the replication slot pgbackstop_main") ? true : null,
    );
    await bed.oursOk(["slot-drop"]);
    expect(await slot()).toEqual({});
  });

  // claim: docs/slot-archiving.md: the segments are byte for byte those that `archive_command` gets
  test("stores the same segments as archive_command", { timeout: 300_000 }, async () => {
    const copies = makeUserFolder("pgb-copies-");
    await open({
      repos: [{}],
      settings: { archive_mode: "on", archive_command: `cp %p ${copies}/%f` },
    });
    try {
      await bed.cluster.sql(
        "CREATE TABLE filled AS SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 90000) g",
      );
      const last = await archiveAll();
      await waitFor("the copy", 30_000, async () => (existsSync(join(copies, last)) ? true : null));
      // None is missing from the slot's beginning on. Several are sent at a time: the last one may arrive first.
      await waitFor("each segment before it", 60_000, async () => (isGapless(stored(1)) ? true : null));
      const ours = stored(1);
      const copied = readdirSync(copies).filter((name) => ours.has(name));
      expect(copied.length).toBeGreaterThan(3);
      for (const name of copied)
        expect(
          createHash("sha1")
            .update(readFileSync(join(copies, name)))
            .digest("hex"),
          name,
        ).toBe(ours.get(name));
    } finally {
      rmSync(copies, { recursive: true, force: true });
    }
  });

  // claim: docs/slot-archiving.md: killed agents lose nothing: the slot keeps what was not acknowledged
  test.runIf(NIGHTLY)(
    `agents are killed ${KILLS} times under load: no segment is missing`,
    { timeout: 900_000 },
    async () => {
      const seed = Number(process.env["PGBACKSTOP_SEED"] ?? Date.now() % 1_000_000);
      process.stdout.write(`slot archive: PGBACKSTOP_SEED=${seed}\n`);
      const bytes = seededRandom(seed);
      await open();
      await bed.cluster.sql("CREATE TABLE filled (g int, t text)");
      await dropTemplates(bed);
      await bed.oursOk(["backup", "--type=full"]);
      for (let kill = 0; kill < KILLS; kill++) {
        const load = bed.cluster.sql(
          "INSERT INTO filled SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 60000) g",
        );
        await sleep(((bytes.bytes(1)[0] ?? 0) / 256) * 2000);
        await agent.stop("SIGKILL");
        await load;
        if (kill % 2 === 1) await bed.cluster.restart({}, "immediate");
        await agent.start();
      }
      await archiveAll(1);
      await archiveAll(2);
      const verified = await bed.ours(["verify"]);
      expect(verified.exitCode, verified.stdout).toBe(0);
      expect(await bed.restoreAndCompare({ by: null, repo: 2 })).toEqual([]);
    },
  );

  // claim: docs/slot-archiving.md: while a repository is down, the others get every segment, and the slot keeps it
  // claim: docs/slot-archiving.md: a server that shuts down does not wait for the agent, not even while a repository is
  //   down
  test("a repository that is down delays neither another one nor a shutdown", { timeout: 300_000 }, async () => {
    await open({ acknowledge: "all", global: { "archive-timeout": "20" } });
    const before = await archiveAll(2);
    takeAway();
    for (let turn = 0; turn < 3; turn++) await archiveAll(1);
    expect(String((await slot())["wal"]) <= nextName(before)).toBe(true);
    bringBack();
    const last = await archiveAll(2);
    await waitFor("the slot", 60_000, async () => (String((await slot())["wal"]) > last ? true : null));
    expect([...stored(2).keys()].sort()).toEqual([...stored(1).keys()].sort());

    takeAway();
    await bed.cluster.sql("SELECT pg_switch_wal()");
    await bed.cluster.sql("CREATE TABLE more (id int)");
    const beganMs = performance.now();
    await bed.cluster.stop("fast");
    expect(performance.now() - beganMs).toBeLessThan(10_000);
  });

  /** Writes more than a server with {@link TIGHT} keeps. */
  const writeBeyond = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) {
      await bed.cluster.sql("INSERT INTO filled SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 200) g");
      await bed.cluster.switchWal();
      await bed.cluster.sql("CHECKPOINT");
    }
  };

  // claim: docs/slot-archiving.md: after a lost slot `check` fails until the agent has taken a backup that begins after
  //   the gap
  test.runIf(NIGHTLY)(
    "the agent reports a lost slot, creates it again, and closes the gap by a new backup",
    {
      timeout: 600_000,
    },
    async () => {
      await open({ settings: TIGHT });
      await bed.cluster.sql("CREATE TABLE filled (g int, t text)");
      await dropTemplates(bed);
      await bed.oursOk(["backup", "--type=full"]);
      await agent.stop("SIGKILL");
      // The server counts positions: a segment with a few rows is as long as a full one.
      await writeBeyond();
      expect(await slot()).toMatchObject({ wal_status: "lost" });
      const refused = await bed.ours(["check", "--no-full-check"]);
      expect(refused.exitCode).toBe(87);
      expect(refused.stdout + refused.stderr).toContain(`the replication slot ${SLOT} has lost its WAL`);
      await agent.start();
      await waitFor("the new backup", 120_000, async () =>
        /taking a backup into repo1, repo2: WAL was dropped/.test(agent.log()) ? true : null,
      );
      await waitFor("a good check", 120_000, async () => ((await bed.ours(["check"])).exitCode === 0 ? true : null));
      expect(agent.log()).toMatch(/WAL file\(s\) from [0-9A-F]{24} on were removed by the server/);
      await archiveAll(1);
      expect(await bed.restoreAndCompare({ by: null, repo: 1 })).toEqual([]);
    },
  );

  // claim: docs/slot-archiving.md: a slot that was dropped, also if somebody made it again, leaves no hidden gap
  test.runIf(NIGHTLY)("a slot that was away closes its gap by a new backup", { timeout: 300_000 }, async () => {
    await open({ settings: TIGHT });
    await bed.cluster.sql("CREATE TABLE filled (g int, t text)");
    await dropTemplates(bed);
    await bed.oursOk(["backup", "--type=full"]);
    const closed = async (): Promise<void> => {
      const before = agent.log().length;
      await agent.start();
      await waitFor("the new backup", 60_000, async () =>
        agent.log().includes("taking a backup into repo1, repo2: WAL was dropped", before) ? true : null,
      ).catch(withLog);
      await waitFor("a good check", 60_000, async () => ((await bed.ours(["check"])).exitCode === 0 ? true : null));
    };
    // As a component that is removed and added again: nothing on this machine knows how far the archive is.
    await agent.stop();
    await bed.oursOk(["slot-drop"]);
    await writeBeyond();
    await closed();
    // A slot of the same name proves nothing.
    await agent.stop("SIGKILL");
    // The server takes a moment to notice that its reader is dead.
    await waitFor("the slot's end", 10_000, async () =>
      bed.cluster.sql(`SELECT pg_drop_replication_slot('${SLOT}')`).then(
        () => true as const,
        () => null,
      ),
    );
    await writeBeyond();
    await bed.cluster.sql(`SELECT pg_create_physical_replication_slot('${SLOT}', true)`);
    await closed();
    expect(await bed.restoreAndCompare({ by: null, repo: 1 })).toEqual([]);
  });

  // claim: docs/slot-archiving.md: while this machine does not see `pg_wal`, the slot keeps WAL that the server has
  test.each(atNight("archiver", undefined))(
    "a data directory out of sight costs no WAL (role %s)",
    {
      timeout: 120_000,
    },
    async (role) => {
      // This role may not ask which WAL the server has.
      await open({ repos: [{}] }, {}, role);
      await bed.cluster.sql("CREATE TABLE filled (g int, t text)");
      await archiveAll(1);
      const written: string[] = [];
      const aside = `${bed.cluster.dataPath}.aside`;
      // The server works in the directory by whatever name.
      renameSync(bed.cluster.dataPath, aside);
      for (let turn = 0; turn < 3; turn++) {
        await bed.cluster.sql("INSERT INTO filled SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 200) g");
        written.push(await bed.cluster.switchWal());
        await sleep(1500);
      }
      renameSync(aside, bed.cluster.dataPath);
      written.push(await archiveAll(1));
      // What failed while it was out of sight comes after the others.
      await waitFor("all of it", 60_000, async () => (written.every((name) => stored(1).has(name)) ? true : null));
      expect(agent.log()).not.toContain("were removed by the server");
    },
  );

  // claim: docs/slot-archiving.md: streaming ships the unfinished segment beside it, and commits may wait for it
  test.runIf(NIGHTLY).each<object>([{ synchronous: "all" }, {}])(
    "a host lost with its disk loses no commit that was streamed (%o)",
    { timeout: 300_000 },
    async (more) => {
      await open({}, { stream: { intervalSeconds: 1, ...more } });
      await bed.cluster.sql("CREATE TABLE filled (g int, t text)");
      await dropTemplates(bed);
      await bed.oursOk(["backup", "--type=full"]);
      for (let turn = 0; turn < 3; turn++) {
        await bed.cluster.sql("INSERT INTO filled SELECT g, repeat(md5(g::text), 9) FROM generate_series(1, 9000) g");
        await bed.cluster.switchWal();
      }
      await bed.cluster.sql("INSERT INTO filled VALUES (0, 'streamed')");
      const wanted = parseLsn(await bed.cluster.value("SELECT pg_current_wal_lsn()"));
      const streamed = async (): Promise<bigint[]> => {
        const { stderr, stdout } = await agent.ask(bed.cluster.dataPath, ["status"]);
        return [...`${stdout}${stderr}`.matchAll(/streamed=([0-9A-F]+\/[0-9A-F]+)/g)].map(([, lsn = ""]) =>
          parseLsn(lsn),
        );
      };
      await waitFor("the stream", 60_000, async () => {
        const lsns = await streamed();
        return lsns.length === 2 && lsns.every((lsn) => lsn >= wanted) ? true : null;
      }).catch(withLog);
      await agent.stop("SIGKILL");
      await bed.cluster.stop("immediate");
      const { dataPath, result } = await bed.restoreAside({ by: null });
      expect(result.exitCode, result.stderr).toBe(0);
      const restored = TestCluster.adopt({ binaries, dataPath });
      await restored.start({ synchronous_standby_names: "" }, { timeoutMs: 180_000 });
      await restored.waitForRecovery();
      expect(await restored.value("SELECT count(*) FROM filled")).toBe("27001");
      await restored.remove();
    },
  );

  // claim: docs/slot-archiving.md: a promoted server archives its new timeline, its history, and the WAL that the dead
  //   primary had not archived
  test.runIf(NIGHTLY)("a promoted standby goes on, without a gap", { timeout: 300_000 }, async () => {
    await open();
    await bed.cluster.sql("CREATE TABLE filled (g int, t text)");
    await dropTemplates(bed);
    await bed.oursOk(["backup", "--type=full"]);
    const standby = await bed.cluster.createStandby(OFF);
    try {
      await archiveAll(1);
      await agent.stop("SIGKILL");
      const left: string[] = [];
      for (let turn = 0; turn < 3; turn++) {
        await bed.cluster.sql("INSERT INTO filled SELECT g, repeat(md5(g::text), 9) FROM generate_series(1, 9000) g");
        left.push(await bed.cluster.switchWal());
      }
      await bed.cluster.waitForStandby(standby);
      await bed.cluster.stop("immediate");
      const server = [`--pg1-path=${standby.dataPath}`, `--pg1-port=${standby.port}`];
      const args = [...server, `--pg1-socket-path=${standby.socketPath}`];
      const { configPath, runtime, stanza } = bed;
      agent = await AgentProcess.start({ paths: agentPaths(), runtime, configPath, stanza, args });
      const slots = (): Promise<string> => standby.value("SELECT count(*) FROM pg_replication_slots");
      await expect.poll(slots, { timeout: 60_000, interval: 500 }).toBe("0");
      await standby.sql("SELECT pg_promote()");
      await standby.waitForRecovery();
      await standby.sql("INSERT INTO filled VALUES (0, 'promoted')");
      const last = await standby.switchWal();
      expect(last.slice(0, 8)).toBe("00000002");
      for (const key of [1, 2])
        await waitFor(`WAL in repo${key}`, 60_000, async () =>
          [...left, last].every((name) => stored(key).has(name)) ? true : null,
        ).catch(withLog);
      const { dataPath, result } = await bed.restoreAside({ by: stock, args: ["--type=default"] });
      expect(result.exitCode, result.stderr).toBe(0);
      const restored = TestCluster.adopt({ binaries, dataPath });
      await restored.start({}, { timeoutMs: 180_000 });
      await restored.waitForRecovery();
      expect(await restored.tableChecksums()).toEqual(await standby.tableChecksums());
      await restored.remove();
      // A server that becomes a standby again archives what it finished before, and then keeps no WAL for ever.
      takeAway();
      await standby.sql("INSERT INTO filled VALUES (1, 'before it is a standby')");
      const waiting = await standby.switchWal();
      await standby.stop("fast");
      writeFileSync(join(standby.dataPath, "standby.signal"), "");
      giveTo(join(standby.dataPath, "standby.signal"), standby.user);
      await standby.start();
      await waitFor("the slot that stays", 30_000, async () =>
        agent.log().includes("stays: this standby") ? true : null,
      );
      expect(await standby.value("SELECT count(*) FROM pg_replication_slots")).toBe("1");
      bringBack();
      await standby.waitForValue("SELECT count(*) FROM pg_replication_slots", "0");
      expect(stored(2).has(waiting)).toBe(true);
    } finally {
      await agent.stop("SIGKILL");
      await standby.remove();
    }
  });

  // claim: docs/slot-archiving.md: `archive_timeout` ends a segment with `archive_mode = off` too
  test.runIf(NIGHTLY)("archive_timeout counts", { timeout: 120_000 }, async () => {
    await open({ repos: [{}], settings: { archive_timeout: "2s" } });
    await archiveAll(1);
    await bed.cluster.sql("CREATE TABLE filled (id int)");
    const name = await bed.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())");
    await waitFor(`${name} in repo1`, 60_000, async () => (stored(1).has(name) ? true : null));
  });

  // claim: docs/slot-archiving.md: a server that was reset to a snapshot shows as a conflict (45), not as a gap
  test.runIf(NIGHTLY)("a server that was reset to a snapshot is a conflict", { timeout: 300_000 }, async () => {
    await open({ repos: [{}] });
    await bed.cluster.sql("CREATE TABLE filled (g int, t text)");
    await archiveAll(1);
    await agent.stop();
    await bed.cluster.stop("fast");
    const snapshot = join(bed.folder, "snapshot");
    await runOk("cp", ["-a", bed.cluster.dataPath, snapshot]);
    await bed.cluster.start();
    await agent.start();
    for (let turn = 0; turn < 2; turn++) {
      await bed.cluster.sql("INSERT INTO filled VALUES (1, 'one')");
      await archiveAll(1);
    }
    await agent.stop();
    await bed.cluster.stop("immediate");
    rmSync(bed.cluster.dataPath, { recursive: true, force: true });
    await runOk("cp", ["-a", snapshot, bed.cluster.dataPath]);
    await bed.cluster.start();
    await bed.cluster.sql("INSERT INTO filled VALUES (2, 'two')");
    await bed.cluster.switchWal();
    await agent.start();
    await waitFor("the conflict", 60_000, async () =>
      /archive's [0-9A-F]{24} differs|duplicate/i.test(agent.log()) ? true : null,
    ).catch(withLog);
  });
});

function nextName(name: string): string {
  return name.slice(0, 16) + (Number.parseInt(name.slice(16), 16) + 1).toString(16).toUpperCase().padStart(8, "0");
}
