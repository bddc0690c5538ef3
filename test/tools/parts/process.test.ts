import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findOnPath, run, runInherited, runOk, start, waitFor } from "../../../tools/parts/process";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pgb-process-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("run", () => {
  test("returns output, input and exit code", async () => {
    const result = await run("/bin/sh", ["-c", "cat; echo error >&2; exit 3"], { input: "text" });
    expect(result).toMatchObject({ exitCode: 3, stdout: "text", stderr: "error\n" });
  });

  test("counts a signal as 128 and its number", async () => {
    expect((await run("/bin/sh", ["-c", "kill -TERM $$"])).exitCode).toBe(143);
  });

  test("calls back for every line", async () => {
    const lines: string[] = [];
    await run("/bin/sh", ["-c", "echo one; printf tw; echo o"], { onLine: (line) => lines.push(line) });
    expect(lines).toEqual(["one", "two"]);
  });

  test("stops a program that takes too long", async () => {
    await expect(run("/bin/sh", ["-c", "exec sleep 60"], { timeoutMs: 100 })).rejects.toThrow("did not end in time");
  });

  test("reports a missing program", async () => {
    await expect(run(join(folder, "nothing"), [])).rejects.toThrow("unable to run");
  });

  test("runOk throws with the end of the output", async () => {
    await expect(runOk("/bin/sh", ["-c", "echo reason >&2; exit 1"])).rejects.toThrow(/exit code 1\nreason/);
  });
});

describe("runInherited", () => {
  test("returns every line and the exit code", async () => {
    const lines: string[] = [];
    const exitCode = await runInherited("/bin/sh", ["-c", "echo one; echo two >&2; exit 3"], {
      onLine: (line) => lines.push(line),
    });
    expect(exitCode).toBe(3);
    expect(lines.toSorted()).toEqual(["one", "two"]);
  });

  test("ends with the program, even if a process that it left holds its output open", async () => {
    const lines: string[] = [];
    const onLine = (line: string): void => void lines.push(line);
    expect(await runInherited("/bin/sh", ["-c", "sleep 30 & echo $!; exit 0"], { onLine })).toBe(0);
    expect(lines).toHaveLength(1);
    // Throws if that process has already ended, which would make the test meaningless.
    process.kill(Number(lines[0]));
  });
});

describe("start", () => {
  test("runs a program until it is stopped, with its output in a file", async () => {
    const started = await start("/bin/sh", ["-c", "echo ready; exec sleep 60"], { logFile: join(folder, "log") });
    await waitFor("output", 5000, async () => (started.log() === "ready\n" ? true : null));
    expect(started.isRunning()).toBe(true);
    expect(await started.stop()).toBe(143);
    expect(started.isRunning()).toBe(false);
    expect(await started.stop()).toBe(143);
  });

  test("kills a program that ignores signals", async () => {
    const started = await start("/bin/sh", ["-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], {
      logFile: join(folder, "deaf"),
    });
    await waitFor("output", 5000, async () => (started.log() === "ready\n" ? true : null));
    expect(await started.stop("SIGTERM", 100)).toBe(137);
  });

  test("stops running programs when the process ends", async () => {
    const parts = join(__dirname, "../../../tools/parts/process.ts");
    const esbuild = await import("esbuild");
    const bundle = await esbuild.build({
      stdin: {
        contents: `import { start } from ${JSON.stringify(parts)};
          start("/bin/sh", ["-c", "exec sleep 60"], { logFile: ${JSON.stringify(join(folder, "child"))} }).then((child) => {
            console.log(child.pid);
            if (process.argv[2] === "exit") process.exit(0);
          });`,
        resolveDir: folder,
        loader: "ts",
      },
      bundle: true,
      platform: "node",
      write: false,
      outfile: join(folder, "parent.cjs"),
    });
    writeFileSync(join(folder, "parent.cjs"), bundle.outputFiles[0]?.contents ?? "");
    const result = await runOk(process.execPath, [join(folder, "parent.cjs"), "exit"]);
    const pid = Number(result.trim());
    expect(pid).toBeGreaterThan(1);
    await waitFor("end of the child", 5000, async () => (isAlive(pid) ? null : true));
  });
});

test("findOnPath finds programs and only those", async () => {
  expect(await findOnPath("sh")).toMatch(/\/sh$/);
  expect(await findOnPath("no-such-program-anywhere")).toBeNull();
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
