/** Checks of a host before any change. test/engine covers the rest on real hosts. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { convergeHost, type DesiredHost } from "../../../components/host/converge";
import { connectLocally } from "../../../components/host/localConnection";
import { failureOf } from "../../harness/compare/engineTexts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "converge-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const refusal = (mounts: readonly string[]): Promise<string> => {
  const desired: DesiredHost = {
    stanza: "main",
    user: userInfo().username,
    dataDirectory: "/data",
    directories: { config: join(folder, "config"), units: join(folder, "units") },
    runtimeArgv: [process.execPath],
    units: { enabled: [], restarted: [] },
    settings: {},
    allowRestart: false,
    restartCommand: [],

    files: [],
    directoriesToMake: [{ path: join(folder, "config"), mode: "0755", owner: "admin" }],
    directoriesToKeep: [],
    mounts,
    firstBackup: false,
  };
  return failureOf(convergeHost(connectLocally(), desired, null, () => undefined));
};

test("a repository that requires a mount is refused while nothing is mounted, before anything is created", async () => {
  expect(await refusal(["/proc", "/missing-nas/pgbackrest"])).toContain(
    "nothing is mounted at or above /missing-nas/pgbackrest on this machine: mount it first, or set requireMount to false",
  );
  expect(existsSync(join(folder, "config"))).toBe(false);
});

test("a mount above the directory is enough, even if the directory does not exist yet", async () => {
  expect(await refusal(["/proc/missing/pgbackrest"])).not.toContain("is mounted");
  expect(existsSync(join(folder, "config"))).toBe(true);
});
