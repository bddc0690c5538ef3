/** A host that is lost with its container and its disk, again and again: the age of what a new container lacks. */
// claim: docs/hosts/containers.md: a lost host loses seconds with `streaming`, as without a container (nightly)
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ContainerEngine } from "../../../tools/parts/containers/engine";
import { NIGHTLY } from "../../../tools/parts/nightly";
import { sleep, waitFor } from "../../../tools/parts/process";
import { ContainerBed, engineWith } from "../../harness/real/containerBed";

const LOSSES = 6;
const INTERVAL_S = 2;
/** A chunk is on its way for a moment, and two processors do everything here. */
const SLACK_S = 3;

interface Commit {
  readonly no: number;
  readonly ackMs: number;
}

describe.runIf(NIGHTLY)("a host that is lost with its container", () => {
  let engine: ContainerEngine | null = null;
  let bed: ContainerBed;

  beforeAll(async () => {
    engine = await engineWith("docker", "lost containers");
    if (engine === null) return;
    bed = await ContainerBed.create(engine);
    bed.configure(undefined, { archive: "stream", stream: { intervalSeconds: INTERVAL_S } });
    await bed.start();
    await bed.startAgent();
    await bed.sql("CREATE TABLE commits (no int PRIMARY KEY)");
    await bed.oursOk(["stanza-create"]);
    await bed.oursOk(["backup", "--type=full"]);
  });
  afterAll(async () => {
    await bed?.remove();
    await engine?.remove();
  });

  /** Commits rows until the server dies. */
  const write = async (commits: Commit[], firstNo: number): Promise<void> => {
    const pid = (await engine?.runOk(["inspect", "--format={{.State.Pid}}", bed.container]))?.trim() ?? "";
    const client = new Client({ host: `/proc/${pid}/root/run/postgresql`, user: "postgres", database: "postgres" });
    client.on("error", () => undefined);
    try {
      await client.connect();
      for (let no = firstNo; ; no++) {
        await client.query("INSERT INTO commits VALUES ($1)", [no]);
        commits.push({ no, ackMs: performance.now() });
      }
    } catch {
      await client.end().catch(() => undefined);
    }
  };

  const lose = async (): Promise<void> => {
    await Promise.all([bed.killAgent(), engine?.runOk(["kill", "--signal=KILL", bed.container])]);
    await engine?.runOk(["rm", "--force", bed.container]);
    await engine?.runOk(["volume", "rm", `${bed.container}-data`]);
    for (const name of readdirSync(join(bed.folder, "spool")))
      rmSync(join(bed.folder, "spool", name), { recursive: true });
  };

  const bringBack = async (): Promise<void> => {
    await bed.start();
    await engine?.runOk(["stop", bed.container]);
    for (const name of readdirSync(bed.data())) rmSync(bed.data(name), { recursive: true });
    await bed.oursOk(["restore"]);
    await engine?.runOk(["start", bed.container]);
    await bed.ready();
    await bed.startAgent();
  };

  test("loses what was committed in the last seconds", { timeout: 900_000 }, async (context) => {
    if (engine === null) return context.skip("a part is missing");
    const lostMs: number[] = [];
    let acknowledged = 0;
    for (let loss = 0; loss < LOSSES; loss++) {
      await waitFor("the slot", 60_000, async () =>
        (await bed.sql("SELECT count(*) FROM pg_stat_replication")) === "2" ? true : null,
      );
      const commits: Commit[] = [];
      const writing = write(commits, (loss + 1) * 1_000_000);
      await sleep(3000 + Math.random() * 3000);
      const killedAtMs = performance.now();
      await lose();
      await writing;
      await bringBack();
      const rows = new Set((await bed.sql("SELECT no FROM commits")).split("\n").map(Number));
      const missing = commits.filter(({ no }) => !rows.has(no));
      lostMs.push(Math.round(Math.max(0, ...missing.map(({ ackMs }) => killedAtMs - ackMs))));
      acknowledged += commits.length;
    }
    process.stdout.write(
      `lost containers: ${acknowledged} commits, age of the oldest lost one: ${lostMs.join(", ")} ms\n`,
    );
    expect(acknowledged).toBeGreaterThan(LOSSES * 100);
    expect(Math.max(...lostMs)).toBeLessThan((INTERVAL_S + SLACK_S) * 1000);
  });
});
