import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { directoryOf, openCommand } from "../../../../runtime/commands/recovery/open";
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
  // claim: docs/open.md: a link on the way to the directory makes no difference
  test("names the directory as the kernel names its mount, whatever links lead to it", () => {
    mkdirSync(join(folder, "real"));
    symlinkSync(join(folder, "real"), join(folder, "link"));
    const directory = (at: string): string =>
      directoryOf(host({ folder, repos: [], ctx: testContext(), argv: ["open", `--at=${at}`] }));
    const real = realpathSync(folder);
    expect(directory(`${folder}/link/past/`)).toBe(`${real}/real/past`);
    expect(directory(`${folder}/link/not/yet/past`)).toBe(`${real}/real/not/yet/past`);
    // What is there itself is not followed: open refuses it.
    expect(directory(`${folder}/link`)).toBe(`${real}/link`);
    symlinkSync(join(folder, "data"), join(folder, "toData"));
    expect(() => directory(`${folder}/toData/past`)).toThrow("it is in the data directory");
  });

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
