/**
 * `recover --instant` on a real server behind a real FUSE: production answers and takes writes while everything is
 * fetched, and moves to its plain directory. It is killed at each step, loses the process that serves its files, its
 * mount, its repositories and its space; no acknowledged commit may be missing afterwards.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findMount } from "../../../runtime/operations/open/openLocation";
import { findMountingPostgres } from "../../harness/real/openedBackup";
import { dropTemplates } from "../../harness/real/sampleData";
import { pgCtl, TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";
import { type RunResult, run, sleep, waitFor } from "../../../tools/parts/process";

const AS_ROOT = { user: { name: "root", uid: 0, gid: 0, group: "root" } };
const ORDERS = "postgres.public.orders";
const OPEN = "Everything else is fetched behind it";
/** Never comes while a test runs. */
const NEVER = new Date(Date.now() + 12 * 3_600_000).toTimeString().slice(0, 5);

describe("recover --instant", async () => {
  const binaries = await findMountingPostgres("recover --instant");
  if (binaries === null) return;
  let bed: TestBed;
  let writer: Writer;

  const dataPath = (): string => bed.cluster.dataPath;
  const pages = (): string => `${dataPath()}.pgbackstop`;
  const recover = (args: readonly string[]): Promise<RunResult> => bed.ours(["recover", "--yes", ...args], AS_ROOT);
  /** Continues; a recovery that was over before the kill is followed by another. */
  const finish = async (args: readonly string[] = ["--instant", "--move-at=now"]): Promise<string> => {
    const { exitCode, stdout } = await recover(args);
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(" is open") });
    return stdout;
  };
  /** Every acknowledged row is there, and nothing is mounted. */
  const expectPlain = async (): Promise<void> => {
    expect(await writer.lost()).toEqual([]);
    expect([findMount(dataPath()), existsSync(pages())]).toEqual([null, false]);
    expect(statSync(dataPath()).uid).toBe(bed.cluster.user.uid);
    const settings = readFileSync(join(dataPath(), "postgresql.auto.conf"), "utf8");
    expect(settings).not.toMatch(/recovery_prefetch|recovery_init_sync_method|^fsync/m);
    expect(await bed.cluster.value("SHOW archive_mode")).toBe("on");
  };

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [
        { compressType: "zst", options: { bundle: "y", block: "y" } },
        { compressType: "lz4", encrypted: true },
      ],
    });
    await pgCtl(bed, ["start"]);
    await bed.oursOk(["stanza-create"]);
    await dropTemplates(bed);
    const { cluster } = bed;
    await cluster.sql("CREATE TABLE acknowledged (id bigint PRIMARY KEY)");
    await cluster.sql("CREATE TABLE orders AS SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 60000) i");
    await bed.oursOk(["backup", "--type=full"]);
    await cluster.sql("UPDATE orders SET repeat = 'u' WHERE i % 7 = 0");
    writer = new Writer(() => cluster.connect());
  }, 600_000);
  afterAll(async () => {
    await writer?.stop();
    await pgCtl(bed, ["stop", "-m", "immediate"]).catch(() => undefined);
    for (let mounts = 0; mounts < 3 && findMount(dataPath()) !== null; mounts++)
      await run("umount", ["-l", dataPath()]);
    await run("umount", ["-l", dirname(dataPath())]);
    await bed?.remove();
  });

  // claim: docs/hosts/instant.md: what it does not support is refused before anything is stopped
  test("refuses what it cannot do before anything is stopped, and names the way out", async () => {
    const pid = readFileSync(join(dataPath(), "postmaster.pid"), "utf8");
    const asOther = await bed.ours(["recover", "--yes", "--instant"]);
    expect(asOther.stdout).toMatch(/--instant needs root[^]*without --instant/);
    const withoutIt = await recover(["--move-at=02:00"]);
    expect(withoutIt.stdout).toContain("--move-at only with --instant");
    const never = await recover(["--instant", "--move-at=25:00"]);
    expect(never.stdout).toContain("'25:00' is not valid");
    expect(readFileSync(join(dataPath(), "postmaster.pid"), "utf8")).toBe(pid);
    const names = readdirSync(dirname(dataPath())).filter((name) => name.startsWith(`${basename(dataPath())}.`));
    expect(names.some((name) => name.endsWith(".pgbackstop"))).toBe(false);
  });

  // claim: docs/hosts/instant.md: production takes writes while everything is fetched, moves to its plain directory,
  //   and has every acknowledged row; its new timeline is restorable
  test("production takes writes from the first second, moves to its own files, and its new timeline is restorable", async () => {
    const before = await bed.cluster.tableChecksums();
    writer.begin();
    const { exitCode, stdout } = await recover(["--instant"]);
    await writer.stop();
    process.stderr.write(`recover --instant: no commit for ${writer.pausesMs.join(" and ")} ms\n`);
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(OPEN) });
    await expectPlain();
    const after = await bed.cluster.tableChecksums();
    expect(after.get(ORDERS)).toEqual(before.get(ORDERS) ?? "a table");
    await bed.archiveAll();
    expect(await bed.restoreAndCompare({ by: null, repo: 2 })).toEqual([]);
    await bed.oursOk(["backup", "--type=full"]);
    expect(await bed.restoreAndCompare({ by: null, repo: 1 })).toEqual([]);
  }, 600_000);

  test.runIf(NIGHTLY)(
    "it waits for its time with a server that works, and status shows it",
    async () => {
      const recovering = await startRecover(bed, ["--instant", `--move-at=${NEVER}`]);
      await recovering.until(OPEN);
      writer.begin();
      expect(findMount(dataPath())).not.toBeNull();
      const text = await waitFor("everything", 120_000, async () => {
        const { stdout } = await bed.ours(["status"]);
        return stdout.includes("everything is here") ? stdout : null;
      });
      expect(text).toMatch(/^ {2}open +\S+ of repo1 in \S+\/data: production runs on it; everything is here/m);
      const refused = await recover([]);
      expect(refused.stdout).toContain("another recover works on");
      await recovering.kill();
      await finish();
      await writer.stop();
      await expectPlain();
    },
    600_000,
  );

  // claim: docs/hosts/instant.md: killed at any step, the next run continues or undoes, and no acknowledged row is
  //   missing
  test.each(
    atNight<readonly [string, number, string]>(
      ["moving the files into place", 800, "undo"],
      ["starting the server", 0, "continue"],
      ["renaming the old data", 0, "continue"],
      ["restoring", 300, "continue"],
      ["restoring", 900, "undo"],
      ["fetching the rest behind the server", 200, "continue"],
      ["starting the server on its own files", 0, "continue"],
      ["moving the files into place", 400, "continue"],
      ["moving the files into place", 0, "continue"],
      ["starting the server", 700, "undo"],
    ),
  )(
    "killed while %s, %i ms later: %s",
    async (step, afterMs, next) => {
      const before = await bed.cluster.value("SELECT count(*) || ' ' || sum(i) FROM orders");
      const recovering = await startRecover(bed, ["--instant"]);
      await recovering.until(`recover: ${step}`);
      await sleep(afterMs);
      await recovering.kill();
      await finish(next === "undo" ? ["--undo"] : undefined);
      expect(await bed.cluster.value("SELECT count(*) || ' ' || sum(i) FROM orders")).toBe(before);
      await writer.write(20);
      await expectPlain();
      await bed.oursOk(["check"]);
    },
    600_000,
  );

  // claim: docs/hosts/instant.md: a server that loses its files stops instead of carrying on, and has every
  //   acknowledged row when recover has mounted them again
  test.runIf(NIGHTLY)(
    "a killed serving process costs no acknowledged row",
    async () => {
      const recovering = await startRecover(bed, ["--instant", `--move-at=${NEVER}`]);
      await recovering.until(OPEN);
      writer.begin();
      await sleep(500);
      process.kill(servingPid(pages()), "SIGKILL");
      await recovering.ended;
      expect(recovering.printed()).toContain("Run recover again");
      const count = writer.count;
      await sleep(1000);
      // No commit is acknowledged that has nowhere to go.
      expect(writer.count).toBe(count);
      await finish();
      await writer.stop();
      await expectPlain();
    },
    600_000,
  );

  // claim: docs/hosts/instant.md: after a restart of the machine no server starts on the empty mount point
  test("without its mount no server starts in its place, and the next run has every acknowledged row", async () => {
    const recovering = await startRecover(bed, ["--instant", `--move-at=${NEVER}`]);
    await recovering.until(OPEN);
    await writer.write(200);
    await recovering.kill();
    const postmaster = Number(readFileSync(join(dataPath(), "postmaster.pid"), "utf8").split("\n")[0]);
    process.kill(servingPid(pages()), "SIGKILL");
    process.kill(postmaster, "SIGQUIT");
    await waitFor("the mount to go", 30_000, async () => {
      await run("umount", [dataPath()]);
      return findMount(dataPath()) === null ? true : null;
    });
    await expect(pgCtl(bed, ["start", "-t", "5"])).rejects.toThrow(/Permission denied|could not/);
    expect(readdirSync(dataPath())).toEqual([]);
    expect(statSync(dataPath()).mode & 0o777).toBe(0);
    await finish();
    await expectPlain();
  }, 600_000);

  // claim: docs/hosts/instant.md: a repository that goes away pauses the fetching, and production goes on
  test.runIf(NIGHTLY)(
    "while its repository is away production takes writes, and status says why nothing comes",
    async () => {
      const { stdout: plan } = await bed.ours(["recover", "--dry-run", "--instant"], AS_ROOT);
      const [, key = "1"] = /from +repo(\d)/.exec(plan) ?? [];
      const aside = `${bed.repoPath(Number(key))}.away`;
      const recovering = await startRecover(bed, ["--instant", `--repo=${key}`]);
      await recovering.until("recover: starting the server");
      await waitFor("the server", 60_000, () => writer.write(1).catch(() => null));
      renameSync(bed.repoPath(Number(key)), aside);
      try {
        await writer.write(100);
      } finally {
        // A push that had begun makes its directories, and does not count.
        rmSync(bed.repoPath(Number(key)), { recursive: true, force: true });
        renameSync(aside, bed.repoPath(Number(key)));
      }
      await recovering.ended;
      await expectPlain();
      await bed.oursOk(["heal"]);
    },
    600_000,
  );

  // claim: docs/hosts/instant.md: a full disk costs no acknowledged row
  test.runIf(NIGHTLY)(
    "a full disk costs no acknowledged row",
    async () => {
      const folder = dirname(dataPath());
      await pgCtl(bed, ["stop"]);
      for (const name of readdirSync(folder))
        if (/\.(before-recover|recovered)-/.test(name)) await run("rm", ["-rf", join(folder, name)]);
      const usedKib = Number((await run("du", ["-sk", folder])).stdout.split("\t")[0]);
      await run("cp", ["-a", folder, `${folder}.disk`]);
      const { gid, uid } = bed.cluster.user;
      const size = `size=${2 * usedKib + 256 * 1024}k`;
      await run("mount", ["-t", "tmpfs", "-o", `${size},mode=700,uid=${uid},gid=${gid}`, "pgbackstop-test", folder]);
      await run("cp", ["-a", `${folder}.disk/.`, folder]);
      await pgCtl(bed, ["start"]);
      const recovering = await startRecover(bed, ["--instant", `--move-at=${NEVER}`]);
      await recovering.until(OPEN);
      await run("dd", ["if=/dev/zero", `of=${join(folder, "filler")}`, "bs=1M"]);
      writer.begin();
      const client = await bed.cluster.connect().catch(() => null);
      await client
        ?.query("CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
        .catch(() => {});
      await client?.end().catch(() => {});
      await sleep(1000);
      rmSync(join(folder, "filler"));
      await recovering.kill();
      await finish();
      await writer.stop();
      await expectPlain();
      await pgCtl(bed, ["stop"]);
      await run("umount", [folder]);
    },
    600_000,
  );
});

