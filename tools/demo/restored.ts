/** Step 5 of the demo: a restore from repo2 alone, started, replayed to the end of WAL and compared with the source. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { onEnd } from "../parts/process";
import type { Progress } from "../parts/progress";
import { compareChecksums, TestCluster } from "../parts/postgres/testCluster";
import { giveTo } from "../parts/users";
import type { Runtime } from "./runtime";
import { bytesOf } from "./stack";

export interface Restored {
  readonly tables: number;
  readonly rows: bigint;
  /** From the start of the command to the first accepted connection after recovery. */
  readonly rtoSeconds: number;
}

export async function restoreAndCompare(
  progress: Progress,
  source: TestCluster,
  runtime: Runtime,
  folder: string,
): Promise<Restored> {
  mkdirSync(folder, { recursive: true });
  giveTo(folder, source.user);
  const data = join(folder, "data");
  const expected = await progress.step("checksums of every table of the source", () => source.tableChecksums());
  const repo2 = (await runtime.state(["--repo=2"])).find((repo) => repo.key === 2);
  const newest = repo2?.backups.at(-1);
  const beganAtMs = performance.now();
  await progress.bar(`restore ${newest?.label} from repo2`, newest?.sizeBytes ?? 0, async (bar) => {
    const args = [
      "--repo=2",
      `--pg1-path=${data}`,
      `--tablespace-map-all=${join(folder, "tablespaces")}`,
      "--archive-mode=off",
      "--log-level-console=info",
      "restore",
    ];
    await runtime.callOk(args, (line) => {
      const done = /restored (\S+) of/.exec(line);
      if (done !== null) bar.update(bytesOf(done[1] ?? ""));
    });
    bar.update(newest?.sizeBytes ?? 0);
  });
  const restored = TestCluster.adopt({ binaries: source.binaries, dataPath: data });
  onEnd(() => restored.remove());
  await progress.step("start it and replay the WAL from repo2", async () => {
    await restored.start();
    await restored.waitForValue("SELECT pg_is_in_recovery()::text", "false", 300_000);
  });
  const rtoSeconds = (performance.now() - beganAtMs) / 1000;
  const rows = await progress.step("compare every table, row for row", async (note) => {
    const actual = await restored.tableChecksums();
    const differences = compareChecksums(expected, actual);
    if (differences.length > 0) throw new Error(`the restored cluster differs:\n${differences.join("\n")}`);
    const total = [...actual.values()].reduce((sum, table) => sum + table.rows, 0n);
    note(`${actual.size} tables, ${total.toLocaleString("en")} rows: equal`);
    return total;
  });
  await restored.remove();
  return { tables: expected.size, rows, rtoSeconds };
}
