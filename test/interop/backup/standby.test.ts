/**
 * Backups that copy from a standby while the primary is written to: with the primary available, and from the standby
 * alone, as beside a CloudNativePG instance. Stock and ours restore them with every committed row.
 */
// claim: README.md: a backup from a standby, beside its primary or alone
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findParts } from "../../harness/real/interopParts";
import { findStoredSegment } from "../../harness/real/segments";
import { dropTemplates } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";
import { sleep } from "../../../tools/parts/process";
import type { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

describe.each(atNight(18, 17, 15))("a standby of PostgreSQL %i", async (major) => {
  const parts = await findParts(`standby of PostgreSQL ${major}`, major, "2.60");
  if (parts === null) return;
  const { binaries, stock } = parts;
  let bed: TestBed;
  let standby: TestCluster;

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "gz" }, { compressType: "zst", encrypted: true, options: { bundle: "y" } }],
      settings: { wal_keep_size: "256MB" },
      global: { "process-max": "2" },
    });
    await bed.startWithStanza();
    await bed.cluster.sql(`
      CREATE TABLE readings (id bigserial PRIMARY KEY, taken timestamptz DEFAULT now(), body text);
      INSERT INTO readings (body) SELECT repeat(md5(g::text), 4) FROM generate_series(1, 20000) g`);
    await dropTemplates(bed);
    standby = await bed.cluster.createStandby();
  });
  afterAll(async () => {
    await standby?.remove();
    await bed?.remove();
  });

  /** Configuration of a host with these clusters. */
  const host = (
    name: string,
    clusters: readonly TestCluster[],
    global: Readonly<Record<string, string>> = {},
  ): string => {
    const stanza: Record<string, string | null> = {};
    for (const [index, cluster] of clusters.entries()) {
      const key = `pg${index + 1}`;
      Object.assign(stanza, {
        [`${key}-path`]: cluster.dataPath,
        [`${key}-socket-path`]: cluster.socketPath,
        [`${key}-port`]: String(cluster.port),
        [`${key}-user`]: cluster.superuser,
      });
    }
    return bed.variant(name, { stanza, global });
  };

  /** Runs `work` while the primary writes rows and occasionally switches segments. */
  async function underLoad<T>(work: () => Promise<T>): Promise<T> {
    const client = await bed.cluster.connect();
    let stop = false;
    const load = (async () => {
      for (let round = 0; !stop; round++) {
        await client.query("INSERT INTO readings (body) SELECT md5(g::text) FROM generate_series(1, 50) g");
        await client.query("UPDATE readings SET body = body || '.' WHERE id % 997 = $1", [round % 997]);
        if (round % 10 === 9) await client.query("SELECT pg_switch_wal()");
        await sleep(50);
      }
    })();
    try {
      return await work();
    } finally {
      stop = true;
      await load;
      await client.end();
    }
  }

  async function expectRestorable(label: string): Promise<void> {
    await bed.archiveAll();
    for (const key of [1, 2]) {
      const verified = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
      expect(verified.stdout).toMatch(/^status: ok$/m);
      expect(verified.stdout).toContain(`backup: ${label}, status: valid`);
    }
    expect(await bed.restoreAndCompare({ by: stock, repo: 1, args: [`--set=${label}`] })).toEqual([]);
    expect(await bed.restoreAndCompare({ by: null, repo: 2, args: [`--set=${label}`] })).toEqual([]);
  }

  const labelOf = (stdout: string): string => {
    const labels = new Set([...stdout.matchAll(/new backup label = (\S+)/g)].map((match) => match[1]));
    expect(labels.size).toBe(1);
    return [...labels][0] ?? "";
  };

  test("beside its primary provides the relations", async () => {
    const config = host("both", [bed.cluster, standby], { "backup-standby": "y" });
    const { stdout } = await underLoad(() =>
      bed.oursOk(["backup", "--type=full", "--log-level-console=detail"], { config }),
    );
    expect(stdout).toMatch(/replay on the standby reached/);
    await expectRestorable(labelOf(stdout));
  });

  test.runIf(NIGHTLY)("alone is backed up, also incrementally", async () => {
    const config = host("alone", [standby], { "backup-standby": "y" });
    const full = labelOf((await underLoad(() => bed.oursOk(["backup", "--type=full"], { config }))).stdout);
    const { stdout } = await underLoad(() => bed.oursOk(["backup", "--type=incr"], { config }));
    const incr = labelOf(stdout);
    expect(incr.startsWith(`${full}_`)).toBe(true);
    expect(stdout).toContain("unable to reach a primary");
    await expectRestorable(incr);
  });

  test("is used on request; the mode decides if the primary or the standby is missing", async () => {
    const alone = host("refused", [standby]);
    const refused = await bed.ours(["backup", "--type=full"], { config: alone });
    expect(refused.exitCode).toBe(56);
    expect(refused.stdout).toContain("unable to find primary cluster - cannot proceed");
    const none = await bed.ours(["backup", "--type=full", "--backup-standby=y"]);
    expect(none.exitCode).toBe(56);
    expect(none.stdout).toContain("unable to find standby cluster - cannot proceed");
    const preferred = await bed.oursOk(["backup", "--type=full", "--backup-standby=prefer"]);
    expect(preferred.stdout).toContain("unable to find a standby to perform the backup, using primary instead");
  });

  test("alone waits for the stop segment in each repository, and names the one that lacks it", async () => {
    const config = host("idle", [standby], { "backup-standby": "y", "archive-timeout": "2s" });
    await bed.cluster.sql("INSERT INTO readings (body) VALUES ('in a segment that nobody archives')");
    await bed.cluster.sql("CHECKPOINT");
    await bed.cluster.waitForStandby(standby);
    const idle = await bed.ours(["backup", "--type=incr"], { config });
    expect(idle.exitCode).toBe(103);
    for (const key of [1, 2])
      expect(idle.stdout).toMatch(
        new RegExp(`repo${key}: \\[ArchiveTimeoutError\\] WAL segment [0-9A-F]{24} was not archived to repo${key}`),
      );
    expect(idle.stdout).toContain("pg_switch_wal()");
  });

  // Must run last: it removes the primary.
  // claim: docs/kubernetes/plugin.md: a promoted server archives…
  test.runIf(NIGHTLY)(
    "that replaces a dead primary archives the primary's missing WAL, with the plain command",
    async () => {
      const config = host("promoted", [standby]);
      await bed.oursOk(["backup", "--type=full"]);
      await bed.stopArchiving();
      const inherited: string[] = [];
      for (let round = 0; round < 3; round++) {
        await bed.cluster.sql("INSERT INTO readings (body) SELECT md5(g::text) FROM generate_series(1, 50) g");
        inherited.push(await bed.cluster.switchWal());
      }
      await bed.cluster.sql("INSERT INTO readings (body) VALUES ('the last one')");
      await bed.cluster.waitForStandby(standby);
      await bed.cluster.stop("immediate");
      for (const name of inherited)
        expect([1, 2].map((key) => findStoredSegment(bed, key, name))).toEqual([null, null]);

      const command = [bed.runtime.node, ...bed.oursCommand(["archive-push"], config), "%p"].join(" ");
      await standby.alterSystem({ archive_command: `${command} # pgbackrest` });
      await standby.sql("SELECT pg_promote()");
      const last = await standby.switchWal();
      const isThere = (name: string): boolean => [1, 2].every((key) => findStoredSegment(bed, key, name) !== null);
      await expect.poll(() => [...inherited, last].filter((name) => !isThere(name)), { timeout: 180_000 }).toEqual([]);
      for (const key of [1, 2]) expect((await bed.ours(["verify", `--repo=${key}`], { config })).exitCode).toBe(0);
    },
  );
});
