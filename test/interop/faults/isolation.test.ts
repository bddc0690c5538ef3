/**
 * One repository is down, the other one is current. PostgreSQL writes segments while repo2's server is gone, or accepts
 * connections and never answers: 8, in the nightly form 60.
 *
 * The delay of a segment runs from the moment PostgreSQL marks it ready until repo1 holds it. Policy `any` acknowledges
 * and counts the missing WAL. With `all` PostgreSQL keeps retrying one segment, and archiving ahead of it keeps repo1
 * current. Afterwards `heal` makes both repositories equal, from pg_wal or from repo1.
 */
// claim: README.md: a repository that is down never delays the others
// claim: README.md: missing WAL is durably recorded, counted and healed
// claim: README.md: acknowledgement by all, any…
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, test, type TestContext } from "vitest";
import { systemClock } from "../../../runtime/base/clock";
import { systemRandom } from "../../../runtime/base/random";
import { sha1Hex } from "../../../runtime/base/hash";
import { Secret } from "../../../runtime/base/secret";
import type { RepoConfig } from "../../../runtime/config/types";
import { silentLog } from "../../../runtime/base/log";
import { openRepositories } from "../../../runtime/process/openRepositories";
import { loadArchiveInfo } from "../../../runtime/repository/infoStore";
import { listWal, openWal } from "../../../runtime/repository/walStore";
import type { StockPgbackrest } from "../../../tools/parts/debian/pgbackrest";
import { waitFor } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { parseInfo } from "../../harness/compare/infoJson";
import { findParts, s3Kind } from "../../harness/real/interopParts";
import { posixRepo, s3Repo } from "../../harness/repositories";
import { findStoredSegment, storingDelaysS, writeSegments } from "../../harness/real/segments";
import { dropTemplates } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const SEGMENTS = NIGHTLY ? 60 : 8;
/** The limit for "within seconds" on two busy cores. */
const DELAY_S_MAX = 10;

interface Outage {
  readonly name: string;
  begin(server: S3Server): Promise<void>;
  end(server: S3Server): Promise<void>;
}

const STOPPED: Outage = { name: "stopped", begin: (server) => server.stop(), end: (server) => server.start() };
const SILENT: Outage = {
  name: "accepting and never answering",
  begin: async (server) => server.pause(),
  end: async (server) => server.resume(),
};

interface Setting {
  readonly bed: TestBed;
  readonly server: S3Server;
  readonly stock: StockPgbackrest;
}

