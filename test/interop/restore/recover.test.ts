/**
 * `recover` on a real server: the four scenarios of a manual restore (latest, a time, the second repository, a named
 * set), row by row, with the old data kept. It refuses before it stops anything. A run is killed at each step, then
 * resumed or undone.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseLsn } from "../../../runtime/format/wal/walSegment";
import { AgentProcess, agentPaths } from "../../harness/real/agentProcess";
import { skipped } from "../../harness/real/interopParts";
import { dropTemplates } from "../../harness/real/sampleData";
import { pgCtl, TestBed } from "../../harness/real/testBed";
import { findPostgres } from "../../../tools/parts/postgres/postgres";
import { atNight } from "../../../tools/parts/nightly";
import { run, type RunResult, sleep, waitFor } from "../../../tools/parts/process";
import { isRoot } from "../../../tools/parts/users";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";

/** If this process is root, `recover` runs as root too, and does the work of PostgreSQL's account through setpriv. */
const AS_ROOT = isRoot() ? { user: { name: "root", uid: 0, gid: 0, group: "root" } } : {};

describe("recover", async () => {
  const result = await findPostgres(17);
  if ("missing" in result) return void skipped("recover", result.missing);
  const { binaries } = result;
  let bed: TestBed;
  let sql: TestCluster["sql"];
  let first = "";
  let goodTime = "";

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "lz4" }, { compressType: "lz4", encrypted: true }],
    });
    sql = bed.cluster.sql.bind(bed.cluster);
    // pg_ctl starts it as nobody's child. If the test's own server were stopped by another process, the harness would
    // miss it.
    await pgCtl(bed, ["start"]);
    await bed.oursOk(["stanza-create"]);
    await dropTemplates(bed);
    await sql(`CREATE TABLESPACE space LOCATION '${join(bed.folder, "tablespace")}'`);
    await sql("CREATE TABLE kept (id int PRIMARY KEY) TABLESPACE space");
    await sql("INSERT INTO kept SELECT generate_series(1, 1000)");
    first = labelOf(await bed.oursOk(["backup", "--type=full"]));
    await sql("INSERT INTO kept VALUES (2001)");
    await sleep(1100);
    goodTime = await bed.cluster.value("SELECT clock_timestamp()::text");
    await sleep(50);
    await sql("DELETE FROM kept WHERE id <= 500");
    await bed.oursOk(["backup", "--type=full"]);
    await sql("INSERT INTO kept VALUES (2002)");
  });
  afterAll(async () => {
    await pgCtl(bed, ["stop", "-m", "immediate"]).catch(() => undefined);
    await bed?.remove();
  });

  const state = async (): Promise<string> =>
    bed.cluster.value("SELECT count(*) || ' ' || coalesce(max(id), 0) FROM kept");
  const kept = (): string[] =>
    readdirSync(dirname(bed.cluster.dataPath)).filter((name) => name.startsWith(`${basename(bed.cluster.dataPath)}.`));

  // claim: docs/hosts/recover.md: `recover` refuses in its plan, before it stops anything; after a kill it continues or
  //   undoes; undo gives the old data a new timeline
  test("refuses unreachable targets, and unconfirmed plans, before anything is stopped", async () => {
    const pid = readFileSync(join(bed.cluster.dataPath, "postmaster.pid"), "utf8");
    const cases: [string[], number, RegExp][] = [
      [[], 37, /needs confirmation, but there is no terminal: nothing was changed[\s\S]*--yes confirms it/],
      [["--yes", "--type=time", "--target=2001-01-01 00:00:00+00"], 75, /no backup set found to restore/],
      [["--yes", "--type=time", "--target=2101-01-01 00:00:00+00"], 32, /is after the end of the WAL: now it is/],
      [["--yes", "--type=lsn", "--target=FF/0"], 32, /is after the end of the WAL: the server is at/],
      [["--yes", "--set=20200101-000000F"], 75, /backup set 20200101-000000F is not valid/],
      [["--undo", "--yes"], 55, /there is no recovery to undo/],
    ];
    for (const [args, code, text] of cases) {
      const { exitCode, stdout } = await bed.ours(["recover", ...args]);
      expect({ args, exitCode, stdout }).toMatchObject({ args, exitCode: code, stdout: expect.stringMatching(text) });
    }
    // At a terminal a person decides.
    const line = [bed.runtime.node, ...bed.oursCommand(["recover"])].map((arg) => `'${arg}'`).join(" ");
    const user = "user" in AS_ROOT ? AS_ROOT.user : bed.cluster.user;
    const asked = await run("script", ["-qec", line, "/dev/null"], { user, cwd: bed.folder, input: "no\n" });
    expect(asked.stdout).toMatch(/\[yes\/no\] [^]*Nothing was changed\./);
    expect(asked.exitCode, asked.stdout).toBe(0);
    expect(readFileSync(join(bed.cluster.dataPath, "postmaster.pid"), "utf8")).toBe(pid);
    expect(kept()).toEqual([]);
  });

  test("shows the plan and does nothing with --dry-run", async () => {
    const { stdout } = await bed.oursOk(["recover", "--dry-run", "--type=time", `--target=${goodTime}`]);
    expect(stdout).toContain(`backup   ${first} of`);
    expect(stdout).toMatch(/stop it: \S+pg_ctl stop/);
    expect(stdout).toMatch(/data\n {7}-> \S+\.before-recover-\d{8}-\d{6}\n/);
    expect(kept()).toEqual([]);
  });

  // claim: docs/hosts/recover.md: `recover`: to the end, to a time, from the second repository, a named set, row for
  //   row; the old data are kept
  test("the end of the WAL: no row is missing, and the old data are kept", async () => {
    const before = await bed.cluster.tableChecksums();
    await sql("INSERT INTO kept VALUES (2003)");
    const { stdout } = await bed.oursOk(["recover", "--yes"]);
    expect(stdout).toMatch(/is open, on timeline 2\./);
    expect(await state()).toBe("503 2003");
    expect((await bed.cluster.tableChecksums()).size).toBe(before.size);
    expect(kept().some((name) => name.includes(".before-recover-"))).toBe(true);
    expect(existsSync(join(bed.folder, "tablespace"))).toBe(true);
  });

  // claim: docs/hosts/recover.md: `recover`: to the end…
  test("a point in time, even if only discarded writes follow it", async () => {
    const { stdout } = await bed.oursOk(["recover", "--yes", "--type=time", `--target=${goodTime}`], AS_ROOT);
    expect(stdout).toMatch(/is open, on timeline 3\./);
    expect(await state()).toBe("1001 2001");
    await bed.archiveAll();
  });

  // claim: docs/hosts/recover.md: `recover` refuses in its…
  test("undo returns the old data, on a new timeline", async () => {
    const { stdout } = await bed.oursOk(["recover", "--undo", "--yes"], AS_ROOT);
    expect(stdout).toMatch(/is open with the old data, on timeline 4\./);
    expect(await state()).toBe("503 2003");
    await sql("INSERT INTO kept VALUES (2004)");
    await bed.archiveAll();
    await bed.oursOk(["check"]);
    expect(readFileSync(join(bed.cluster.dataPath, "postgresql.auto.conf"), "utf8")).not.toContain("a new timeline");
  });

  // claim: docs/hosts/recover.md: `recover`: to the end…
  test("from the second repository alone, without the first one, and from a named backup", async () => {
    const aside = `${bed.repoPath(1)}.away`;
    renameSync(bed.repoPath(1), aside);
    try {
      // Archiving fails while a repository is away. `recover` must not wait for the server's last WAL, which is in
      // pg_wal.
      const { exitCode, stdout } = await bed.ours([
        "recover",
        "--yes",
        "--repo=2",
        "--no-finish-wal",
        `--set=${first}`,
      ]);
      expect(stdout).toMatch(new RegExp(`from +repo2 [^]*backup +${first}[^]*is open, on timeline 5[.]`));
      expect({ exitCode, state: await state() }).toEqual({ exitCode: 104, state: "504 2004" });
      expect(stdout).toContain("! Not every repository gets WAL");
    } finally {
      renameSync(aside, bed.repoPath(1));
    }
    await bed.oursOk(["heal"]);
    await bed.oursOk(["check"]);
  });

  // claim: docs/hosts/recover.md: `recover` refuses in its…
  test.each([
    ["starting the server", 200, ["--undo", "--yes"]] as const,
    ...atNight(["restoring", 400, ["--yes"]] as const, ["renaming the old data", 0, ["--yes"]] as const),
  ])("killed while %s, the next run continues, or undoes", async (step, afterMs, next) => {
    await sql("INSERT INTO kept SELECT max(id) + 1 FROM kept");
    const before = await state();
    await killAt(bed, `recover: ${step}`, afterMs);
    const refused = await bed.ours(["recover"]);
    expect({ code: refused.exitCode, text: refused.stdout }).toEqual({
      code: 37,
      text: expect.stringMatching(/is not finished [^]*Its next step: [^]*nothing was changed/),
    });
    const { exitCode, stdout } = await bed.ours(["recover", ...next]);
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(" is open") });
    expect(await state()).toBe(before);
    expect(kept().filter((name) => name.includes(".before-recover-")).length).toBeGreaterThan(0);
  });

  // claim: docs/hosts/recover.md: WAL of the old data that was only streamed in part is replayed to its end
  test("a segment that was streamed in part is replayed as far as the old server wrote it", async () => {
    const paths = agentPaths();
    const configPath = bed.variant("stream", { settings: { stream: { intervalSeconds: 1 } } });
    const agent = await AgentProcess.start({ paths, runtime: bed.runtime, configPath, stanza: bed.stanza });
    try {
      const flushed = parseLsn(await bed.cluster.value("SELECT pg_current_wal_flush_lsn()"));
      await waitFor("streamed WAL", 60_000, async () => {
        const { stdout, stderr } = await agent.ask(bed.cluster.dataPath, ["status"]);
        const positions = [...`${stdout}${stderr}`.matchAll(/streamed=([0-9A-F/]+)/g)].map(([, lsn = ""]) =>
          parseLsn(lsn),
        );
        return positions.length === 2 && positions.every((lsn) => lsn >= flushed) ? true : null;
      });
      await agent.stop("SIGKILL");
      await sql("INSERT INTO kept VALUES (9000)");
      await pgCtl(bed, ["stop", "-m", "immediate"]);
      await bed.oursOk(["recover", "--yes"]);
      expect(await state()).toMatch(/ 9000$/);
    } finally {
      await agent.stop("SIGKILL");
      rmSync(paths.folder, { recursive: true, force: true });
    }
  });

  // claim: docs/hosts/recover.md: WAL that archive_command threw away is archived from pg_wal before the stop
  test("WAL that archive_command threw away, and pg_wal still has, is archived before the server is stopped", async () => {
    const command = await bed.cluster.value("SHOW archive_command");
    const reload = async (value: string): Promise<void> => {
      await bed.cluster.alterSystem({ archive_command: value });
      await expect.poll(() => bed.cluster.value("SHOW archive_command")).toBe(value);
    };
    await sql("INSERT INTO kept VALUES (9400)");
    await bed.archiveAll();
    await reload("/bin/true");
    for (const id of [9410, 9420]) {
      await sql(`INSERT INTO kept VALUES (${id})`);
      const name = await bed.cluster.switchWal();
      await expect.poll(() => existsSync(bed.walFile(`archive_status/${name}.done`)), { timeout: 30_000 }).toBe(true);
    }
    await reload(command);
    await sql("INSERT INTO kept VALUES (9430)");
    const refused = await bed.ours(["recover", "--yes", "--no-finish-wal"]);
    expect(refused).toMatchObject({
      exitCode: 75,
      stdout: expect.stringContaining("only pg_wal has WAL from segment"),
    });
    const { stdout } = await bed.oursOk(["recover", "--yes"]);
    expect(stdout).toMatch(/archive 2 segment\(s\) from [0-9A-F]{24} on, which only pg_wal has/);
    expect(await state()).toMatch(/ 9430$/);
    expect(
      await bed.cluster.value("SELECT string_agg(id::text, ' ' ORDER BY id) FROM kept WHERE id IN (9400, 9410, 9420)"),
    ).toBe("9400 9410 9420");
    await bed.oursOk(["recover", "--undo", "--yes"]);
    expect(await state()).toMatch(/ 9430$/);
  });

  // claim: docs/hosts/recover.md: a gap in the WAL refuses a recovery that would lose what lies behind it
  test("a gap of the WAL is not passed in silence: what lies behind it is lost only by --force, and kept for an undo", async () => {
    await sql("INSERT INTO kept VALUES (9500)");
    await bed.archiveAll();
    const lost = await bed.archiveAll();
    await sql("INSERT INTO kept VALUES (9600)");
    await bed.archiveAll();
    for (const folder of [bed.repoPath(1), bed.repoPath(2), join(bed.cluster.dataPath, "pg_wal")])
      for (const path of readdirSync(folder, { recursive: true, encoding: "utf8" }))
        if (basename(path).startsWith(lost)) rmSync(join(folder, path));
    const lack = `neither a repository nor pg_wal has WAL segment ${lost}, and there are later ones`;
    for (const more of [[], ["--type=time", `--target=${await bed.cluster.value("SELECT now()::text")}`]]) {
      const { exitCode, stdout } = await bed.ours(["recover", "--yes", ...more]);
      expect({ exitCode, stdout }).toEqual({ exitCode: 75, stdout: expect.stringContaining(lack) });
    }
    expect(await state()).toMatch(/ 9600$/);
    const { stdout } = await bed.oursOk(["recover", "--yes", "--force"]);
    expect(stdout).toContain(lack);
    expect(await state()).toMatch(/ 9500$/);
    await bed.oursOk(["recover", "--undo", "--yes"]);
    expect(await state()).toMatch(/ 9600$/);
  });
});

/** Runs `recover --yes`, and kills it and all its children after it prints `text`. */
async function killAt(bed: TestBed, text: string, afterMs: number): Promise<void> {
  const { uid, gid } = bed.cluster.user;
  const account = process.getuid?.() === 0 ? { uid, gid } : {};
  const child = spawn(bed.runtime.node, bed.oursCommand(["recover", "--yes"]), {
    ...account,
    cwd: bed.folder,
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise<void>((resolve, reject) => {
    let printed = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      printed += part;
      if (printed.includes(text)) resolve();
    });
    child.on("close", () => reject(new Error(`it ended before it said '${text}'\n${printed}`)));
  });
  await sleep(afterMs);
  process.kill(-(child.pid ?? 0), "SIGKILL");
  await sleep(300);
}

function labelOf(result: RunResult): string {
  return /new backup label = (\S+)/.exec(result.stdout)?.[1] ?? "";
}
