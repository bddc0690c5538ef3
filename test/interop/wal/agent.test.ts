/**
 * The agent between a real PostgreSQL and two repositories, a directory and an S3 server. archive_command is the perl
 * client.
 *
 * One cluster goes through an outage of repo2 under load with a SIGKILL of the agent, automatic healing, restarts
 * behind a permanent socket, and a recovery with prefetch. No WAL is lost, PostgreSQL sees only the failures that the
 * policy requires, and stock finds nothing wrong.
 */
// claim: README.md: `agent`: a kill loses nothing, missing WAL is copied without help, no call fails behind a socket
import { NIGHTLY } from "../../../tools/parts/nightly";
import { existsSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { waitFor } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { compareChecksums, TestCluster } from "../../../tools/parts/postgres/testCluster";
import { agentPaths, AgentProcess, archiveCommandOf } from "../../harness/real/agentProcess";
import { parseInfo } from "../../harness/compare/infoJson";
import { findParts, s3Kind } from "../../harness/real/interopParts";
import { dropTemplates } from "../../harness/real/sampleData";
import { writeSegments } from "../../harness/real/segments";
import { TestBed } from "../../harness/real/testBed";

const SEGMENTS = 24;

describe("the agent", async () => {
  const parts = await findParts("the agent", 18, "2.60");
  if (parts === null) return;
  const paths = agentPaths();
  let server: S3Server;
  let bed: TestBed;
  let agent: AgentProcess;

  const startAgent = (activated: boolean): Promise<AgentProcess> =>
    AgentProcess.start({ paths, runtime: bed.runtime, configPath: bed.configPath, stanza: bed.stanza, activated });
  const archived = async (): Promise<number> =>
    Number(await bed.cluster.value("SELECT archived_count FROM pg_stat_archiver"));
  const failed = async (): Promise<number> =>
    Number(await bed.cluster.value("SELECT failed_count FROM pg_stat_archiver"));
  const missingCounts = async (): Promise<number[]> => {
    const result = await bed.ours(["info", "--output=json"]);
    return parseInfo(result.stdout).repo.map((repo) => repo["wal-missing"] ?? 0);
  };

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "gz" }, { s3: server, compressType: "zst", encrypted: true }],
      acknowledge: "any",
      walSegmentSizeMb: 1,
      settings: {
        archive_command: archiveCommandOf(paths),
        wal_keep_size: 0,
        min_wal_size: "2MB",
        max_wal_size: "32MB",
      },
      global: { "archive-timeout": "20", "io-timeout": "10", "process-max": "3" },
    });
    agent = await startAgent(false);
    await bed.startWithStanza();
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE t (id int, filler text)");
    await bed.oursOk(["backup", "--type=full"]);
  }, 300_000);

  afterAll(async () => {
    await agent.stop("SIGKILL");
    await bed.remove();
    await server.remove();
    rmSync(paths.folder, { recursive: true, force: true });
  });

  test("archives for check and backup of both programs, and its socket is closed to others", async () => {
    await bed.oursOk(["check"]);
    await bed.stockOk(parts.stock, ["check"]);
    expect(statSync(paths.socket).mode & 0o777).toBe(0o600);
    expect(await failed()).toBe(0);
    const asked = await agent.ask(bed.cluster.dataPath, ["status"]);
    expect(asked).toMatchObject({ exitCode: 0, stderr: "repo1 waiting=0 missing=0\nrepo2 waiting=0 missing=0\n" });
  });

  // claim: docs/kubernetes/failover.md, docs/agent.md: after a clean restart `archive_timeout` holds at once
  test("after a clean restart archive_timeout holds at once, although the checkpointer sleeps through the start", async () => {
    // checkpoint_timeout is five minutes: without a wake-up the commit waits that long.
    await bed.cluster.restart({ archive_timeout: "2s" });
    const before = await archived();
    await bed.cluster.sql("INSERT INTO t VALUES (0, 'after the restart')");
    await waitFor("the segment", 60_000, async () => ((await archived()) > before ? true : null));
    await bed.cluster.restart();
  });

  // claim: docs/agent.md: SIGKILL loses nothing; missing WAL is copied without help
  test("after an outage of repo2 and a SIGKILL under load, all WAL is acknowledged and repo2 heals automatically", async () => {
    await server.stop();
    const before = await archived();
    const first = await writeSegments(bed, SEGMENTS / 2);
    await agent.stop("SIGKILL");
    const second = await writeSegments(bed, SEGMENTS / 2);
    await agent.start();
    await waitFor("acknowledgement of all segments", 90_000, async () =>
      (await archived()) >= before + SEGMENTS ? true : null,
    );
    const missing = await missingCounts();
    expect(missing[0]).toBe(0);
    expect(missing[1]).toBeGreaterThanOrEqual(SEGMENTS);
    // Some of these segments are no longer in pg_wal and come from repo1.
    await bed.cluster.sql("CHECKPOINT");
    expect([...first, ...second].filter((name) => existsSync(bed.walFile(name))).length).toBeLessThan(SEGMENTS);

    await server.start();
    await waitFor(
      "the missing WAL to be copied",
      120_000,
      async () => ((await missingCounts()).every((count) => count === 0) ? true : null),
      500,
    );
    await bed.archiveAll();
    for (const key of [1, 2]) {
      const verified = await bed.stockOk(parts.stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
      expect(verified.stdout).toMatch(/^status: ok$/m);
      expect(verified.stdout).not.toMatch(/(missing|checksum invalid|size invalid|other): [1-9]/);
    }
    expect((await bed.oursOk(["verify", "--output=text"])).stdout.match(/^status: ok$/gm)).toHaveLength(2);
  });

  test("refuses another cluster's WAL, and reports it", async () => {
    const foreign = await agent.ask("/", ["archive-push", "/etc/passwd"]);
    expect(foreign).toMatchObject({
      exitCode: 32,
      stderr: expect.stringContaining("ERROR: [032]: '/etc/passwd' is not in the data directory"),
    });
    const missing = await agent.ask(bed.cluster.dataPath, ["archive-push", "pg_wal/0000000100000000000000FF"]);
    expect(missing).toMatchObject({ exitCode: 55 });
    expect((await agent.ask(bed.cluster.dataPath, ["restore"])).exitCode).toBe(48);
    const absent = await agent.ask(bed.cluster.dataPath, ["archive-get", "00000009.history", "pg_wal/RECOVERYHISTORY"]);
    expect(absent).toMatchObject({ exitCode: 1, stderr: "" });
  });

  test.runIf(NIGHTLY)(
    "archive-push-queue-max: an automatic backup follows the drop, and check passes again",
    {
      timeout: 600_000,
    },
    async () => {
      await agent.stop();
      const configPath = bed.variant("drop", {
        global: { "archive-push-queue-max": "3MiB", "archive-timeout": "4", "io-timeout": "2" },
      });
      agent = await AgentProcess.start({ paths, runtime: bed.runtime, configPath, stanza: bed.stanza });
      const info = async (): Promise<ReturnType<typeof parseInfo>> =>
        parseInfo((await bed.ours(["info", "--output=json"])).stdout);
      const droppedCounts = async (): Promise<number[]> => (await info()).repo.map((repo) => repo["wal-dropped"] ?? 0);
      const backups = (await info()).backup.length;
      const before = await archived();
      renameSync(bed.repoPath(1), `${bed.repoPath(1)}.away`);
      await server.stop();
      await writeSegments(bed, 5);
      await waitFor("segments to be dropped", 120_000, async () => ((await archived()) >= before + 2 ? true : null));
      // A running agent closes the gap. On a slow machine the next checks would run too late.
      await agent.stop();
      renameSync(`${bed.repoPath(1)}.away`, bed.repoPath(1));
      await server.start();
      expect((await droppedCounts()).every((count) => count >= 1)).toBe(true);
      expect(await bed.ours(["check", "--no-archive-check"])).toMatchObject({
        exitCode: 103,
        stdout: expect.stringContaining("were dropped because of archive-push-queue-max"),
      });
      await agent.start();
      // PostgreSQL's archiver pauses after failures while no agent listened.
      await bed.cluster.sql("SELECT pg_reload_conf()");
      await waitFor(
        "the backup behind the gap",
        300_000,
        async () => ((await droppedCounts()).every((count) => count === 0) ? true : null),
        500,
      );
      expect(agent.log()).toMatch(/WARN: taking a backup into repo1, repo2|WARN: taking a backup into repo\d/);
      const after = (await info()).backup;
      expect(after.length).toBeGreaterThan(backups);
      await bed.oursOk(["check"]);
      // Repositories that come back one after the other get separate backups.
      for (const key of [1, 2]) {
        const newest = after.filter(({ database }) => database["repo-key"] === key).at(-1);
        await bed.oursOk(["verify", `--repo=${key}`, `--set=${newest?.label}`]);
      }
      await agent.stop();
      agent = await startAgent(false);
    },
  );

  // claim: docs/agent.md: calls queue while the agent restarts behind a socket; 49 without an answer
  test("behind a permanent socket, restarts under load fail no archive call; without an agent the client exits with 49", async () => {
    // No segment may wait for an agent while none runs.
    await bed.archiveAll();
    const before = await failed();
    expect(await agent.stop()).toBe(0);
    expect(existsSync(paths.socket)).toBe(false);
    const away = await agent.ask(bed.cluster.dataPath, ["archive-push", "pg_wal/x"]);
    expect(away).toMatchObject({ exitCode: 49, stderr: expect.stringContaining("unable to connect") });
    agent = await startAgent(true);
    expect(agent.activatedPids()).toEqual([]);
    const base = Math.max(before, await failed());
    for (let turn = 0; turn < 3; turn++) {
      const names = await writeSegments(bed, 4);
      await waitFor("an agent", 90_000, async () => (agent.activatedPids().length > turn ? true : null));
      process.kill(agent.activatedPids()[turn] ?? 0, "SIGTERM");
      expect(names).toHaveLength(4);
    }
    await bed.archiveAll();
    expect(agent.activatedPids().length).toBeGreaterThanOrEqual(4);
    expect(await failed()).toBe(base);
    // An agent may end when only one repository has a segment. The next agent copies it to the other one.
    await waitFor(
      "the missing WAL to be copied",
      120_000,
      async () => ((await missingCounts()).every((count) => count === 0) ? true : null),
      500,
    );
  });

  // claim: docs/agent.md: segments are fetched ahead; "not found" only when every repository said so
  test("recovery gets WAL through the agent, which prefetches it from any repository that answers", async () => {
    await writeSegments(bed, SEGMENTS);
    await bed.archiveAll();
    const expected = await bed.cluster.tableChecksums();
    const recovery = agentPaths();
    const command = `${recovery.client} ${recovery.socket} archive-get %f %p`;
    const dataPath = join(recovery.folder, "data");
    await bed.oursOk([
      "restore",
      `--pg1-path=${dataPath}`,
      "--archive-mode=off",
      `--recovery-option=restore_command=${command}`,
    ]);
    const config = bed.variant("recovery", {
      stanza: { "pg1-path": dataPath },
      global: { "spool-path": join(recovery.folder, "spool") },
    });
    const second = await AgentProcess.start({
      paths: recovery,
      runtime: bed.runtime,
      configPath: config,
      stanza: bed.stanza,
    });
    const restored = TestCluster.adopt({ binaries: parts.binaries, dataPath });
    try {
      await restored.start({ archive_mode: "off" }, { timeoutMs: 120_000 });
      await restored.waitForRecovery();
      expect(compareChecksums(expected, await restored.tableChecksums())).toEqual([]);
      const ahead = second.log().match(/found [0-9A-F]{24} in the queue/g) ?? [];
      expect(ahead.length).toBeGreaterThan(SEGMENTS / 2);
    } catch (error) {
      throw new Error(`${String(error)}\n${restored.logTail()}\n${second.log().slice(-3000)}`, { cause: error });
    } finally {
      await restored.remove();
      await second.stop();
      rmSync(recovery.folder, { recursive: true, force: true });
    }
    expect(bed.findLeaks()).toEqual([]);
  });
});