/** Concurrent, because the tests mostly wait for a repository that does not answer. */
describe.concurrent("a repository that is down", async () => {
  const title = "isolation of repositories";
  const parts = await findParts(title, 18, "2.60");
  if (parts === null) return;

  const open = async (context: TestContext, acknowledge: "all" | "any", keepWal: boolean): Promise<Setting> => {
    const server = await S3Server.create({ kind: await s3Kind() });
    context.onTestFinished(() => server.remove());
    const bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "gz" }, { s3: server, compressType: "zst", encrypted: true }],
      acknowledge,
      walSegmentSizeMb: 1,
      settings: keepWal
        ? { wal_keep_size: "512MB", max_wal_size: "1GB" }
        : { wal_keep_size: 0, min_wal_size: "2MB", max_wal_size: "1GB" },
      // Waits less than a minute for a silent server, so that a call ends within the test.
      global: { "io-timeout": "20", "archive-timeout": "30" },
    });
    context.onTestFinished(() => bed.remove());
    await bed.startWithStanza();
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE t (id int, filler text)");
    await bed.oursOk(["backup", "--type=full"]);
    await bed.archiveAll();
    return { bed, server, stock: parts.stock };
  };

  test.for(atNight({ outage: SILENT, keepWal: false }, { outage: STOPPED, keepWal: true }))(
    "policy any, server $outage.name: every segment is acknowledged and recorded as missing WAL; heal copies it",
    async ({ outage, keepWal }, context) => {
      const setting = await open(context, "any", keepWal);
      const { bed, server } = setting;
      await outage.begin(server);
      const before = Number(await bed.cluster.value("SELECT archived_count FROM pg_stat_archiver"));
      const names = await writeSegments(bed, SEGMENTS);
      await waitFor("acknowledgement of all segments", 240_000, async () =>
        Number(await bed.cluster.value("SELECT archived_count FROM pg_stat_archiver")) >= before + SEGMENTS
          ? true
          : null,
      );
      report(`any, ${outage.name}`, storingDelaysS(bed, names));
      expect(await bed.cluster.value("SELECT failed_count FROM pg_stat_archiver")).toBe("0");
      // While the server is down, info knows repo2's missing WAL but not its state.
      const away = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
      expect(away.repo.map((repo) => repo["wal-missing"] ?? 0)).toEqual([0, SEGMENTS]);
      expect(away.repo[1]?.status.code).toBe(99);
      expect((await bed.oursOk(["info"])).stdout).toContain(`repo2 wal missing: ${SEGMENTS} segment(s)`);

      if (!keepWal) {
        await bed.cluster.sql("CHECKPOINT");
        await waitFor("removal of WAL", 90_000, async () =>
          names.slice(0, -2).some((name) => existsSync(bed.walFile(name))) ? null : true,
        );
      }
      await outage.end(server);
      const healed = await bed.oursOk(["heal"]);
      expect(healed.stdout).toContain(`repo2: ${SEGMENTS} missing WAL file(s) copied`);
      await expectEqual(setting, names);
    },
  );

  test.runIf(NIGHTLY)(
    "policy all, server stopped: PostgreSQL keeps trying, repo1 stays current, and everything works when the server is back",
    async (context) => {
      const setting = await open(context, "all", true);
      const { bed, server } = setting;
      await STOPPED.begin(server);
      const before = await bed.cluster.value("SELECT archived_count FROM pg_stat_archiver");
      const names = await writeSegments(bed, SEGMENTS);
      await waitFor("repo1 to hold every segment", 120_000, async () =>
        names.every((name) => findStoredSegment(bed, 1, name) !== null) ? true : null,
      );
      report("all, stopped", storingDelaysS(bed, names));
      await waitFor("a failure that PostgreSQL was told", 60_000, async () =>
        (await bed.cluster.value("SELECT failed_count > 0 FROM pg_stat_archiver")) === "true" ? true : null,
      );
      expect(await bed.cluster.value("SELECT archived_count FROM pg_stat_archiver")).toBe(before);
      expect(names.filter((name) => existsSync(bed.walFile(`archive_status/${name}.ready`)))).toEqual(names);
      const reported = await bed.ours(["info", "--output=json"]);
      expect(reported.exitCode).toBe(104);
      expect(parseInfo(reported.stdout).repo.map((repo) => repo["wal-missing"] ?? 0)).toEqual([0, 0]);

      await STOPPED.end(server);
      await bed.archiveAll(180_000);
      expect(names.filter((name) => !existsSync(bed.walFile(`archive_status/${name}.done`)))).toEqual([]);
      await bed.oursOk(["heal"]);
      await expectEqual(setting, names);
    },
  );

  // claim: docs/agent.md: the server's own bytes…
  test("heal takes PostgreSQL's own bytes, and names a repository with others until the user decides", async (context) => {
    const bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "none" }, { compressType: "none" }],
      acknowledge: "any",
      walSegmentSizeMb: 1,
      settings: { wal_keep_size: "512MB" },
    });
    context.onTestFinished(() => bed.remove());
    await bed.startWithStanza();
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE t (id int, filler text)");
    await bed.archiveAll();
    renameSync(bed.repoPath(1), `${bed.repoPath(1)}.away`);
    writeFileSync(bed.repoPath(1), "");
    const [name = ""] = await writeSegments(bed, 1);
    await bed.archiveAll();
    rmSync(bed.repoPath(1));
    renameSync(`${bed.repoPath(1)}.away`, bed.repoPath(1));
    const stored = findStoredSegment(bed, 2, name) ?? "";
    const forged = readFileSync(stored).fill("x", 100_000, 100_100);
    rmSync(stored);
    writeFileSync(join(dirname(stored), `${name}-${sha1Hex(forged)}`), forged);

    const healed = await bed.ours(["heal"]);
    expect(healed.exitCode).toBe(104);
    expect(healed.stdout + healed.stderr).toContain(
      `${name}: its contents differ: repo2 ${sha1Hex(forged).slice(0, 12)}`,
    );
    const own = `${name}-${sha1Hex(readFileSync(bed.walFile(name)))}`;
    expect(basename(findStoredSegment(bed, 1, name) ?? "")).toBe(own);
    await bed.oursOk(["heal", `--segment=${name}`]);
    expect(basename(findStoredSegment(bed, 2, name) ?? "")).toBe(own);
    await bed.oursOk(["heal"]);
    expect((await bed.oursOk(["verify", "--output=text"])).stdout.match(/^status: ok$/gm)).toHaveLength(2);
  });
});

