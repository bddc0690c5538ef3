/**
 * A user's project with the packed archive: a server that its provider only orders, and its backups, in one update.
 * Debian boots 20 s after the program asked for it.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NIGHTLY } from "../../tools/parts/nightly";
import { sleep } from "../../tools/parts/process";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { hostParts } from "../harness/hosts/parts";
import { ForeignProject } from "./foreignProject";

const BOOT_AFTER_MS = 20_000;
const POLL_MS = 100;

describe("a server and its backups in one update", async () => {
  const parts = await hostParts("a server and its backups in one update of a user's project", ["trixie"]);
  if (parts === null) return;
  let host: DebianHost;
  let project: ForeignProject;
  let isOver = false;

  beforeAll(async () => {
    host = await startDebianHost(parts, { suite: "trixie", name: "foreign-machine" });
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0750", "/srv/first"]);
    expect(await host.powerOff()).toBe(0);
    // `package.test.ts` runs the install scripts: they compile what ssh2 uses if it is there.
    project = await ForeignProject.create("--ignore-scripts");
    await project.useEngine({});
    project.copyPrograms(["run", "machine"]);
  });
  afterAll(async () => {
    isOver = true;
    await host?.stop();
    project?.remove();
  });

  const settings = () => ({
    address: host.ssh.host,
    port: host.ssh.port,
    hostKey: host.hostKeys[0] ?? "",
    privateKey: host.keys.deploy,
    asked: join(project.folder, "asked"),
  });

  test("a preview asks for no server and guesses no address", async () => {
    const { error, stdout } = await project.runProgram("machine", "preview", settings());
    expect(error).toBeUndefined();
    expect(stdout).toContain("db1");
    expect(stdout).not.toContain(`port      : ${host.ssh.port}`);
    expect(existsSync(settings().asked)).toBe(false);
  });

  // claim: docs/hosts/connection.md: a server and its backups in one update of a user's own project; a preview refuses
  //   a connection without a host key and an unknown option; a policy refuses a login by password
  test("the update waits for the boot, and ends with the first backup", async () => {
    const boot = async (): Promise<void> => {
      while (!existsSync(settings().asked) && !isOver) await sleep(POLL_MS);
      await sleep(BOOT_AFTER_MS);
      if (!isOver) await host.powerOn();
    };
    const [made] = await Promise.all([project.runProgram("machine", "up", settings()), boot()]);
    expect(made.error).toBeUndefined();
    expect(made.outputs?.["firstBackup"]).toBe("taken");
    expect(made.stdout).toMatch(/127\.0\.0\.1 answers after (2\d|[3-9]\d|1\d\d) s/);
    expect(JSON.stringify(made)).not.toContain(host.keys.deploy.split("\n")[1]);
    if (NIGHTLY)
      expect((await project.runProgram("machine", "up", settings())).changes).toEqual({
        same: made.changes?.["create"],
      });
  });
});
