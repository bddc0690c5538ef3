import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { exitCodeFor, guardedArchiveGet, guardedByMark } from "../../../runtime/base/recoveryExit";
import { projectFolder } from "../../../tools/parts/cache";
import { temporaryFolder } from "../repository/support";

/** Exit code of a guarded command that ends with `code`, and leaves the file or not. */
function guarded(
  code: number,
  { files, leaves = false }: { files: readonly string[]; leaves?: boolean },
): number | null {
  const cwd = temporaryFolder();
  for (const name of files) writeFileSync(join(cwd, name), "");
  const command = guardedArchiveGet(`sh -c 'test "$2" = 0 || : >"$1"; exit $0' ${code} "%p" ${leaves ? 1 : 0}`);
  return spawnSync("/bin/sh", ["-c", command.replaceAll("%p", "RECOVERYXLOG")], { cwd }).status;
}

it("the guard of a restore_command ends a recovery only for the code that no fault has", () => {
  const files = ["recovery.signal"];
  expect(guarded(0, { files, leaves: true })).toBe(0);
  expect(guarded(120, { files })).toBe(1);
  // An empty program succeeds.
  for (const code of [0, 1, 2, 9, 41, 124, 125, 126, 137, 143, 255]) expect(guarded(code, { files })).toBe(255);
});

it("the guard leaves a standby, and a server that only compares, the plain code", () => {
  for (const files of [["recovery.signal", "standby.signal"], ["standby.signal"], []]) {
    for (const code of [0, 1, 49, 255]) expect(guarded(code, { files })).toBe(code);
    expect(guarded(120, { files })).toBe(1);
  }
});

it("where each fault has the code of a missing file, a recovery ends only at a mark", () => {
  const run = (script: string, files: readonly string[]): { code: number | null; left: string[] } => {
    const cwd = temporaryFolder();
    for (const name of files) writeFileSync(join(cwd, name), "");
    const command = guardedByMark(`sh -c '${script}'`).replaceAll("%p", "RECOVERYXLOG");
    const { status } = spawnSync("/bin/sh", ["-c", command], { cwd });
    return { code: status, left: readdirSync(cwd).toSorted() };
  };
  const recovers = ["recovery.signal"];
  expect(run(": > RECOVERYXLOG", recovers)).toEqual({ code: 0, left: ["RECOVERYXLOG", ...recovers] });
  expect(run(": > RECOVERYXLOG.absent; exit 1", recovers)).toEqual({ code: 1, left: recovers });
  for (const script of [":", "exit 1", "exit 127", "kill -9 $$"]) {
    expect(run(script, recovers).code, script).toBe(255);
    // A mark of an earlier request.
    expect(run(script, [...recovers, "RECOVERYXLOG.absent"]), script).toEqual({ code: 255, left: recovers });
  }
  for (const files of [[...recovers, "standby.signal"], []]) expect(run("exit 1", files).code).toBe(1);
});

it("the documents show the guard", () => {
  const shown = readFileSync(join(projectFolder(), "docs", "commands.md"), "utf8");
  const program = "node /usr/local/lib/pgbackstop/runtime.cjs --stanza=ledger";
  expect(shown).toContain(`restore_command = '${guardedArchiveGet(`${program} archive-get %f "%p"`)}'`);
});

it("without a guard the program translates its own code", () => {
  const codes = [0, 1, 63, 120, 124];
  const seen = (caller: { isRecovery: boolean; isGuarded: boolean }): number[] =>
    codes.map((code) => exitCodeFor(code, caller));
  expect(seen({ isRecovery: true, isGuarded: false })).toEqual([0, 255, 255, 1, 255]);
  expect(seen({ isRecovery: true, isGuarded: true })).toEqual([0, 255, 255, 120, 255]);
  expect(seen({ isRecovery: false, isGuarded: false })).toEqual([0, 1, 63, 1, 124]);
});