/** Both repositories hold `names` with the same content and lack no WAL, and stock finds nothing wrong. */
async function expectEqual({ bed, server, stock }: Setting, names: readonly string[]): Promise<void> {
  const [first, second] = await walContents(bed, server);
  expect([...(first?.keys() ?? [])].filter((name) => names.includes(name))).toEqual([...names]);
  expect(second).toEqual(first);
  const info = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
  expect(info.repo.map((repo) => repo["wal-missing"] ?? 0)).toEqual([0, 0]);
  expect(info.status).toMatchObject({ code: 0 });
  for (const key of [1, 2]) {
    const verified = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
    expect(verified.stdout).toMatch(/^status: ok$/m);
    expect(verified.stdout).not.toMatch(/(missing|checksum invalid|size invalid|other): [1-9]/);
  }
  expect((await bed.oursOk(["verify", "--output=text"])).stdout.match(/^status: ok$/gm)).toHaveLength(2);
  expect(bed.findLeaks()).toEqual([]);
}

function report(title: string, delays: readonly number[]): void {
  const sorted = [...delays].sort((left, right) => left - right);
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2);
  process.stdout.write(
    `${title}: ${delays.length} segments in repo1 after ${at(0.5)} s (median), ${at(0.95)} s (95 %), ${at(1)} s (longest)\n`,
  );
  expect(Math.max(...delays)).toBeLessThan(DELAY_S_MAX);
}

/** Per repository: WAL file name → SHA-1 of its plain content. */
async function walContents(bed: TestBed, server: S3Server): Promise<Map<string, string>[]> {
  const text = readFileSync(join(bed.configPath, "conf.d", "secrets.conf"), "utf8");
  const pass = /^repo2-cipher-pass=(.*)$/m.exec(text)?.[1] ?? "";
  const configs: RepoConfig[] = [
    posixRepo(bed.repoPath(1)),
    { ...s3Repo(server), cipherType: "aes-256-cbc", cipherPass: new Secret(pass) },
  ];
  const ctx = { clock: systemClock, random: systemRandom, log: silentLog, signal: new AbortController().signal };
  const repos = openRepositories(bed.stanza, configs, 20_000, ctx);
  const contents: Map<string, string>[] = [];
  for (const repo of repos) {
    const { cipherPass } = await loadArchiveInfo(repo);
    const archiveId = `${bed.cluster.binaries.major}-1`;
    const sums: [string, string][] = [];
    for await (const stored of listWal(repo, archiveId)) {
      const hash = createHash("sha1");
      for await (const chunk of await openWal(repo, archiveId, stored, cipherPass ?? null)) hash.update(chunk);
      sums.push([stored.name, hash.digest("hex")]);
    }
    contents.push(new Map(sums.sort(([left], [right]) => (left < right ? -1 : 1))));
    await repo.storage.close();
  }
  return contents;
}
