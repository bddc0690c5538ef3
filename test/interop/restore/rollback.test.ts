/**
 * `rollback` on a real server returns to a file system snapshot of a running server, on a new timeline, and archiving
 * continues. A double replaces `zfs` (test/harness/doubles/zfsDouble.mjs). Its snapshots are copies taken while the
 * server is down, as after a crash.
 */
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { skipped } from "../../harness/real/interopParts";
import { dropTemplates } from "../../harness/real/sampleData";
import { requireOk, TestBed } from "../../harness/real/testBed";
import { findPostgres } from "../../../tools/parts/postgres/postgres";
import { run, type RunResult } from "../../../tools/parts/process";
import { giveTo } from "../../../tools/parts/users";
import { NIGHTLY } from "../../../tools/parts/nightly";

describe("rollback", async () => {
  const result = await findPostgres(15);
  if ("missing" in result) return void skipped("rollback", result.missing);
  const { binaries } = result;
  let bed: TestBed;
  let zfs: Zfs;

  beforeAll(async () => {
    bed = await TestBed.create({ binaries, repos: [{ compressType: "lz4" }, { compressType: "lz4" }] });
    zfs = new Zfs(bed);
    await pgCtl(bed, "start");
    await bed.oursOk(["stanza-create"]);
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE kept (id int PRIMARY KEY)");
    await bed.oursOk(["backup", "--type=full"]);
    await bed.cluster.sql("INSERT INTO kept SELECT generate_series(1, 100)");
    await pgCtl(bed, "stop", "immediate");
    await zfs.run(["snapshot", "tank/pg@before"]);
    await pgCtl(bed, "start");
    // Archived on the snapshot's timeline. After a rollback, the next segments of that timeline would have other
    // content.
    await bed.cluster.sql("DELETE FROM kept");
    await bed.archiveAll();
    await bed.cluster.sql("INSERT INTO kept VALUES (-1)");
    await bed.archiveAll();
    await pgCtl(bed, "stop", "immediate");
    await zfs.run(["snapshot", "tank/pg@newer"]);
    await pgCtl(bed, "start");
  });
  afterAll(async () => {
    await pgCtl(bed, "stop", "immediate").catch(() => undefined);
    await bed?.remove();
  });

  const rollback = (...args: string[]): Promise<RunResult> =>
    bed.ours(["rollback", ...args], { env: { PATH: `${zfs.bin}:${process.env["PATH"] ?? ""}` } });

  test("shows the fate of newer snapshots, and refuses impossible requests, with the server running", async () => {
    const pid = readFileSync(join(bed.cluster.dataPath, "postmaster.pid"), "utf8");
    const cases: [string[], number, RegExp][] = [
      [
        ["--snapshot=tank/pg@before"],
        37,
        /1 snapshot\(s\), which stay with the old data\n +tank\/pg@newer[^]*nothing was changed/,
      ],
      [["--snapshot=tank/pg@before", "--dry-run"], 0, /zfs promote tank\/pg/],
      [
        ["--snapshot=tank/pg@never", "--yes"],
        32,
        /there is no snapshot 'tank\/pg@never'[^]*tank\/pg@before, tank\/pg@newer/,
      ],
      [["--snapshot=tank/none@x", "--yes"], 102, /dataset does not exist/],
      [["--snapshot=tank/pg", "--yes"], 32, /is not the name of a snapshot/],
    ];
    for (const [args, code, text] of cases) {
      const { exitCode, stdout } = await rollback(...args);
      expect({ args, exitCode, stdout }).toMatchObject({ args, exitCode: code, stdout: expect.stringMatching(text) });
    }
    expect(readFileSync(join(bed.cluster.dataPath, "postmaster.pid"), "utf8")).toBe(pid);
  });

  // claim: docs/hosts/recover.md: `rollback` keeps every snapshot and the archive alive (ZFS is simulated by copies,
  //   PostgreSQL and the archive are real)
  test("goes back, on a new timeline, and continues to archive; nothing is destroyed", async () => {
    requireOk("rollback", await rollback("--snapshot=tank/pg@before", "--yes"));
    expect(await bed.cluster.value("SELECT count(*) || ' ' || min(id) FROM kept")).toBe("100 1");
    await bed.cluster.sql("INSERT INTO kept VALUES (1000)");
    expect(await bed.archiveAll()).toMatch(/^00000002/);
    await bed.oursOk(["check"]);
    const { datasets, snapshots } = zfs.state();
    const keptName = Object.keys(datasets).find((name) => name.includes(".before-rollback-")) ?? "";
    expect(snapshots.map(({ name }) => name.replace(keptName, "kept").replace(/-\d+-\d+$/, "-…"))).toEqual([
      "tank/pg@before",
      "kept@newer",
      "kept@pgbackstop-before-rollback-…",
    ]);
    // The key of an encrypted file system is the origin's.
    expect(datasets["tank/pg"]).toMatchObject({ local: { recordsize: "16K" } });
    expect(datasets["tank/pg"]).not.toHaveProperty("origin");
  });

  // claim: docs/hosts/recover.md: `rollback` keeps every snapshot…
  test.runIf(NIGHTLY)("a second one takes an unused timeline, and a restore follows it", async () => {
    requireOk("rollback", await rollback("--snapshot=tank/pg@before", "--yes"));
    await bed.cluster.sql("INSERT INTO kept VALUES (2000)");
    expect(await bed.archiveAll()).toMatch(/^00000003/);
    expect(await bed.restoreAndCompare({ by: null })).toEqual([]);
  });

  class Zfs {
    readonly bin: string;
    readonly #stateFile: string;

    /** Makes the data directory a separate file system. */
    constructor(own: TestBed) {
      const { dataPath, user } = own.cluster;
      this.bin = join(own.folder, "bin");
      this.#stateFile = join(own.folder, "zfs.json");
      const store = join(own.folder, "zfs");
      for (const path of [this.bin, store]) {
        mkdirSync(path);
        giveTo(path, user);
      }
      const program = join(this.bin, "zfsDouble.mjs");
      copyFileSync(join(__dirname, "../../harness/doubles/zfsDouble.mjs"), program);
      writeFileSync(join(this.bin, "zfs"), `#!/bin/sh\nexec ${own.runtime.node} ${program} ${this.#stateFile} "$@"\n`);
      chmodSync(join(this.bin, "zfs"), 0o755);
      const state = {
        store,
        datasets: { "tank/pg": { mountpoint: dataPath, local: { recordsize: "16K", keylocation: "prompt" } } },
        snapshots: [],
      };
      writeFileSync(this.#stateFile, JSON.stringify(state));
      giveTo(this.#stateFile, user);
    }

    async run(args: readonly string[]): Promise<void> {
      requireOk(
        `zfs ${args.join(" ")}`,
        await run(join(this.bin, "zfs"), [...args], { user: bed.cluster.user, cwd: bed.folder }),
      );
    }

    state(): { readonly datasets: Record<string, object>; readonly snapshots: { readonly name: string }[] } {
      return JSON.parse(readFileSync(this.#stateFile, "utf8"));
    }
  }
});

async function pgCtl(bed: TestBed, verb: "start" | "stop", mode = "fast"): Promise<RunResult> {
  const { cluster } = bed;
  const options = `-c unix_socket_directories=${cluster.socketPath} -c port=${cluster.port} -c listen_addresses=`;
  const more = verb === "start" ? ["-o", options, "-l", join(bed.folder, "server.log")] : ["-m", mode];
  const all = [verb, "-D", cluster.dataPath, "-w", ...more];
  return requireOk(
    `pg_ctl ${verb}`,
    await run(join(cluster.binaries.folder, "pg_ctl"), all, { user: cluster.user, cwd: bed.folder }),
  );
}
