/** A migration step on this machine: the program starts, reads its files, and leaves none behind. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { migrationCreate, migrationDiff, type MigrationInputs } from "../../../components/dynamic/migration";

const folder = mkdtempSync(join(tmpdir(), "pgbk-"));
afterAll(() => rmSync(folder, { recursive: true }));
const SECRET = "plan-ted-pass-word";

/** Writes a shell program and returns its path. */
function program(text: string): string {
  const path = join(folder, `program-${Math.abs(text.length)}`);
  writeFileSync(path, text);
  return path;
}

function inputs(script: string, given: Partial<MigrationInputs> = {}): MigrationInputs {
  const me = userInfo().username;
  return {
    connection: { local: {} },
    user: me,
    fileUser: me,
    argv: ["/bin/sh", program(script), "--from-password-file={files}/from-password", "{files}"],
    files: { "from-password": SECRET },
    acceptedCode: 0,
    what: "migrate plan",
    triggers: [],
    ...given,
  };
}

test("files belong to their account alone, have the given content, and are removed afterwards", async () => {
  const script = `printf '{"options":"%s","directory":"%s","mode":"%s","text":"%s"}' "$1" "$2" "$(stat -c %a "$2") $(stat -c %a "$2/from-password")" "$(cat "$2/from-password")"`;
  const { outs } = await migrationCreate(inputs(script));
  const reported = JSON.parse(outs.report) as Record<string, string>;
  expect(reported).toMatchObject({
    mode: "700 600",
    text: SECRET,
    options: `--from-password-file=${reported["directory"]}/from-password`,
  });
  expect(existsSync(reported["directory"] ?? "")).toBe(false);
});

test("a failing step fails with the obstacle, and leaves no file either", async () => {
  const report = '{"differences":[{"database":"shop","kind":"table","name":"t","text":"2 rows, 1 row"}]}';
  const script = `echo "$2" > ${folder}/where; echo '${report}'; exit 58`;
  await expect(migrationCreate(inputs(script))).rejects.toThrow(/exit code 58\nshop: table t: 2 rows, 1 row/);
  const { readFileSync } = await import("node:fs");
  expect(existsSync(readFileSync(join(folder, "where"), "utf8").trim())).toBe(false);
  await expect(migrationCreate(inputs("echo 'no server' >&2; exit 56"))).rejects.toThrow(/exit code 56\nno server/);
});

test("an obstacle is the answer of a plan; the same code without one is a failure", async () => {
  const report = '{"refusals":[{"fact":"a","rule":"b","wayOut":"c"}]}';
  const { outs } = await migrationCreate(inputs(`echo '${report}'; exit 81`, { acceptedCode: 81 }));
  expect(JSON.parse(outs.report)).toHaveProperty("refusals");
  await expect(migrationCreate(inputs("exit 81", { acceptedCode: 81 }))).rejects.toThrow(/exit code 81/);
});

test("only changed triggers run a step again", async () => {
  const { outs } = await migrationCreate(inputs("echo '{}'"));
  expect(await migrationDiff("", outs, inputs("true", { user: "other", argv: ["other"] }))).toEqual({
    changes: false,
    replaces: [],
  });
  expect(await migrationDiff("", outs, inputs("true", { triggers: ["2"] }))).toEqual({
    changes: true,
    replaces: ["triggers"],
  });
  expect(await migrationDiff("", {}, inputs("true"))).toEqual({ changes: false, replaces: [] });
});
