/**
 * When a dump that one program pipes into another counts as complete. Scripts replace pg_dump and psql here;
 * packages/migration/test/interop/migrate.test.ts uses the real ones.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { pipeDump } from "../../runtime/dumpPipe";

const WHOLE = "echo 'CREATE TABLE a ();'; echo '-- PostgreSQL database dump complete'";
const folder = mkdtempSync(join(tmpdir(), "pgbk-"));
const loaded = join(folder, "loaded");
afterAll(() => rmSync(folder, { recursive: true }));

function pipe(dump: string, load: string, signal = new AbortController().signal): Promise<number> {
  const [dumpProgram, loadProgram] = Object.entries({ pg_dump: dump, psql: load }).map(([name, script]) => {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
    return path;
  });
  const env = { PATH: process.env["PATH"] ?? "" };
  return pipeDump({
    dumpProgram: dumpProgram ?? "",
    loadProgram: loadProgram ?? "",
    dumpArgs: [],
    source: env,
    target: env,
    signal,
  });
}

test("a complete dump is loaded, and its bytes are counted", async () => {
  expect(await pipe(WHOLE, `cat > ${loaded}`)).toBe(readFileSync(loaded).length);
  expect(readFileSync(loaded, "utf8")).toContain("CREATE TABLE a ();");
});

test.each([
  [
    "ends with 0 before its last line",
    "echo 'CREATE TABLE a ();'",
    "cat > /dev/null",
    "pg_dump ended with exit code 0: its output is incomplete",
  ],
  [
    "fails after its last line",
    `${WHOLE}; echo 'server closed the connection' >&2; exit 1`,
    "cat > /dev/null",
    "pg_dump ended with exit code 1: server closed the connection",
  ],
  ["is killed after its last line", `${WHOLE}; kill -9 $$`, "cat > /dev/null", "pg_dump was ended by SIGKILL"],
  [
    "is loaded by a program that fails at the end",
    WHOLE,
    "cat > /dev/null; echo 'no space left' >&2; exit 3",
    "psql ended with exit code 3: no space left",
  ],
  [
    "is refused",
    `${WHOLE}; yes | head -c 10000000`,
    "echo 'syntax error' >&2; exit 3",
    "psql ended with exit code 3: syntax error",
  ],
])("a dump that %s is incomplete", async (_what, dump, load, reported) => {
  await expect(pipe(dump, load)).rejects.toThrow(reported);
});

test("the loading program sees the end of its input only after a complete dump", async () => {
  await expect(pipe("echo 'CREATE TABLE a ();'", `cat > /dev/null; echo committed > ${loaded}`)).rejects.toThrow(
    "complete",
  );
  expect(readFileSync(loaded, "utf8")).not.toContain("committed");
});

test("both are killed on an abort", async () => {
  const controller = new AbortController();
  const piped = pipe("exec sleep 600", "exec sleep 600", controller.signal);
  controller.abort(new Error("told to end"));
  await expect(piped).rejects.toThrow("told to end");
});