describe("the agent with WAL segments of 64 MiB", async () => {
  const parts = await findParts("the agent with large segments", 18, "2.60");
  if (parts === null) return;

  // claim: docs/agent.md: large segments in bounded memory
  test.runIf(NIGHTLY)("pushes them in bounded memory, and they are restored intact", async (context) => {
    const paths = agentPaths();
    context.onTestFinished(() => rmSync(paths.folder, { recursive: true, force: true }));
    const bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "gz" }, { compressType: "zst", encrypted: true }],
      walSegmentSizeMb: 64,
      settings: { archive_command: archiveCommandOf(paths), max_wal_size: "1GB", wal_keep_size: "1GB" },
      global: { "process-max": "2" },
    });
    context.onTestFinished(() => bed.remove());
    const agent = await AgentProcess.start({
      paths,
      runtime: bed.runtime,
      configPath: bed.configPath,
      stanza: bed.stanza,
    });
    context.onTestFinished(() => void agent.stop("SIGKILL"));
    await bed.startWithStanza();
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE t (id int, filler text)");
    const names = await writeSegments(bed, 4);
    await bed.archiveAll();
    const peakMib = Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${agent.pid}/status`, "utf8"))?.[1]) / 1024;
    process.stdout.write(
      `agent with four segments of 64 MiB into two repositories: ${peakMib.toFixed(0)} MiB at most\n`,
    );
    expect(peakMib).toBeLessThan(300);
    const got = join(paths.folder, "got");
    for (const key of [1, 2]) {
      await bed.stockOk(parts.stock, [`--repo=${key}`, "archive-get", names[0] ?? "", got]);
      expect(readFileSync(got).equals(readFileSync(bed.walFile(names[0] ?? "")))).toBe(true);
    }
  });
});