/** Inserts rows one by one, and knows which were acknowledged. */
class Writer {
  readonly #connect: () => Promise<Client>;
  readonly #acknowledged: number[] = [];
  /** The two longest times without an acknowledged row. */
  pausesMs: number[] = [0, 0];
  #lastAtMs = 0;
  #next = 1;
  #isStopped = false;
  #working: Promise<void> = Promise.resolve();

  constructor(connect: () => Promise<Client>) {
    this.#connect = connect;
  }

  get count(): number {
    return this.#acknowledged.length;
  }

  begin(): void {
    this.#isStopped = false;
    this.#working = this.#work();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#working;
  }

  async write(count: number): Promise<true> {
    const client = await this.#connect();
    try {
      for (let left = count; left > 0; left--) await this.#insert(client);
    } finally {
      await client.end().catch(() => {});
    }
    return true;
  }

  /** Acknowledged rows that are not there. */
  async lost(): Promise<number[]> {
    const client = await this.#connect();
    const { rows } = await client.query<{ id: string }>("SELECT id FROM acknowledged");
    await client.end();
    const there = new Set(rows.map(({ id }) => Number(id)));
    return this.#acknowledged.filter((id) => !there.has(id));
  }

  async #insert(client: Client): Promise<void> {
    const id = this.#next++;
    await client.query("INSERT INTO acknowledged VALUES ($1)", [id]);
    this.#acknowledged.push(id);
    const nowMs = Math.round(performance.now());
    if (this.#lastAtMs > 0)
      this.pausesMs = [...this.pausesMs, nowMs - this.#lastAtMs].sort((left, right) => right - left).slice(0, 2);
    this.#lastAtMs = nowMs;
  }

  async #work(): Promise<void> {
    while (!this.#isStopped) {
      try {
        await this.write(10);
      } catch {
        // The server is down, or still in recovery.
        await sleep(20);
      }
    }
  }
}

