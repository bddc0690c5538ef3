/**
 * `archive-async` on stock's spool. A host moves from stock to ours and back while PostgreSQL writes, WAL segments of
 * 64 MiB pass in bounded memory, and a full queue drops only WAL that no repository accepts.
 */
// claim: README.md: a host moves from stock's `archive-async` to ours and back
// claim: docs/agent.md: `archive-push` pushes ahead; both…
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StockPgbackrest } from "../../../tools/parts/debian/pgbackrest";
import { pidsWith, waitFor } from "../../../tools/parts/process";
import { giveTo } from "../../../tools/parts/users";
import { parseInfo } from "../../harness/compare/infoJson";
import { findParts } from "../../harness/real/interopParts";
import { writeSegments } from "../../harness/real/segments";
import { TestBed } from "../../harness/real/testBed";
import { NIGHTLY } from "../../../tools/parts/nightly";

describe("archive-async", async () => {
  const parts = await findParts("archive-async", 18, "2.60");
  if (parts === null) return;
  const { stock } = parts;
  let bed: TestBed;
  let command: { readonly ours: string; readonly stock: string };

  const failed = async (): Promise<number> =>
    Number(await bed.cluster.value("SELECT failed_count FROM pg_stat_archiver"));
  const archiveBy = async (program: "ours" | "stock"): Promise<void> =>
    bed.cluster.alterSystem({ archive_command: command[program] });

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "gz" }, { compressType: "gz", encrypted: true }],
      walSegmentSizeMb: 1,
      settings: { wal_keep_size: "256MB", max_wal_size: "512MB" },
      global: { "archive-async": "y", "archive-timeout": "30", "archive-get-queue-max": "8MiB" },
    });
    const args = (program: string): string =>
      `${program} --config-path=${bed.configPath} --stanza=${bed.stanza} archive-push %p # pgbackrest`;
    command = { ours: args(`${bed.runtime.node} ${bed.runtime.file}`), stock: args(stock.path) };
    await bed.startWithStanza();
    await bed.cluster.sql("CREATE TABLE t (id int, filler text)");
    await archiveBy("stock");
    await bed.stockOk(stock, ["--repo=1", "backup", "--type=full"]);
    await bed.stockOk(stock, ["--repo=2", "backup", "--type=full"]);
  }, 300_000);

  afterAll(() => bed.remove());

  test("stock and ours alternate under load: each repository has every segment once, and PostgreSQL sees no failure", async () => {
    const before = await failed();
    let stop = false;
    const names: string[] = [];
    const load = (async () => {
      while (!stop) names.push(...(await writeSegments(bed, 2)));
    })();
    for (const program of ["ours", "stock", "ours", "stock", "ours"] as const) {
      await archiveBy(program);
      const count = names.length;
      await waitFor("more segments", 120_000, async () => (names.length >= count + 6 ? true : null));
    }
    stop = true;
    await load;
    await bed.archiveAll();
    for (const key of [1, 2]) {
      const stored = storedSegments(bed, key);
      expect(names.filter((name) => !stored.includes(name))).toEqual([]);
      expect(stored.length).toBe(new Set(stored).size);
      const verified = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
      expect(verified.stdout).toMatch(/^status: ok$/m);
    }
    expect(await failed()).toBe(before);
  });

  test("ours continues stock's spool: it trusts an .ok, retries an .error, and reports a skipped file", async () => {
    const out = join(bed.folder, "spool", "archive", bed.stanza, "out");
    const put = (name: string, text: string): void => {
      writeFileSync(join(out, name), text);
      giveTo(join(out, name), bed.cluster.user);
    };
    // From here on only this test archives, and no earlier process is still at work.
    await bed.stopArchiving();
    await waitFor("the end of what archives in the background", 120_000, async () =>
      pidsWith(bed.folder, "archive-push").length === 0 ? true : null,
    );
    const [first = "", second = "", third = ""] = await writeSegments(bed, 3);
    put(`${first}.ok`, "");
    put(`${second}.error`, "25\nan old failure");
    put(`${third}.ok`, "55\nunable to open missing file");
    const push = (name: string, by: "ours" | StockPgbackrest) =>
      by === "ours"
        ? bed.ours(["archive-push", bed.walFile(name)])
        : bed.stock(by, ["archive-push", bed.walFile(name)]);
    expect(await push(first, "ours")).toMatchObject({ exitCode: 0 });
    expect(storedSegments(bed, 1)).not.toContain(first);
    const skipped = await push(third, "ours");
    expect(skipped.stdout).toContain(
      `WAL segment '${third}' was not pushed due to error [55] and was manually skipped: unable to open missing file`,
    );
    expect(await push(second, "ours")).toMatchObject({ exitCode: 0 });
    expect(storedSegments(bed, 1)).toContain(second);
    // Stock trusts the status file that ours wrote.
    expect(readdirSync(out)).toContain(`${second}.ok`);
    expect(await push(second, stock)).toMatchObject({ exitCode: 0 });
    for (const name of [first, third]) rmSync(join(out, `${name}.ok`));
    await archiveBy("ours");
    await bed.archiveAll();
    expect(storedSegments(bed, 2)).toEqual(expect.arrayContaining([first, second, third]));
  });

  test("archive-get prefetches into the queue, and asks every repository for segments that the queue marks as missing", async () => {
    const names = storedSegments(bed, 1).slice(-8);
    const location = join(bed.folder, "side", "got");
    mkdirSync(location);
    giveTo(location, bed.cluster.user);
    const inPath = join(bed.folder, "spool", "archive", bed.stanza, "in");
    const get = (name: string, by: "ours" | "stock" = "ours") => {
      const args = ["archive-get", name, join(location, name)];
      return by === "ours" ? bed.ours(args) : bed.stock(stock, args);
    };
    expect(await get(names[0] ?? "")).toMatchObject({ exitCode: 0 });
    await waitFor("segments ahead", 120_000, async () =>
      readdirSync(inPath).filter((name) => /^[0-9A-F]{24}$/.test(name)).length >= 3 ? true : null,
    );
    expect((await get(names[1] ?? "")).stdout).toContain("asynchronously");
    expect(await get(names[2] ?? "", "stock")).toMatchObject({ exitCode: 0 });
    expect(await get(names[3] ?? "")).toMatchObject({ exitCode: 0 });
    // Stock's marker for a missing segment, although the segment exists.
    rmSync(join(inPath, names[4] ?? ""), { force: true });
    writeFileSync(join(inPath, `${names[4]}.ok`), "");
    giveTo(join(inPath, `${names[4]}.ok`), bed.cluster.user);
    expect(await get(names[4] ?? "")).toMatchObject({ exitCode: 0 });
    expect(await get("00000001000000FF00000001")).toMatchObject({ exitCode: 1 });
    // With an unreadable repository, archive-get never answers "not found".
    const hidden = `${bed.repoPath(2)}.away`;
    renameSync(bed.repoPath(2), hidden);
    try {
      const config = bed.variant("short", { global: { "archive-timeout": "1" } });
      const doubt = await bed.ours(["archive-get", "00000001000000FF00000002", join(location, "x")], { config });
      expect(doubt.exitCode).not.toBe(1);
      expect(doubt.exitCode).not.toBe(0);
      expect(doubt.exitCode).toBeLessThanOrEqual(125);
    } finally {
      renameSync(hidden, bed.repoPath(2));
    }
  });

  // claim: docs/agent.md: `archive-push-queue-max` drops only segments that no repository accepts, recorded until a
  //   later backup begins
  test.runIf(NIGHTLY)(
    "archive-push-queue-max: nothing is lost while one repository accepts WAL, and other drops are recorded",
    async () => {
      const config = bed.variant("full", {
        global: { "archive-push-queue-max": "2MiB", "archive-async": "n", "archive-timeout": "5" },
      });
      await bed.stopArchiving();
      const names = await writeSegments(bed, 5);
      const push = (name = "") => bed.ours(["archive-push", bed.walFile(name)], { config });
      const hide = (key: number) => renameSync(bed.repoPath(key), `${bed.repoPath(key)}.away`);
      const back = (key: number) => renameSync(`${bed.repoPath(key)}.away`, bed.repoPath(key));
      hide(2);
      const half = await push(names[0]);
      expect(half).toMatchObject({
        exitCode: 0,
        stdout: expect.stringMatching(
          new RegExp(`acknowledged WAL file '${names[0]}' because [^\\n]*; repo2 lacks it`),
        ),
      });
      hide(1);
      const none = await push(names[4]);
      expect(none).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining(`dropped WAL file '${names[4]}' because archive queue exceeded 2MB`),
      });
      back(1);
      back(2);
      const info = parseInfo((await bed.ours(["info", "--output=json"])).stdout);
      expect(info.repo.map((repo) => repo["wal-missing"] ?? 0)).toEqual([0, 1]);
      expect(info.repo.map((repo) => repo["wal-dropped"] ?? 0)).toEqual([1, 1]);
      await archiveBy("ours");
      await bed.archiveAll();
      await bed.oursOk(["heal"]);
    },
  );
});

/** Names of the segments in a local repository, ascending. */
function storedSegments(bed: TestBed, key: number): string[] {
  const folder = join(bed.repoPath(key), "archive", bed.stanza, `${bed.cluster.binaries.major}-1`);
  return (readdirSync(folder, { recursive: true }) as string[])
    .map((path) => /^([0-9A-F]{24})-[0-9a-f]{40}(\.gz)?$/.exec(path.split("/").at(-1) ?? "")?.[1])
    .filter((name) => name !== undefined)
    .sort();
}
