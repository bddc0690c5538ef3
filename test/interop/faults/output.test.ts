/** What the bundle prints, where, and under which name, as scripts and monitoring of stock expect it. */
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type RunResult, run } from "../../../tools/parts/process";
import { findRuntime, type RuntimeProgram } from "../../harness/real/runtimeCli";

let folder = "";
let program: RuntimeProgram;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pgb-output-"));
  mkdirSync(join(folder, "repo"));
  writeFileSync(join(folder, "repo", "file"), "content");
  program = await findRuntime();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Shell code in which `$@` is the program with a repository. */
function shell(code: string, cwd = folder): Promise<RunResult> {
  const own = [program.node, program.file, "--no-config", `--repo1-path=${folder}/repo`, "--log-level-file=off"];
  return run("/bin/sh", ["-c", code, "sh", ...own], { cwd });
}

test.each([
  "info",
  "--output=json info",
  "--stanza=x --output=json info",
  "--stanza=x metrics",
  "repo-ls",
  "repo-get file",
])("%s fails with 64 when its result cannot be written", async (verb) => {
  expect((await shell(`"$@" ${verb}`)).exitCode).toBe(0);
  const { exitCode, stderr } = await shell(`"$@" ${verb} >/dev/full`);
  expect(stderr).toMatch(/^ERROR: \[064\]: unable to write to stdout: ENOSPC/);
  expect(exitCode).toBe(64);
});

// Stock's log lines there are in the way of everybody who parses it (pgbackrest issue 268).
test.each(["info", "--stanza=x info", "repo-ls"])(
  "%s --output=json prints JSON alone, and its log beside",
  async (verb) => {
    const { exitCode, stderr, stdout } = await shell(`"$@" --output=json --log-level-console=debug ${verb}`);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toBeTruthy();
    expect(stderr).toContain("DEBUG: ");
  },
);

test("a result that a full disk cuts short is no success", async () => {
  // The limit of the process stands for the disk's end: a block of 512 bytes.
  const cut = `trap '' XFSZ; ulimit -f 1; "$@" help backup > '${folder}/cut'`;
  const { exitCode, stderr } = await shell(cut);
  expect(stderr).toMatch(/^ERROR: \[064\]: unable to write to stdout: EFBIG/);
  expect(exitCode).toBe(64);
});

test("help and version fail too; a log that cannot be written fails nothing", async () => {
  const bare = `'${program.node}' '${program.file}'`;
  for (const verb of ["help", "version"]) expect((await shell(`${bare} ${verb} >/dev/full`)).exitCode).toBe(64);
  const stop = `--no-config --stanza=x --lock-path='${folder}/lock' --log-level-file=off --log-level-console=debug stop`;
  expect((await shell(`${bare} ${stop} >/dev/full 2>&1`)).exitCode).toBe(0);
});

test("a log file that has grown becomes the one before, and a new one begins", async () => {
  const log = join(folder, "x-verify.log");
  writeFileSync(log, "");
  truncateSync(log, 17 * 1024 * 1024);
  writeFileSync(`${log}.1`, "older\n");
  const argv = [program.node, program.file, "--no-config", `--repo1-path=${folder}/repo`, `--log-path=${folder}`];
  await shell(`${argv.map((argument) => `'${argument}'`).join(" ")} --stanza=x verify`);
  expect(statSync(`${log}.1`).size).toBe(17 * 1024 * 1024);
  expect(readFileSync(log, "utf8")).toMatch(/^\s*-+PROCESS START-+\n/);
});

test("a removed working directory and abbreviated options do not matter, as in stock", async () => {
  const removed = "mkdir gone; cd gone; rmdir ../gone; ";
  expect(await shell(`${removed} "$@" info`)).toMatchObject({
    exitCode: 0,
    stdout: "No stanzas exist in the repository.\n",
  });
  const push = `${removed} "$@" --stanza=x --pg1-path=/none --lock-path='${folder}/lock2' archive-push`;
  expect((await shell(`${push} pg_wal/000000010000000000000001`)).exitCode).toBe(29);
  expect(await shell('"$@" --log-level-consol=info --out=json info')).toMatchObject({ exitCode: 0, stdout: "[]" });
});

test("called as pgbackrest it names the version of stock that it stands for", async () => {
  symlinkSync(program.file, join(folder, "pgbackrest"));
  expect((await run(program.node, [join(folder, "pgbackrest"), "version"])).stdout).toBe("pgBackRest 2.60.0\n");
  expect((await run(program.node, [program.file, "version"])).stdout).toMatch(/^pgbackstop \d/);
});

// claim: docs/report.md: a document of another host is checked, a broken one hides none of the others, and unknown
//   fields are ignored
test("report makes a page of other hosts' documents, and names what is wrong in one", async () => {
  const [good, bad] = ["good.json", "bad.json"].map((name) => join(folder, name)) as [string, string];
  const atS = Math.floor(Date.now() / 1000);
  const database = { host: "db-1", stanza: "orders", atS, troubles: [], repos: [], drills: [], newer: 1 };
  writeFileSync(good, JSON.stringify({ version: 1, databases: [database] }));
  writeFileSync(bad, JSON.stringify({ version: 1, databases: [{ ...database, atS: "now" }] }));
  const report = (...files: string[]): Promise<RunResult> => shell(`"$@" report ${files.join(" ")}`);
  const page = await report(good, good);
  expect(page).toMatchObject({ exitCode: 104, stderr: "" });
  expect(page.stdout).toContain("orders on db-1 is described 2 times");
  const broken = await report(good, bad);
  expect(broken.exitCode).toBe(104);
  expect(broken.stdout).toContain("field &#39;databases[0].atS&#39; is the text &quot;now&quot;, and must be a number");
  expect(broken.stdout).toContain("orders");
  const missing = await report("missing.json");
  expect(missing.exitCode).toBe(104);
  expect(missing.stdout).toContain("missing document &#39;missing.json&#39;");
  expect((await report()).stdout).toContain("report command requires option: stanza");
});
