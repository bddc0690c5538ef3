/** `expire` and the choice of a backup to open, apart by a real lock file. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../../runtime/base/clock";
import { untilDecided, withoutChoices } from "../../../runtime/commands/opened";
import { acquireLock, isFlocked, lockFileName } from "../../../runtime/local/lockFile";
import { testContext } from "../../harness/context";
import { temporaryFolder } from "../repository/support";
import { host } from "./support";

test("a choice waits for the end of expire's decision, makes nothing, and two decisions follow each other", async () => {
  const folder = temporaryFolder();
  const lockPath = join(folder, "lock");
  const base = host({ argv: ["expire"], repos: [], ctx: testContext({ clock: systemClock }), folder });
  const proc = {
    ...base,
    config: { ...base.config, lockPath },
    lock: () => [acquireLock({ lockPath, stanza: "demo", kind: "expiring", execId: "1-00000000", pid: process.pid })],
  };
  const path = join(lockPath, lockFileName("demo", "expiring"));
  await untilDecided(proc);
  expect(existsSync(lockPath)).toBe(false);

  const order: string[] = [];
  let decide = (): void => {};
  const deciding = new Promise<void>((resolve) => (decide = resolve));
  const first = withoutChoices(proc, () => deciding.then(() => void order.push("first")));
  const second = withoutChoices(proc, async () => void order.push("second"));
  expect(isFlocked(path)).toBe(true);
  const chosen = untilDecided(proc).then(() => order.push("choice"));
  await systemClock.sleep(300, proc.ctx.signal);
  expect(order).toEqual([]);
  decide();
  await first;
  await second;
  await chosen;
  expect(order.indexOf("first")).toBe(0);
  expect(order.sort()).toEqual(["choice", "first", "second"]);
  await expect(withoutChoices(proc, () => Promise.reject(new Error("no list")))).rejects.toThrow("no list");
  expect(isFlocked(path)).toBe(false);
});
