/**
 * Hosts that do not know each other use the same three repositories (a directory, a bucket, an SFTP server). They back
 * up from the primary and from a standby, expire, and copy between repositories. The test kills and pauses their
 * processes and cuts connections.
 *
 * In the end stock verifies and restores every backup that the repositories list. The nightly form takes ten minutes
 * (`PGBACKSTOP_MINUTES` changes it) and pauses processes for minutes, longer than a lease lasts.
 * `PGBACKSTOP_SEED=<number>` repeats the choices of a run, but not their timing.
 */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sleep, start, waitFor } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { findSshd, SftpServer } from "../../../tools/parts/servers/sftpServer";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { seededRandom } from "../../harness/context";
import { Cable } from "../../harness/network/cable";
import { labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { findParts, s3Kind, skipped } from "../../harness/real/interopParts";
import { dropTemplates } from "../../harness/real/sampleData";
import { requireOk, TestBed } from "../../harness/real/testBed";
import { NIGHTLY } from "../../../tools/parts/nightly";

const RUN_MS = NIGHTLY ? Number(process.env["PGBACKSTOP_MINUTES"] ?? 10) * 60_000 : 25_000;
/** Longest pause of a process. In the long form it outlasts a lease. */
const STOP_MS_MAX = NIGHTLY ? 240_000 : 4000;
const CUT_MS_MAX = NIGHTLY ? 20_000 : 2000;
/**
 * PostgreSQL starts a process to archive each segment. With more WAL a busy machine falls behind, and backups wait for
 * their segments.
 */
const WRITE_PAUSE_MS = NIGHTLY ? 3000 : 1000;
const KEYS = [1, 2, 3] as const;
/**
 * Ours: success; lease or lock busy; only some repositories; no repository. The other codes come from cut connections
 * and late WAL.
 */
const EXIT_CODES_FINE = new Set([0, 41, 42, 49, 50, 55, 64, 75, 82, 101, 103, 104]);
const KILLED = 137;

interface Host {
  readonly name: string;
  /** Path of its configuration file. */
  readonly config: string;
  /** Arguments of its next command. */
  readonly choose: (random: (below: number) => number) => readonly string[];
}

describe("many writers", async () => {
  const title = "many writers of the same repositories";
  const parts = await findParts(title, 18, "2.60");
  const sshd = await findSshd();
  if ("missing" in sshd) return void skipped(title, sshd.missing);
  if (parts === null) return;
  const { stock, binaries } = parts;
  const seed = Number(process.env["PGBACKSTOP_SEED"] ?? Date.now() % 1_000_000);
  const bytes = seededRandom(seed);
  const random = (below: number): number =>
    Math.floor((((bytes.bytes(1)[0] ?? 0) * 256 + (bytes.bytes(1)[0] ?? 0)) / 65_536) * below);
  const tally = new Map<string, number>();
  const count = (what: string): void => void tally.set(what, (tally.get(what) ?? 0) + 1);
  const strange: string[] = [];

  let s3: S3Server;
  let sftp: SftpServer;
  let cables: Cable[];
  let bed: TestBed;
  let standby: TestCluster;
  let hosts: readonly Host[];

  beforeAll(async () => {
    s3 = await S3Server.create({ kind: await s3Kind() });
    sftp = await SftpServer.create();
    cables = [await Cable.to(s3.port), await Cable.to(sftp.port)];
    const [toS3, toSftp] = cables;
    bed = await TestBed.create({
      binaries,
      repos: [
        { compressType: "gz" },
        { s3, encrypted: true, compressType: "zst", options: { bundle: "y", "storage-port": String(toS3?.port) } },
        { sftp, compressType: "lz4", options: { bundle: "y", block: "y", "sftp-host-port": String(toSftp?.port) } },
      ],
      acknowledge: "any",
      settings: { wal_keep_size: "256MB", archive_timeout: "2s" },
      walSegmentSizeMb: 1,
      global: {
        "io-timeout": "5",
        "archive-timeout": "20",
        ...Object.fromEntries(KEYS.map((key) => [`repo${key}-retention-full`, "2"])),
      },
    });
    await bed.startWithStanza();
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE readings (id bigserial PRIMARY KEY, body text)");
    await bed.cluster.sql("INSERT INTO readings (body) SELECT md5(g::text) FROM generate_series(1, 20000) g");
    standby = await bed.cluster.createStandby();
    await bed.oursOk(["backup", "--type=full"]);
    hosts = [
      { name: "primary", config: hostOf("primary", bed.cluster), choose: backups },
      { name: "standby", config: hostOf("standby", standby, { "backup-standby": "y" }), choose: backups },
      { name: "expiry", config: hostOf("expiry", bed.cluster), choose: () => ["expire"] },
      { name: "copies", config: hostOf("copies", bed.cluster), choose: copies },
    ];
  }, 300_000);
  afterAll(async () => {
    await standby?.remove();
    await bed?.remove();
    for (const cable of cables ?? []) await cable.close();
    await sftp?.remove();
    await s3?.remove();
  });

  /** Separate locks, spool and log make the host another machine as far as the runtime can tell. */
  function hostOf(name: string, cluster: TestCluster, more: Readonly<Record<string, string>> = {}): string {
    const folders = Object.fromEntries(
      ["lock", "spool", "log"].map((kind) => [`${kind}-path`, join(bed.folder, kind, name)]),
    );
    const stanza = {
      "pg1-path": cluster.dataPath,
      "pg1-socket-path": cluster.socketPath,
      "pg1-port": String(cluster.port),
      "pg1-user": cluster.superuser,
    };
    return bed.variant(name, { stanza, global: { ...folders, ...more } });
  }

  function backups(below: typeof random): readonly string[] {
    const repo = below(4);
    return [
      "backup",
      `--type=${["full", "incr", "diff", "incr"][below(4)]}`,
      ...(repo === 0 ? [] : [`--repo=${repo}`]),
    ];
  }

  function copies(below: typeof random): readonly string[] {
    const from = KEYS[below(3)] ?? 1;
    const to = KEYS[(KEYS.indexOf(from) + 1 + below(2)) % 3] ?? 2;
    return ["sync", `--from-repo=${from}`, `--to-repo=${to}`];
  }

  /** Runs one command of a host, disturbed or undisturbed. */
  async function act(host: Host, untilMs: number): Promise<void> {
    const args = host.choose(random);
    const logFile = join(bed.folder, "log", `started-${host.name}.log`);
    const started = await start(bed.runtime.node, bed.oursCommand(args, host.config), {
      user: bed.cluster.user,
      cwd: bed.folder,
      logFile,
    });
    const from = started.log().length;
    const isOver = (): boolean => performance.now() > untilMs;
    const fate = random(6);
    await Promise.race([sleep(200 + random(NIGHTLY ? 10_000 : 2500)), started.exited]);
    if (fate === 0 && started.isRunning()) {
      count("kill");
      await started.stop("SIGKILL");
    } else if (fate === 1 && started.isRunning()) {
      count("stop");
      process.kill(started.pid, "SIGSTOP");
      await sleep(isOver() ? 0 : 500 + random(STOP_MS_MAX));
      // It may have ended just before the signal to stop.
      if (started.isRunning()) process.kill(started.pid, "SIGCONT");
    }
    const code = await started.exited;
    const verb = args[0] ?? "";
    count(`${verb} ${code}`);
    if (code !== KILLED && !EXIT_CODES_FINE.has(code))
      strange.push(`${host.name}: ${args.join(" ")} ended with ${code}\n${started.log().slice(from)}`);
    await sleep(random(500));
  }

  async function disturb(untilMs: number): Promise<void> {
    while (performance.now() < untilMs) {
      await sleep(2000 + random(NIGHTLY ? 30_000 : 6000));
      const cable = cables[random(cables.length)];
      count("cut");
      cable?.cut();
      await sleep(200 + random(CUT_MS_MAX));
      cable?.mend();
    }
  }

  async function write(untilMs: number): Promise<void> {
    while (performance.now() < untilMs) {
      await bed.cluster.sql(
        "INSERT INTO readings (body) SELECT md5(nextval('readings_id_seq')::text) FROM generate_series(1, 200)",
      );
      await bed.cluster.sql("UPDATE readings SET body = body || '' WHERE id % 97 = 0");
      await sleep(WRITE_PAUSE_MS);
    }
  }

  // claim: README.md, docs/internals/concurrency.md: hosts that know nothing of each other leave only backups that
  //   verify and restore, whatever is killed, stopped or disconnected
  test(
    "leave repositories whose every backup verifies and restores",
    async () => {
      process.stdout.write(`many writers: seed ${seed}, ${RUN_MS / 1000} s\n`);
      const untilMs = performance.now() + RUN_MS;
      const work = hosts.map(async (host) => {
        while (performance.now() < untilMs) await act(host, untilMs);
        // A killed process's own host takes over at once. The others would wait for two minutes.
        if (!NIGHTLY) await bed.ours(["expire"], { config: host.config });
      });
      await Promise.all([...work, disturb(untilMs), write(untilMs)]);
      process.stdout.write(
        `many writers: ${[...tally]
          .sort(([left], [right]) => (left < right ? -1 : 1))
          .map(([what, times]) => `${what}: ${times}`)
          .join(", ")}\n`,
      );
      expect(strange).toEqual([]);

      // All hosts have stopped. The next backup takes over from killed processes, and heal copies missing WAL.
      if (NIGHTLY) await bed.archiveAll(20 * 60_000);
      await settle("primary", ["backup", "--type=full"]);
      await waitFor(
        "missing WAL copied",
        120_000,
        async () => ((await bed.ours(["heal"], { config: configOf("primary") })).exitCode === 0 ? true : null),
        1000,
      );
      await settle("primary", ["expire"]);
      await bed.archiveAll();
      for (const key of KEYS) {
        const verified = await bed.stock(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"], {
          config: configOf("primary"),
        });
        expect(verified.stdout).toMatch(/^status: ok$/m);
      }
      await expectAllRestorable();
    },
    RUN_MS + 20 * 60_000,
  );

  function configOf(name: string): string {
    return hosts.find((host) => host.name === name)?.config ?? bed.configPath;
  }

  async function settle(name: string, args: readonly string[]): Promise<void> {
    const config = configOf(name);
    await waitFor(`${args.join(" ")} of ${name}`, 400_000, async () => {
      const { exitCode } = await bed.ours(args, { config });
      return exitCode === 0 ? true : null;
    });
  }

  /** Restores each listed backup to its consistency point, with stock and ours alternately, and reads every row. */
  async function expectAllRestorable(): Promise<void> {
    const info = parseInfo(
      (await bed.stockOk(stock, ["info", "--output=json"], { config: configOf("primary") })).stdout,
    );
    const listed = labelsOf(info);
    process.stdout.write(`many writers: restoring ${listed.length} backups\n`);
    expect(new Set(listed.map((entry) => entry.repo))).toEqual(new Set(KEYS));
    for (const [index, { repo, label }] of listed.entries()) {
      const by = index % 2 === 0 ? stock : null;
      const { result, dataPath } = await bed.restoreAside({
        by,
        repo,
        args: [`--set=${label}`, "--type=immediate", "--target-action=promote"],
        config: configOf("primary"),
      });
      requireOk(`restore of ${label} from repo${repo}`, result);
      await expectReadable(dataPath, `repo${repo} ${label}`);
    }
  }

  async function expectReadable(dataPath: string, what: string): Promise<void> {
    const restored = TestCluster.adopt({ binaries, dataPath });
    try {
      await restored.start({}, { timeoutMs: 120_000 });
      await restored.waitForRecovery();
      const wrong = await restored.value("SELECT count(*) FROM readings WHERE length(body) <> 32");
      const rows = await restored.value("SELECT count(*) >= 20000 FROM readings");
      expect(`${what}: ${wrong} wrong, all there: ${rows}`).toBe(`${what}: 0 wrong, all there: true`);
    } finally {
      await restored.remove();
    }
  }
});
