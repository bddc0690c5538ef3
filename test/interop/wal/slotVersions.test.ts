/** WAL through a replication slot with older servers: killed agent and server, a lost slot, and every row back. */
// claim: docs/slot-archiving.md: PostgreSQL 14 to 17 archive through a slot as 18 does (nightly)
import { rmSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { NIGHTLY } from "../../../tools/parts/nightly";
import { waitFor } from "../../../tools/parts/process";
import { agentPaths, AgentProcess } from "../../harness/real/agentProcess";
import { postgresOrSkip, stockOrSkip } from "../../harness/real/parts";
import { TestBed } from "../../harness/real/testBed";

const SETTINGS = {
  archive_mode: "off",
  archive_command: "",
  max_slot_wal_keep_size: "128MB",
  max_wal_size: "64MB",
  min_wal_size: "32MB",
  wal_keep_size: "0",
};

describe.runIf(NIGHTLY).each([14, 15, 16, 17])("WAL of PostgreSQL %d through a slot", (major) => {
  let bed: TestBed | undefined;
  let agent: AgentProcess | undefined;
  let folder = "";
  afterEach(async () => {
    await agent?.stop("SIGKILL");
    await bed?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test("every row comes back, whatever was killed", { timeout: 300_000 }, async (context) => {
    const binaries = await postgresOrSkip(context, major);
    const stock = await stockOrSkip(context, "2.60");
    const own = await TestBed.create({ binaries, repos: [{}], settings: SETTINGS });
    bed = own;
    own.writeVariant(own.configPath, { settings: { archive: "stream" } });
    const paths = agentPaths();
    folder = paths.folder;
    await own.cluster.start();
    const { configPath, runtime, stanza } = own;
    const reader = await AgentProcess.start({ paths, runtime, configPath, stanza });
    agent = reader;
    const fill = async (): Promise<void> => {
      for (let turn = 0; turn < 4; turn++) {
        await own.cluster.sql("INSERT INTO filled SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 9000) g");
        await own.cluster.switchWal();
        await own.cluster.sql("CHECKPOINT");
      }
    };
    await own.oursOk(["stanza-create"]);
    await own.cluster.sql("CREATE TABLE filled (g int, t text)");
    await own.oursOk(["backup", "--type=full"]);
    await fill();
    await reader.stop("SIGKILL");
    await own.cluster.restart({}, "immediate");
    await own.cluster.sql("INSERT INTO filled VALUES (1, 'while no agent runs')");
    await reader.start();
    await own.oursOk(["check"]);
    for (const by of [null, stock]) expect(await own.restoreAndCompare({ by })).toEqual([]);
    await reader.stop("SIGKILL");
    for (let turn = 0; turn < 3; turn++) await fill();
    await reader.start();
    await waitFor("the new backup", 60_000, async () =>
      reader.log().includes("taking a backup into repo1: WAL was dropped") ? true : null,
    );
    await waitFor("a good check", 60_000, async () => ((await own.ours(["check"])).exitCode === 0 ? true : null));
    expect(await own.restoreAndCompare({ by: null })).toEqual([]);
  });
});
