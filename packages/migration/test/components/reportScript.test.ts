/** The script of a program with passwords, run by this machine's shell: it reads its files, and leaves none behind. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { onceCommand } from "../../../../components/host/onceScript";
import { FILES_PLACEHOLDER, type Reported, reportScript } from "../../components/reportScript";

const folder = mkdtempSync(join(tmpdir(), "pgbk-"));
afterAll(() => rmSync(folder, { recursive: true }));
const SECRET = "plan-ted 'pass' \"word\" $HOME\nwith a second line";

/** Runs a shell program that gets two arguments with the directory of the files. */
function ran(text: string, more: Partial<Reported> = {}): { code: number | null; stdout: string; stderr: string } {
  const me = userInfo().username;
  const path = join(folder, "program");
  writeFileSync(path, text);
  const reported: Reported = {
    account: me,
    argv: ["/bin/sh", path, `--from-password-file=${FILES_PLACEHOLDER}/from-password`, FILES_PLACEHOLDER],
    files: { "from-password": SECRET },
    acceptedCode: 0,
    what: "migrate plan",
    limitSeconds: 60,
    ...more,
  };
  const input = reportScript(reported);
  const command = onceCommand({ isLocal: true, sudo: false });
  expect(command).not.toContain("plan-ted");
  const { status, stderr, stdout } = spawnSync("/bin/sh", ["-c", command], { input, encoding: "utf8" });
  return { code: status, stdout, stderr };
}

// claim: packages/migration/docs/program.md: a step on a host reads passwords from private temporary files, and fails
//   with the differences
test("files belong to their account alone, have the given content, and are removed afterwards", () => {
  const script = `printf '%s|%s|%s %s|' "$1" "$2" "$(stat -c %a "$2")" "$(stat -c %a "$2/from-password")"; cat "$2/from-password"`;
  const { code, stdout } = ran(script);
  const [option, directory = "", modes, ...text] = stdout.split("|");
  expect([code, option, modes, text.join("|")]).toEqual([
    0,
    `--from-password-file=${directory}/from-password`,
    "700 600",
    SECRET,
  ]);
  expect(directory).toMatch(/^\/(dev\/shm|tmp)\/pgbackstop-migration\./);
  expect(existsSync(directory)).toBe(false);
});

// claim: packages/migration/docs/program.md: a step on a…
test("a failing step shows what it said beside the report, keeps the report back, and leaves no file either", () => {
  const ended = ran(`echo "$2" > ${folder}/where; echo 'shop: table t: 2 rows, 1 row' >&2; echo '{}'; exit 58`);
  expect(ended).toEqual({
    code: 1,
    stdout: "",
    stderr: "shop: table t: 2 rows, 1 row\nunable to migrate plan: exit code 58\n",
  });
  expect(existsSync(readFileSync(join(folder, "where"), "utf8").trim())).toBe(false);
});

test("a step that is terminated leaves no file", () => {
  expect(ran(`echo "$2" > ${folder}/where; exec sleep 60`, { limitSeconds: 1 }).stderr).toContain("exit code 143");
  expect(existsSync(readFileSync(join(folder, "where"), "utf8").trim())).toBe(false);
});

test("an obstacle is the answer of a plan; the same code without one is a failure", () => {
  const json = (refusals: object[]): string => JSON.stringify({ refusals }, null, 2);
  const report = json([{ fact: "a", rule: "b", wayOut: "c" }]);
  expect(ran(`echo '${report}'; exit 81`, { acceptedCode: 81 })).toEqual({
    code: 0,
    stdout: `${report}\n`,
    stderr: "",
  });
  expect(ran(`echo '${json([])}'; exit 81`, { acceptedCode: 81 })).toMatchObject({ code: 1, stdout: "" });
  expect(ran("exit 81", { acceptedCode: 81 })).toMatchObject({ code: 1, stdout: "" });
});

test("a long report arrives whole", () => {
  const { stdout } = ran('i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo "line $i"; done');
  expect(stdout.trimEnd().split("\n")).toHaveLength(5000);
});

test("the files change hands where another account reads them", () => {
  if (userInfo().uid !== 0) return;
  const script = 'id -un; stat -c "%U %a" "$2" "$2/from-password"; cat "$2/from-password"';
  const { code, stdout } = ran(script, {
    account: "daemon",
    argv: ["/bin/sh", "-c", script, "sh", "unused", FILES_PLACEHOLDER],
  });
  expect([code, stdout]).toEqual([0, `daemon\ndaemon 700\ndaemon 600\n${SECRET}`]);
});

test("a packed program and the answers of others are files of the same account", () => {
  const packed = { "program.sh": gzipSync("echo packed").toString("base64") };
  const asked = {
    "info.json": { account: userInfo().username, argv: ["/bin/sh", "-c", "echo '[]'; exit 4"] },
  };
  const argv = ["/bin/sh", "-c", `. "$1/program.sh"; cat "$1/info.json"`, "sh", FILES_PLACEHOLDER];
  expect(ran("", { argv, packed, asked })).toEqual({ code: 0, stdout: "packed\n[]\n", stderr: "" });
});
