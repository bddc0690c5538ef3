import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cloneCommand } from "../../../../runtime/commands/recovery/clone";
import type { ProgramEnd } from "../../../../runtime/local/program";
import { isRoot } from "../../../../tools/parts/users";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";
import { host } from "../support";

function cloned(argv: readonly string[], uid = 0): Promise<number> {
  const folder = temporaryFolder();
  const made = host({ folder, repos: [], ctx: testContext(), argv: ["clone", `--at=${join(folder, "pr")}`, ...argv] });
  const users = { ...made.users, findUid: () => 1000, findGid: () => 1000 };
  return cloneCommand({ ...made, users, self: { uid, gid: uid } });
}

test("needs root", async () => {
  await expect(cloned([], 1000)).rejects.toThrow("needs root");
});

test.runIf(existsSync("/dev/fuse")).each<[string[], string]>([
  [[], "requires option: password-file"],
  [["--password-file=/dev/stdin", "--listen=10.0.0.5"], "requires option: allow"],
  [["--password-file=/dev/stdin", "--mask-file=/dev/stdin"], "either the password or the mask"],
  [["--password-file=/nonexistent/password"], "/nonexistent/password"],
])("refuses %j", async (argv, message) => {
  await expect(cloned(argv)).rejects.toThrow(message);
});

test.runIf(isRoot() && existsSync("/dev/fuse")).each([
  ["keeps what closes it while it cannot be closed", "moving", true],
  ["forgets what nothing is left of", null, false],
])("a clone that fails %s", async (_, phase, isKept) => {
  const folder = temporaryFolder();
  const at = join(folder, "pr");
  const password = join(folder, "password");
  writeFileSync(password, "marker-of-a-password");
  const made = host({
    folder,
    repos: [],
    ctx: testContext(),
    argv: ["clone", `--at=${at}`, `--password-file=${password}`],
  });
  // An open that fails, and leaves what close refuses.
  const program = async (): Promise<ProgramEnd> => {
    if (phase !== null) {
      mkdirSync(`${at}.pgbackstop`);
      writeFileSync(`${at}.pgbackstop/open.json`, JSON.stringify({ version: 1, stanza: "demo", phase }));
    }
    return { exitCode: 82, stdout: "", stderr: "ERROR: [082]: no WAL" };
  };
  const users = { ...made.users, findUid: () => 0, findGid: () => 0 };
  await expect(cloneCommand({ ...made, users, program, self: { uid: 0, gid: 0 } })).rejects.toThrow("no WAL");
  expect(existsSync(join(folder, ".shared/users"))).toBe(isKept);
});

test.each([["--lifetime-hours=0"], ["--lifetime-hours=9000"], ["--clone-port=70000"]])("refuses %s", async (option) => {
  await expect(async () => cloned([option])).rejects.toThrow("out of range");
});
