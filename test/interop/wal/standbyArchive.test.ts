/**
 * `archive: "standby"` with real servers: nothing is installed at the primary, `archive_mode` is off there, and the
 * agent beside a standby archives and backs up.
 */
// claim: docs/hosts/foreign-server.md: a server on whose machine nothing may be installed is backed up through a
//   standby, and restored by ours and by stock
import { appendFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { lsnOfSegment } from "../../../runtime/format/wal/walSegment";
import { waitFor } from "../../../tools/parts/process";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { agentPaths, AgentProcess } from "../../harness/real/agentProcess";
import { findParts } from "../../harness/real/interopParts";
import { dropTemplates } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const OFF = { archive_mode: "off", archive_command: "", max_slot_wal_keep_size: "2GB", wal_keep_size: "256MB" };
const SEGMENT_BYTES = 16 * 1024 * 1024;
const FILL = "INSERT INTO filled SELECT g, repeat(md5(g::text), 9) FROM generate_series(1, 9000) g";

describe.each(atNight(17, 15))("the standby of a server of PostgreSQL %i where nothing is installed", async (major) => {
  const parts = await findParts(`archiving a standby of PostgreSQL ${major}`, major, "2.60");
  if (parts === null) return;
  const { binaries, stock } = parts;
  let bed: TestBed;
  let standby: TestCluster;
  let agent: AgentProcess;
  let config = "";
  let folder = "";

  const configure = (settings: object): string => {
    const { dataPath, port, socketPath } = standby;
    const stanza = { "pg1-path": dataPath, "pg1-port": String(port), "pg1-socket-path": socketPath };
    return bed.variant("standby", { settings, stanza });
  };
  const open = async (): Promise<void> => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "zst" }, { compressType: "lz4", encrypted: true }],
      settings: OFF,
      global: { "archive-timeout": "60" },
    });
    await bed.cluster.start();
    await bed.cluster.sql("CREATE TABLE filled (g int, t text)");
    await dropTemplates(bed);
    standby = await bed.cluster.createStandby(OFF);
    config = configure({ archive: "standby" });
    const paths = agentPaths();
    folder = paths.folder;
    agent = await AgentProcess.start({ paths, runtime: bed.runtime, configPath: config, stanza: bed.stanza });
    // WAL waits already, and the agent tries to archive it.
    await bed.oursOk(["stanza-create"], { config });
  };
  afterEach(async () => {
    await agent?.stop("SIGKILL");
    await standby?.remove();
    await bed?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const stored = (key: number): string[] =>
    readdirSync(join(bed.repoPath(key), "archive", bed.stanza), { recursive: true, encoding: "utf8" }).flatMap(
      (path) => /([0-9A-F]{24})-[0-9a-f]{40}(\.\w+)?$/.exec(path)?.[1] ?? [],
    );
  const withLog = (error: unknown): never => {
    throw new Error(`${String(error)}\n${agent.log().slice(-3000)}`, { cause: error });
  };
  const untilStored = async (name: string): Promise<void> => {
    for (const key of [1, 2])
      await waitFor(`${name} in repo${key}`, 60_000, async () => (stored(key).includes(name) ? true : null)).catch(
        withLog,
      );
  };
  /** Writes more than a segment. */
  const write = async (server: TestCluster): Promise<string> => {
    await server.sql(FILL);
    return server.switchWal();
  };
  const backupArgs = (...args: readonly string[]): string[] => {
    const asked = ["backup", `--bin-path=${binaries.folder}`, "--log-level-console=info"];
    return [...asked, ...args];
  };
  const backup = async (type: string): Promise<string> =>
    (await bed.oursOk(backupArgs(`--type=${type}`), { config })).stdout;
  /** Segments are pushed side by side: an earlier one may arrive last. */
  const untilGapless = (timeline: string): Promise<void> =>
    expect.poll(() => gaps(timeline), { timeout: 20_000, message: timeline }).toBe(0);
  const gaps = (timeline: string): number => {
    const numbers = [...new Set(stored(1))]
      .filter((name) => name.startsWith(timeline))
      .map((name) => Number(lsnOfSegment(name, SEGMENT_BYTES) / BigInt(SEGMENT_BYTES)))
      .sort((left, right) => left - right);
    return (numbers.at(-1) ?? 0) - (numbers[0] ?? 0) + 1 - numbers.length;
  };
  /** What a restore by `by` brings back, to the end of the archive. */
  const restored = async (by: typeof stock | null, repo: number): Promise<unknown> => {
    const { dataPath, result } = await bed.restoreAside({ by, repo, args: ["--type=default"] });
    expect(result.exitCode, result.stderr).toBe(0);
    const cluster = TestCluster.adopt({ binaries, dataPath });
    try {
      await cluster.start({}, { timeoutMs: 180_000 });
      await cluster.waitForRecovery();
      return await cluster.tableChecksums();
    } finally {
      await cluster.remove();
    }
  };

  test("every row comes back, also after the agent's death and the standby's promotion", {
    timeout: 300_000,
  }, async () => {
    await open();
    // Its primary is quiet, and has no archive_timeout.
    const full = await backup("full");
    expect(full).toContain("taking the backup from the standby of pg1 alone");
    expect(full).not.toContain("the primary does not end its segment");
    await bed.oursOk(["check"], { config });
    await agent.stop("SIGKILL");
    const dead = await bed.ours(["check"], { config });
    expect(dead.exitCode, "nobody reads the slot").toBe(87);
    for (let turn = 0; turn < 3; turn++) await write(bed.cluster);
    await agent.start();
    const last = await write(bed.cluster);
    await untilStored(last);
    await untilGapless("00000001");
    await backup("incr");
    const status = await bed.oursOk(["status"], { config });
    expect(status.stdout).toMatch(/slot +pgbackstop_main keeps/);
    await untilStored(await write(bed.cluster));
    const rows = await bed.cluster.tableChecksums();
    if (NIGHTLY) expect(await restored(stock, 1)).toEqual(rows);
    expect(await restored(null, 2)).toEqual(rows);
    // The server is lost. The standby takes its place, and the same agent archives on.
    await bed.cluster.waitForStandby(standby);
    await bed.cluster.stop("immediate");
    await standby.sql("SELECT pg_promote()");
    await standby.waitForRecovery();
    await untilStored(await write(standby));
    await untilGapless("00000002");
    expect(await restored(stock, 2)).toEqual(await standby.tableChecksums());
    const verified = await bed.ours(["verify"], { config });
    expect(verified.exitCode, verified.stdout).toBe(0);
  });

  // claim: docs/hosts/foreign-server.md: if the server is replaced by another standby of it, the agent follows the new
  //   timeline
  test.runIf(NIGHTLY)("the standby follows its primary's successor", { timeout: 300_000 }, async () => {
    await open();
    await backup("full");
    const successor = await bed.cluster.createStandby(OFF);
    try {
      await write(bed.cluster);
      for (const each of [standby, successor]) await bed.cluster.waitForStandby(each);
      await bed.cluster.stop("immediate");
      await successor.sql("SELECT pg_promote()");
      await successor.waitForRecovery();
      await standby.stop("fast");
      const conninfo = `host=${successor.socketPath} port=${successor.port} user=${successor.superuser}`;
      appendFileSync(join(standby.dataPath, "postgresql.auto.conf"), `\nprimary_conninfo = '${conninfo}'\n`);
      await standby.start();
      for (let turn = 0; turn < 2; turn++) await write(successor);
      const last = await write(successor);
      expect(last.startsWith("00000002")).toBe(true);
      await untilStored(last);
      for (const timeline of ["00000001", "00000002"]) await untilGapless(timeline);
      expect(await restored(stock, 1)).toEqual(await successor.tableChecksums());
      expect(await restored(null, 2)).toEqual(await successor.tableChecksums());
    } finally {
      await successor.remove();
    }
  });

  // claim: docs/hosts/foreign-server.md: without the right to end a segment there, a backup waits for its primary
  test.runIf(NIGHTLY)("waits for a primary that refuses to end its segment", { timeout: 120_000 }, async () => {
    await open();
    await bed.cluster.sql("CREATE ROLE plain LOGIN REPLICATION");
    const conninfo = `host=${bed.cluster.socketPath} port=${bed.cluster.port} user=plain password=it''s\\secret`;
    await standby.sql(`ALTER SYSTEM SET primary_conninfo = '${conninfo.replaceAll("'", "''")}'`);
    await standby.sql("SELECT pg_reload_conf()");
    const refused = await bed.ours(backupArgs("--type=full", "--archive-timeout=3"), { config });
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stdout).toMatch(/the primary does not end its segment for this backup: .*permission denied/);
    expect(refused.stdout + refused.stderr).toContain("pg_switch_wal()");
    expect(refused.stdout + refused.stderr).not.toContain("secret");
  });

  // claim: docs/hosts/foreign-server.md: an agent with `archive: "stream"` leaves a standby alone
  test.runIf(NIGHTLY)("is left alone without the setting", { timeout: 120_000 }, async () => {
    await open();
    await agent.stop("SIGKILL");
    configure({ archive: "stream" });
    await agent.start();
    await standby.waitForValue("SELECT count(*) FROM pg_replication_slots", "0");
    const refused = await bed.ours(["backup", "--type=full"], { config });
    expect(refused.exitCode).toBe(56);
    expect(refused.stdout + refused.stderr).toContain("unable to find primary cluster");
  });
});