interface Recovering {
  readonly ended: Promise<void>;
  printed(): string;
  until(text: string): Promise<void>;
  /** With the programs that it has started, but not what serves the files. */
  kill(): Promise<void>;
}

async function startRecover(bed: TestBed, args: readonly string[]): Promise<Recovering> {
  const child = spawn(bed.runtime.node, bed.oursCommand(["recover", "--yes", ...args]), {
    cwd: bed.folder,
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let printed = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    printed += part;
  });
  let isOver = false;
  const ended = new Promise<void>((resolve) => {
    child.on("close", () => {
      isOver = true;
      resolve();
    });
  });
  return {
    ended,
    printed: () => printed,
    until: (text) =>
      waitFor(text, 180_000, async () => {
        if (printed.includes(text)) return true;
        if (isOver) throw new Error(`it ended before it said '${text}'\n${printed}`);
        return null;
      }).then(() => undefined),
    kill: async () => {
      try {
        process.kill(-(child.pid ?? 0), "SIGKILL");
      } catch {
        // It has ended.
      }
      await ended;
      await sleep(300);
    },
  };
}

function servingPid(pages: string): number {
  const state = JSON.parse(readFileSync(join(pages, "open.json"), "utf8")) as { server: { pid: number } };
  return state.server.pid;
}
