/**
 * A machine made in the same update: Debian boots 20 s after the update first asks for it, refuses logins while it
 * boots, and its cloud-init is still at work when sshd answers.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PostgresHost } from "../../components/databases/postgresHost";
import { PosixRepository } from "../../components/repositories/posixRepository";
import { sleep } from "../../tools/parts/process";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { failureOf } from "../harness/compare/engineTexts";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { engineHostParts } from "../harness/hosts/parts";

const BOOT_AFTER_MS = 20_000;
/** A double of cloud-init: at work until ten seconds after it was first asked. Debian's needs a cloud's metadata. */
const CLOUD_INIT = `#!/bin/sh
[ -e /run/asked ] || date +%s > /run/asked
at_work() { [ "$(date +%s)" -lt "$(($(cat /run/asked) + 10))" ]; }
if [ "$2" = --wait ]; then while at_work; do sleep 0.2; done; touch /run/cloud-init-ended; fi
if at_work; then echo 'status: running'; else echo 'status: done'; fi
`;

describe("a machine made in the same update", async () => {
  const parts = await engineHostParts("a machine made in the same update", ["trixie"]);
  if (parts === null) return;
  let host: DebianHost;
  let programFolder: ProgramFolder;
  beforeAll(async () => {
    host = await startDebianHost(parts, { suite: "trixie", name: "new-machine" });
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0750", "/srv/first"]);
    await host.runOk(["sh", "-c", 'cat > "$1" && chmod 755 "$1"', "sh", "/usr/local/bin/cloud-init"], {
      input: CLOUD_INIT,
    });
    expect(await host.powerOff()).toBe(0);
    programFolder = await makeProgramFolder();
  });
  afterAll(async () => {
    await host?.stop();
    removeProgramFolder(programFolder);
  });

  const open = (waitSeconds?: number) =>
    openStack(programFolder, "new-machine", async () => {
      const nas = new PosixRepository("nas", { path: "/srv/first" });
      const connection = {
        host: host.ssh.host,
        port: host.ssh.port,
        user: "deploy",
        privateKey: host.keys.deploy,
        hostKey: host.hostKeys[0] ?? "",
        ...(waitSeconds === undefined ? {} : { waitSeconds }),
      };
      const { firstBackup } = new PostgresHost("db", {
        connection,
        dataDirectory: "/var/lib/postgresql/17/main",
        repositories: { repo1: { at: nas.target, keepDays: 7 } },
        schedules: { full: { cron: "0 3 * * 0" } },
        allowRestart: true,
        restartCommand: ["systemctl", "restart", "postgresql@17-main"],
      });
      return { firstBackup };
    });

  test("a machine that never comes fails the update after the bound, with the reason", async () => {
    const beganMs = Date.now();
    const failure = await failureOf((await open(5)).up());
    expect(failure).toMatch(/unable to connect to 127\.0\.0\.1:\d+: /);
    expect(failure).toMatch(/waiting for 127\.0\.0\.1 \(\d of 5 s\): unable to connect/);
    expect(Date.now() - beganMs).toBeLessThan(60_000);
  });

  // claim: docs/hosts/connection.md: connections of `@pulumi/command`, and…
  test("an update waits for the boot and for cloud-init, and shows what it waits for", async () => {
    const lines: string[] = [];
    let boot: Promise<void> | undefined;
    const bootAfterwards = async (): Promise<void> => {
      await sleep(BOOT_AFTER_MS);
      await host.powerOn();
    };
    const { outputs } = await (await open()).up({
      onOutput: (text) => {
        lines.push(text);
        if (text.includes("waiting for 127.0.0.1")) boot ??= bootAfterwards();
      },
    });
    await boot;
    const text = lines.join("");
    expect(outputs["firstBackup"]?.value).toBe("taken");
    expect(text.match(/waiting for 127\.0\.0\.1 \(\d+ of 300 s\): unable to connect/g)?.length).toBeGreaterThan(3);
    expect(text).toMatch(/127\.0\.0\.1 answers after (2\d|[3-9]\d|1\d\d) s/);
    expect(text).toContain("waiting for cloud-init on 127.0.0.1, up to 300 s");
    const ended = Number(await host.runOk(["stat", "-c", "%Y", "/run/cloud-init-ended"]));
    const written = Number(await host.runOk(["stat", "-c", "%Y", "/etc/pgbackstop/pgbackrest.conf"]));
    expect(written).toBeGreaterThanOrEqual(ended);
  });

  test("a second update finds nothing to do", async () => {
    const { summary } = await (await open()).up();
    expect(Object.keys(summary.resourceChanges ?? {})).toEqual(["same"]);
  });
});
