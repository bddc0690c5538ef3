/**
 * A repository on an SFTP server beside one in a directory: one backup into both, WAL into both, and an outage whose
 * missing WAL is counted and healed. Stock 2.60 reads, verifies, extends and restores what ours wrote there, over SFTP
 * and in the server's own directory.
 */
import { NIGHTLY } from "../../tools/parts/nightly";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { waitFor } from "../../tools/parts/process";
import { findSshd, SftpServer } from "../../tools/parts/servers/sftpServer";
import { parseInfo } from "../harness/compare/infoJson";
import { findParts, skipped } from "../harness/real/interopParts";
import { dropTemplates } from "../harness/real/sampleData";
import { writeSegments } from "../harness/real/segments";
import { TestBed } from "../harness/real/testBed";

const SEGMENTS = 3;

describe("a repository on an SFTP server", async () => {
  const title = "repositories on SFTP servers";
  const parts = await findParts(title, 18, "2.60");
  const sshd = await findSshd();
  if ("missing" in sshd) return void skipped(title, sshd.missing);
  if (parts === null) return;
  const { stock } = parts;
  let server: SftpServer;
  let bed: TestBed;
  /** The same repositories, with repo2 as the server's own directory. */
  let local: string;

  const missingCounts = async (): Promise<unknown[]> =>
    parseInfo((await bed.oursOk(["info", "--output=json"])).stdout).repo.map((repo) => repo["wal-missing"] ?? 0);
  const archived = async (): Promise<number> =>
    Number(await bed.cluster.value("SELECT archived_count FROM pg_stat_archiver"));

  beforeAll(async () => {
    server = await SftpServer.create();
    const key = await server.makeKey("locked", "rsa", "markerPhrase");
    server.allow("locked");
    const options = {
      "sftp-private-key-file": key,
      "sftp-private-key-passphrase": "markerPhrase",
      bundle: "y",
      block: "y",
    };
    bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "zst" }, { sftp: server, encrypted: true, compressType: "gz", options }],
      acknowledge: "any",
      walSegmentSizeMb: 1,
      settings: { wal_keep_size: "64MB" },
      global: { "io-timeout": "3", "archive-timeout": "20", "process-max": "2" },
    });
    local = bed.variant("local", { global: { "repo2-type": "posix" } });
    await bed.cluster.start();
    // Before there is WAL to archive: a refused segment would count as failed.
    await bed.oursOk(["stanza-create"]);
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE t (id int, filler text)");
    await bed.cluster.sql("INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 20000) g");
    await bed.oursOk(["backup", "--type=full"]);
    await bed.archiveAll();
  });
  afterAll(async () => {
    await bed?.remove();
    await server.remove();
  });

  test("has the same content as the other one, for ours and for stock, over SFTP and in its directory", async () => {
    expect((await bed.oursOk(["verify", "--output=text"])).stdout.match(/^status: ok$/gm)).toHaveLength(2);
    for (const config of [bed.configPath, local]) {
      const verified = await bed.stockOk(stock, ["verify", "--repo=2", "--output=text", "--verbose"], { config });
      expect(verified.stdout).toMatch(/^status: ok$/m);
      expect(verified.stdout).not.toMatch(/(missing|checksum invalid|size invalid|other): [1-9]/);
    }
    await bed.oursOk(["check"]);
  });

  test("that is down does not delay WAL: its missing WAL is counted and healed", async () => {
    // On a slow machine it may already lack WAL.
    await bed.oursOk(["heal"]);
    await server.stop();
    try {
      const before = await archived();
      await writeSegments(bed, SEGMENTS);
      await waitFor("acknowledgement of all segments", 180_000, async () =>
        (await archived()) >= before + SEGMENTS ? true : null,
      );
      expect(await bed.cluster.value("SELECT failed_count FROM pg_stat_archiver")).toBe("0");
      expect(await missingCounts()).toEqual([0, SEGMENTS]);
    } finally {
      await server.start();
    }
    expect((await bed.oursOk(["heal"])).stdout).toContain(`repo2: ${SEGMENTS} missing WAL file(s) copied`);
    expect(await missingCounts()).toEqual([0, 0]);
  });

  test.runIf(NIGHTLY)("is extended by stock and ours in turn, and restored by either", async () => {
    await bed.cluster.sql("UPDATE t SET filler = filler || '!' WHERE id % 97 = 0");
    await bed.stockOk(stock, ["backup", "--type=incr", "--repo=2", "--compress-type=gz"]);
    await bed.cluster.sql("UPDATE t SET filler = filler || '?' WHERE id % 89 = 0");
    await bed.oursOk(["backup", "--type=incr"]);
    await bed.archiveAll();
    expect((await bed.oursOk(["verify", "--output=text"])).stdout.match(/^status: ok$/gm)).toHaveLength(2);
    expect(await bed.restoreAndCompare({ by: null, repo: 2 })).toEqual([]);
    expect(await bed.restoreAndCompare({ by: stock, repo: 2 })).toEqual([]);
  });

  test("prints no secret, and is refused if its host key differs", async () => {
    const config = bed.variant("wrong", { global: { "repo2-sftp-host-fingerprint": "ab".repeat(32) } });
    for (const result of [
      await bed.ours(["verify", "--repo=2"], { config }),
      await bed.stock(stock, ["verify", "--repo=2"], { config }),
    ]) {
      expect(result.exitCode).toBe(101);
      expect(result.stdout).toContain(server.fingerprint("ecdsa"));
      expect(result.stdout).toContain("ab".repeat(32));
    }
    expect(readFileSync(join(bed.configPath, "conf.d", "secrets.conf"), "utf8")).toContain("markerPhrase");
    expect([...bed.findLeaks(), ...bed.printed.filter((text) => text.includes("markerPhrase"))]).toEqual([]);
  });
});
