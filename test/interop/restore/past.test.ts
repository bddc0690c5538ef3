/**
 * A bucket that keeps versions, before and after somebody with the writer's key overwrote and deleted everything in it.
 * With the reader's key `info`, `verify` and `restore` show it as it was before, streamed WAL included; `sync` copies
 * that into another repository, which stock restores. Stock's own `repo-target-time` cannot be compared here: versitygw
 * dates old versions by their replacement, and only its version ids have the time that Amazon would show.
 */
// claim: docs/security.md: a bucket with versions is read as it was before everything in it was overwritten and deleted
//   with the writer's key: `info`, `verify` and `restore` with the reader's key, streamed WAL included; a clean copy by
//   `sync`, streamed WAL included, which stock restores; `recover` and a `CnpgRestore` bring a lost database back from
//   it (versitygw, where stock's own option finds nothing because old versions have the time of their replacement;
//   Amazon and Backblaze do not run here)
import { NIGHTLY } from "../../../tools/parts/nightly";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { accessPolicy, type PolicyRole } from "../../../components/plan/storage/awsPolicies";
import { runbookOf } from "../../../components/plan/runbook/databaseRunbook";
import type { DrillRecord } from "../../../runtime/operations/drill/record";
import { run, sleep, waitFor } from "../../../tools/parts/process";
import { compareChecksums } from "../../../tools/parts/postgres/testCluster";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { BUCKET } from "../../components/plans";
import { topology } from "../../components/topologies";
import { labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { askS3, callS3, type S3Keys, type S3Question } from "../../harness/network/s3Requests";
import { agentPaths, AgentProcess, archiveCommandOf } from "../../harness/real/agentProcess";
import { findParts, hasVersitygw } from "../../harness/real/interopParts";
import { makeUser } from "../../harness/real/liveBucket";
import { dropTemplates, fillBed, writeMore } from "../../harness/real/sampleData";
import { pgCtl, TestBed } from "../../harness/real/testBed";

const TITLE = "a repository as it was before an attack";
/** Its table, which only streamed WAL contains. */
const STREAMED = "public.streamed";

describe(TITLE, async () => {
  const parts = await findParts(TITLE, 18, "2.60");
  if (parts === null || !(await hasVersitygw(TITLE))) return;
  const { binaries, stock } = parts;
  const paths = agentPaths();
  let server: S3Server;
  let bed: TestBed;
  let writer: S3Keys;
  /** Of the reader's key. */
  let config: string;
  let first: string;
  let before: string;
  let labels: string[];

  /** A key with the rights that `S3Repository` gives it. */
  const keyOf = async (role: PolicyRole): Promise<S3Keys> => {
    const policy = accessPolicy(role, { bucketArn: `arn:aws:s3:::${server.bucket}`, path: "/repo" });
    return makeUser(server, role, policy);
  };
  /** A second of its own: times of versions have whole seconds. */
  const now = async (): Promise<string> => {
    await sleep(1100);
    const text = `${new Date().toISOString().slice(0, 19).replace("T", " ")}+00`;
    await sleep(1100);
    return text;
  };
  const steal = async (question: S3Question): Promise<void> => {
    const { status, text } = await askS3(server, question, writer);
    expect([question.method, question.key, status, text]).toEqual([
      question.method,
      question.key,
      question.method === "PUT" ? 200 : 204,
      "",
    ]);
  };
  const listed = async (...args: string[]): Promise<string[]> =>
    labelsOf(parseInfo((await bed.ours(["info", "--repo=1", "--output=json", ...args], { config })).stdout)).map(
      ({ label }) => label,
    );

  beforeAll(async () => {
    server = await S3Server.create({ kind: "versitygw", versioning: true, users: true });
    writer = await keyOf("writer");
    const reader = await keyOf("reader");
    bed = await TestBed.create({
      binaries,
      repos: [
        {
          s3: server,
          encrypted: true,
          compressType: "zst",
          options: {
            bundle: "y",
            block: "y",
            "s3-key": writer.accessKeyId,
            "s3-key-secret": writer.secretAccessKey,
          },
        },
        { compressType: "lz4", options: { bundle: "y" } },
      ],
      acknowledge: ["repo1"],
      settings: { archive_command: archiveCommandOf(paths) },
      global: { "archive-timeout": "20", "repo1-retention-full": "9", "repo2-retention-full": "9" },
    });
    bed.writeVariant(bed.configPath, { settings: { stream: { intervalSeconds: 1 } } });
    config = bed.variant("reader", {
      global: {
        "repo1-s3-key": reader.accessKeyId,
        "repo1-s3-key-secret": reader.secretAccessKey,
        // As on a host with an agent, which would answer from the repositories of today.
        "recovery-option": "restore_command=false %f %p",
      },
    });
  }, 300_000);
  afterAll(async () => {
    await pgCtl(bed, ["stop", "-m", "immediate"]).catch(() => undefined);
    await bed?.remove();
    await server?.remove();
    rmSync(paths.folder, { recursive: true, force: true });
  });

  // claim: docs/security.md: a bucket that keeps no versions, and a directory, are refused
  test("a bucket or directory without versions is refused", async () => {
    const administrator = bed.variant("administrator", {
      global: { "repo1-s3-key": server.accessKey, "repo1-s3-key-secret": server.secretKey },
    });
    const refused = await bed.ours(["info", "--repo=1", "--repo-target-time=2026-01-01 00:00:00"], {
      config: administrator,
    });
    expect(`${refused.stdout}${refused.stderr}`).toContain(
      `repo1 cannot be read as of a time: bucket '${server.bucket}'`,
    );
    const directory = await bed.ours(["repo-ls", "--repo=2", "--repo-target-time=2026-01-01 00:00:00"]);
    expect([directory.exitCode, `${directory.stdout}${directory.stderr}`]).toEqual([
      67,
      expect.stringContaining("a repository of type 'posix' keeps no versions"),
    ]);
    // Stock shows the directory as it is now.
    const theirs = await bed.stock(stock, ["repo-ls", "--repo=2", "--repo-target-time=2026-01-01 00:00:00"]);
    expect(theirs.exitCode).toBe(0);
  });

  test("two backups, WAL and streamed WAL; then a thief overwrites and deletes everything", async () => {
    const body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    await callS3(server, { method: "PUT", bucket: server.bucket, query: { versioning: "" }, body });
    const agent = await AgentProcess.start({
      paths,
      runtime: bed.runtime,
      configPath: bed.configPath,
      stanza: bed.stanza,
    });
    try {
      await bed.startWithStanza();
      await fillBed(bed, 4000);
      await dropTemplates(bed);
      await bed.cluster.sql("CREATE TABLE streamed (id int)");
      await bed.oursOk(["backup", "--type=full", "--repo=1"]);
      first = await now();
      await writeMore(bed);
      await bed.oursOk(["backup", "--type=incr", "--repo=1"]);
      labels = labelsOf(parseInfo((await bed.oursOk(["info", "--output=json"])).stdout))
        .filter(({ repo }) => repo === 1)
        .map(({ label }) => label);
      await writeMore(bed);
      await bed.archiveAll();
      await bed.cluster.sql("INSERT INTO streamed SELECT generate_series(1, 100)");
      const flushed = await bed.cluster.value("SELECT pg_current_wal_flush_lsn()");
      await waitFor("the stream", 60_000, async () => {
        const { stderr, stdout } = await agent.ask(bed.cluster.dataPath, ["status"]);
        const [, lsn] = /streamed=([0-9A-F/]+)/.exec(`${stdout}${stderr}`) ?? [];
        if (lsn === undefined) return null;
        return (await bed.cluster.value(`SELECT '${lsn}'::pg_lsn >= '${flushed}'`)) === "true" ? true : null;
      });
    } finally {
      await agent.stop("SIGKILL");
    }
    before = await now();
    const { text } = await callS3(server, { method: "GET", bucket: server.bucket, query: { "list-type": "2" } });
    const keys = [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = ""]) => key);
    expect(keys.length).toBeGreaterThan(10);
    for (const [index, key] of keys.entries()) {
      if (index % 2 === 0) await steal({ method: "PUT", bucket: server.bucket, key, body: "ha" });
      if (index % 3 !== 0) await steal({ method: "DELETE", bucket: server.bucket, key });
    }
    expect(await listed()).toEqual([]);
  }, 600_000);

  test("info shows the backups of each time, and says which key may read them if the writer's may not", async () => {
    expect(labels).toHaveLength(2);
    expect(await listed(`--repo-target-time=${before}`)).toEqual(labels);
    expect(await listed(`--repo-target-time=${first}`)).toEqual(labels.slice(0, 1));
    const refused = await bed.ours(["repo-ls", "--repo=1", `--repo-target-time=${before}`]);
    expect([refused.exitCode, `${refused.stdout}${refused.stderr}`]).toEqual([
      105,
      expect.stringContaining("The reader's and the recovery key of the components are"),
    ]);
  });

  test("verify reads all of it, and the repository of today stays in doubt", async () => {
    const then = [`--repo-target-time=${before}`, "--repo=1", "--output=text", "--verbose"];
    const verified = await bed.oursOk(["verify", ...then], { config });
    expect(verified.stdout).toMatch(/^status: ok$/m);
    expect(verified.stdout).toMatch(/streamed WAL, total pieces checked: [1-9]/);
    for (const label of labels) expect(verified.stdout).toContain(`backup: ${label}, status: valid`);
    expect((await bed.ours(["verify", "--repo=1"], { config })).exitCode).not.toBe(0);
  });

  test("restore brings every row back, streamed ones too", async () => {
    const args = [`--repo-target-time=${before}`];
    expect(await bed.restoreAndCompare({ by: null, repo: 1, args, config })).toEqual([]);
  }, 300_000);

  test.runIf(NIGHTLY)("the attack drill with the writer's key passes, and leaves nothing", async () => {
    const drill = ["drill", "--pick=attack", "--repo=1", `--drill-path=${bed.folder}/drill`];
    const made = await bed.ours([...drill, "--output=json"]);
    const record = JSON.parse(made.stdout) as DrillRecord;
    expect([made.exitCode, record.ok, record.failures]).toEqual([0, true, []]);
    expect((await bed.oursOk(drill)).stdout).toMatch(/attacks repo1: passed/);
    // versitygw also lists the empty directories on its disk.
    const left = await callS3(server, { method: "GET", bucket: server.bucket, query: { "list-type": "2" } });
    expect(left.text.match(/<Key>[^<]*\/attack\/[^<]*[^</]<\/Key>/g)).toBeNull();
    expect((await bed.oursOk(["metrics"])).stdout).toMatch(/^pgbackstop_attack_drill_ok\{.*\} 1$/m);
  });

  // claim: docs/drills-attack.md: the runbook's scenario of a stolen key, command by command
  test.runIf(NIGHTLY)(
    "the runbook's scenario, command by command, recovers a lost database and ends with a clean copy",
    async () => {
      const rows = await bed.cluster.tableChecksums();
      await bed.cluster.stop();
      // A server that `recover` may replace.
      await pgCtl(bed, ["start"]);
      await pgCtl(bed, ["stop", "-m", "immediate"]);
      const { dataPath } = bed.cluster;
      rmSync(join(dataPath, "base"), { recursive: true });
      // What was never archived comes back from the bucket alone.
      for (const name of readdirSync(join(dataPath, "pg_wal")))
        if (name.startsWith("0")) rmSync(join(dataPath, "pg_wal", name));
      // Only the copy of the past has it then.
      rmSync(join(bed.repoPath(2), "pgbackstop/main/stream"), { recursive: true });
      const book = runbookOf(topology({ repositories: { repo1: BUCKET } }));
      const scenario = book?.scenarios.find(({ id }) => id === "repository-1-attacked");
      const ran: string[] = [];
      for (const command of scenario?.steps.flatMap(({ commands }) => commands) ?? []) {
        const [, args] = /^sudo pgbackstop (.*)$/.exec(command) ?? [];
        // The stack's program is not here.
        if (args === undefined) continue;
        const yes = args.startsWith("recover ") ? " --yes" : "";
        const filled = `${args.replaceAll("<BEFORE>", before).replaceAll("<KEY>", "2")}${yes}`;
        const line = `"${bed.runtime.node}" ${bed.oursCommand([], config).join(" ")} ${filled}`;
        const done = await run("sh", ["-c", line], { user: bed.cluster.user, cwd: bed.folder, timeoutMs: 300_000 });
        // The emptied repository takes no WAL, and the agent of the other is gone.
        const isRecover = filled.startsWith("recover ");
        expect([filled, done.exitCode, done.stderr, done.stdout]).toEqual([
          filled,
          isRecover ? 103 : 0,
          "",
          isRecover
            ? expect.stringMatching(/is open, on timeline 2\.[^]*! Not every repository gets WAL/)
            : done.stdout,
        ]);
        ran.push(filled.split(" ")[0] ?? "");
      }
      expect(ran).toEqual(["info", "verify", "recover", "sync", "verify"]);
      expect(compareChecksums(rows, await bed.cluster.tableChecksums())).toEqual([]);
      expect(await bed.cluster.value("SELECT count(*) FROM streamed")).toBe("100");
    },
    300_000,
  );

  test.runIf(NIGHTLY)(
    "sync copied the past into another repository, streamed WAL too, which is readable without versions",
    async () => {
      const again = await bed.oursOk(["sync", `--from-repo=1@${before}`, "--to-repo=2"], { config });
      expect(again.stdout).toContain("repo2: nothing is missing from repo1");
      await bed.oursOk(["verify", "--repo=2"]);
      expect(await bed.restoreAndCompare({ by: null, repo: 2 })).toEqual([]);
      const differences = await bed.restoreAndCompare({ by: stock, repo: 2 });
      expect(differences.filter((line) => !line.includes(STREAMED))).toEqual([]);
      expect(bed.findLeaks()).toEqual([]);
    },
    300_000,
  );
});
