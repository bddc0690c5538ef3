import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openCommand } from "../../../../runtime/commands/recovery/open";
import { testContext } from "../../../harness/context";
import { host } from "../support";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pgbackstop-open-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function opened(argv: readonly string[], carriedOptions: readonly string[] = [], uid = 1000): Promise<number> {
  const made = host({ folder, repos: [], ctx: testContext(), argv: ["open", ...argv] });
  return openCommand({ ...made, config: { ...made.config, carriedOptions }, self: { uid, gid: uid } });
}

describe("open", () => {
  test("refuses what it cannot do, with the way out", async () => {
    await expect(opened([])).rejects.toThrow("open command requires option: at");
    await expect(opened(["--at=/"])).rejects.toThrow("it is the root directory");
    await expect(opened([`--at=${folder}/data/past`])).rejects.toThrow("it is in the data directory");
    const notRoot = opened([`--at=${folder}/past`]);
    await expect(notRoot).rejects.toThrow("open needs root");
    await expect(notRoot).rejects.toMatchObject({
      hints: [expect.any(String), expect.stringContaining("pgbackstop restore")],
    });
    if (!existsSync("/dev/fuse")) return;
    const lent = opened([`--at=${folder}/past`], ["--config-include-path=/run/credentials/pgbackstop-run.service"], 0);
    await expect(lent).rejects.toThrow("keys that systemd lends");
  });
});
