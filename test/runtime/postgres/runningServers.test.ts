import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { postmastersOn } from "../../../runtime/postgres/runningServers";
import { waitFor } from "../../../tools/parts/process";

describe("servers on a directory", () => {
  let folder: string;
  const children: ChildProcess[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "pgb-servers-"));
    for (const name of ["data", "data/base", "other"]) mkdirSync(join(folder, name));
    symlinkSync(join(folder, "data"), join(folder, "link"));
    copyFileSync(realpathSync("/bin/sh"), join(folder, "postgres"));
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });
  const runs = (program: string, cwd: string): ChildProcess => {
    // The second process is a child of the first one, as a server's.
    const child = spawn(program, ["-c", "(read line) <&0; read line"], {
      cwd: join(folder, cwd),
      stdio: ["pipe", "ignore", "ignore"],
    });
    children.push(child);
    return child;
  };

  test("a server counts by its program and its directory, once with all of its processes, by whatever path", async () => {
    const server = runs(join(folder, "postgres"), "link");
    const servers = await waitFor("the server", 10_000, async () => {
      const postmasters = await postmastersOn(join(folder, "data"));
      return postmasters.length > 0 ? postmasters : null;
    });
    expect(servers).toEqual([{ pid: server.pid, namespace: expect.stringMatching(/^pid:/) }]);
  });

  test("other programs there, and servers elsewhere or below, do not count", async () => {
    runs("/bin/sh", "data");
    runs(join(folder, "postgres"), "data/base");
    const elsewhere = runs(join(folder, "postgres"), "other");
    await waitFor("the last server", 10_000, async () =>
      (await postmastersOn(join(folder, "other"))).some(({ pid }) => pid === elsewhere.pid) ? true : null,
    );
    for (const name of ["data", "missing"]) expect(await postmastersOn(join(folder, name))).toEqual([]);
  });
});
