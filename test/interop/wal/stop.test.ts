/**
 * A real PostgreSQL stops while one of two repositories is down and the policy requires both. Its archiver
 * (postmaster/pgarch.c) then tries the last segment up to six times, a second apart, and the server waits for it.
 */
// claim: docs/agent.md: a stop of PostgreSQL does not wait for a repository that is down
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { waitFor } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { agentPaths, AgentProcess, archiveCommandOf } from "../../harness/real/agentProcess";
import { findParts, s3Kind } from "../../harness/real/interopParts";
import { TestBed } from "../../harness/real/testBed";

/** With the usual io-timeout each try took half a minute or more. Most of these seconds are for a busy machine. */
const STOP_MS_MAX = 45_000;

describe("a fast shutdown", async () => {
  const parts = await findParts("a fast shutdown", 18, "2.60");
  if (parts === null) return;
  const paths = agentPaths();
  let server: S3Server;
  let bed: TestBed;
  let agent: AgentProcess;

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "gz" }, { s3: server, compressType: "zst" }],
      walSegmentSizeMb: 1,
    });
    agent = await AgentProcess.start({
      paths,
      runtime: bed.runtime,
      configPath: bed.configPath,
      stanza: bed.stanza,
    });
    await bed.startWithStanza();
    await bed.cluster.sql("CREATE TABLE t (id int)");
    await bed.archiveAll();
  }, 300_000);

  afterAll(async () => {
    await agent.stop("SIGKILL");
    await bed.remove();
    await server.remove();
    rmSync(paths.folder, { recursive: true, force: true });
  });

  const log = (): string => readFileSync(bed.cluster.logFile, "utf8");
  const plainCommand = (): string =>
    `${bed.runtime.node} ${bed.runtime.file} --config-path=${bed.configPath} --stanza=${bed.stanza} archive-push %p # pgbackrest`;
  const ready = (): string[] =>
    readdirSync(join(bed.cluster.dataPath, "pg_wal/archive_status")).filter((name) => name.endsWith(".ready"));

  test.each([
    ["an agent", "refuses connections", () => archiveCommandOf(paths), () => server.stop()],
    ["an agent", "accepts them and never answers", () => archiveCommandOf(paths), async () => server.pause()],
    ["the plain command", "refuses connections", plainCommand, () => server.stop()],
    ["the plain command", "accepts them and never answers", plainCommand, async () => server.pause()],
  ])(
    "with %s does not wait for a bucket that %s, and keeps the segment",
    async (_by, _how, command, takeAway) => {
      await bed.cluster.alterSystem({ archive_command: command() });
      await bed.archiveAll();
      await bed.cluster.sql("INSERT INTO t VALUES (1)");
      await takeAway();
      const before = log().length;
      const beganMs = performance.now();
      await bed.cluster.stop("fast", 200_000);
      expect(performance.now() - beganMs).toBeLessThan(STOP_MS_MAX);
      const failures =
        log()
          .slice(before)
          .match(/archive command failed with exit code/g) ?? [];
      expect(failures.length).toBeGreaterThanOrEqual(3);
      expect(failures.length).toBeLessThanOrEqual(6);
      expect(ready().length).toBeGreaterThan(0);
      await server.stop();
      await server.start();
      await bed.cluster.start();
      await waitFor("the segments of before the stop", 120_000, async () => (ready().length === 0 ? true : null));
      expect((await bed.oursOk(["verify", "--output=text"])).stdout.match(/^status: ok$/gm)).toHaveLength(2);
    },
    400_000,
  );
});
