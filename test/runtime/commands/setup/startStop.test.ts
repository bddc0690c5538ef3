import { join } from "node:path";
import { expect, test } from "vitest";
import { stopCommand } from "../../../../runtime/commands/setup/startStop";
import { acquireLock } from "../../../../runtime/local/lockFile";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";
import { host } from "../support";

test("stop --force ends running processes, also if the stanza was stopped before", async () => {
  const folder = temporaryFolder();
  const lockPath = join(folder, "lock");
  const ctx = testContext();
  const ended: number[] = [];
  const stop = (...argv: string[]): Promise<number> => {
    const base = host({ argv: [...argv, "stop"], repos: [], ctx, folder });
    const terminate = (pid: number): boolean => ended.push(pid) > 0;
    return stopCommand({ ...base, config: { ...base.config, lockPath }, process: { ...base.process, terminate } });
  };
  expect(await stop()).toBe(0);
  const lock = acquireLock({ lockPath, stanza: "demo", kind: "backup", pid: 7, execId: "7-0000000a" });
  expect(await stop()).toBe(0);
  expect(ended).toEqual([]);
  expect(await stop("--force")).toBe(0);
  lock.release();
  expect(ended).toEqual([7]);
  expect(ctx.lines.map(({ text }) => text)).toContain("stop file already exists for stanza demo");
});
