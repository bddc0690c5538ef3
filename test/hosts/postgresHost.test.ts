/**
 * `PostgresHost` over SSH on the real engine: a Debian with its own PostgreSQL, a login that becomes root with sudo,
 * and everything that an update installs. Both repositories are directories of the host. Other tests cover other kinds
 * of repositories.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupNow } from "../../components/actions/backupNow";
import type { SshConnection } from "../../components/databases/hostArgs";
import { PostgresHost } from "../../components/databases/postgresHost";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { failureOf, stateTexts } from "../harness/compare/engineTexts";
import { twoDirectories } from "../harness/hosts/declaredHost";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { engineHostParts } from "../harness/hosts/parts";
import { hasCommandProvider } from "../harness/real/interopParts";
import { NIGHTLY } from "../../tools/parts/nightly";

const DATA = "/var/lib/postgresql/17/main";

describe("a host behind SSH", async () => {
  const parts = await engineHostParts("PostgresHost over SSH", ["trixie"]);
  if (parts === null) return;
  let host: DebianHost;
  let programFolder: ProgramFolder;
  const printed: string[] = [];
  beforeAll(async () => {
    host = await startDebianHost(parts, { suite: "trixie", name: "over-ssh" });
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0750", "/srv/first", "/srv/second"]);
    programFolder = await makeProgramFolder();
  });
  afterAll(async () => {
    await host?.stop();
    removeProgramFolder(programFolder);
  });

  const reach = (over: Partial<SshConnection> = {}): SshConnection => ({
    ...host.ssh,
    user: "deploy",
    hostKeys: [...host.hostKeys],
    privateKey: host.keys.deploy,
    ...over,
  });
  const program = (ssh: SshConnection, keepDays = 7): PostgresHost => {
    return new PostgresHost("db", {
      connection: { ssh },
      dataDirectory: DATA,
      stanza: "main",
      repositories: twoDirectories(keepDays),
      schedules: { full: { cron: "0 3 * * 0", timeZone: "UTC" } },
      allowRestart: true,
      archiveTimeoutSeconds: 60,
    });
  };
  const open = (ssh: SshConnection, keepDays?: number): Promise<Stack> =>
    openStack(programFolder, "over-ssh", async () => {
      const { destinations, firstBackup, pendingRestart, timersEnabled } = program(ssh, keepDays);
      return { destinations, firstBackup, pendingRestart, timersEnabled };
    });
  const up = async (stack: Stack): Promise<{ outputs: Record<string, unknown>; changes: object; text: string }> => {
    const { outputs, stdout, summary } = await stack.up();
    printed.push(stdout);
    const values = Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value as unknown]));
    return { outputs: values, changes: summary.resourceChanges ?? {}, text: stdout };
  };
  const files = (): Promise<string> =>
    host.runOk([
      "sh",
      "-c",
      "find /etc/pgbackstop /usr/local/lib/pgbackstop /etc/systemd/system/pgbackstop* -type f -exec stat -c '%n %i %Y %a %U' {} + 2>/dev/null | sort",
    ]);

  test.each([
    ["with another key", () => ({ hostKeys: [`SHA256:${"A".repeat(43)}`] }), "instead of the expected key "],
    [
      "with an unknown key",
      () => ({ hostKeys: [], knownHostsFiles: ["/nowhere"] }),
      "is unknown (/nowhere do not list it; the host presented ",
    ],
    [
      "where the login may not become root",
      () => ({ user: "nosudo", privateKey: host.keys.nosudo }),
      "nosudo cannot become root on 127.0.0.1 through sudo without a password",
    ],
    ["where the login is unknown", () => ({ user: "stranger" }), "does not let stranger sign in"],
  ])("%s is refused, and nothing is written there", async (_title, over, args) => {
    const stack = await open(reach(over()));
    const failure = await failureOf(stack.up(), printed);
    expect(failure).toContain(args);
    expect(await files()).toBe("");
    await stack.destroy();
  });

  // claim: README.md: a host behind SSH: its key must be known, the login's key is stored nowhere in plain text, one
  //   update brings two backups, a second one writes nothing
  test.runIf(NIGHTLY)("gets configuration, timers and a first backup in both repositories by one update", async () => {
    const { outputs } = await up(await open(reach()));
    expect(outputs).toMatchObject({ firstBackup: "taken", pendingRestart: false, timersEnabled: true });
    expect(String(outputs["destinations"]).match(/"label":"\d{8}-\d{6}F"/g)).toHaveLength(2);
    expect(await host.runOk(["systemctl", "list-timers", "--no-legend", "--all"])).toContain(
      "pgbackstop-main-full.timer",
    );
    expect(await host.runOk(["runuser", "-u", "postgres", "--", "psql", "-Atc", "show archive_mode"])).toBe("on\n");
  });

  // claim: README.md: a host behind SSH…
  test.runIf(NIGHTLY)("is unchanged by a second update", async () => {
    const before = await files();
    const { changes } = await up(await open(reach()));
    expect(Object.keys(changes)).toEqual(["same"]);
    expect(await files()).toBe(before);
  });

  test.runIf(NIGHTLY)("previews the exact line of a change, and only that file changes", async () => {
    const stack = await open(reach(), 9);
    const { stdout } = await stack.preview({ diff: true });
    printed.push(stdout);
    expect(stdout).toMatch(/repo1-retention-full=(7|9)/);
    const owners = (): Promise<string> => host.runOk(["cat", "/etc/pgbackstop/owners"]);
    const before = { files: (await files()).split("\n"), owners: await owners() };
    await up(stack);
    const changed = (await files()).split("\n").filter((line) => !before.files.includes(line));
    expect(changed.map((line) => line.split(" ")[0])).toEqual([
      "/etc/pgbackstop/owners",
      "/etc/pgbackstop/pgbackrest.conf",
    ]);
    // Only for the time of the update, it says that one runs.
    expect(await owners()).toBe(before.owners);
  });

  test.runIf(NIGHTLY)("shows a manual change in a refresh, and an update repairs it", async () => {
    await host.runOk(["sh", "-c", "echo '# by hand' >> /etc/pgbackstop/pgbackrest.conf"]);
    const stack = await open(reach(), 9);
    const { stdout } = await stack.refresh();
    printed.push(stdout);
    expect(stdout).toContain("changed by hand: /etc/pgbackstop/pgbackrest.conf: content changed");
    await up(stack);
    expect(await host.runOk(["tail", "-n", "1", "/etc/pgbackstop/pgbackrest.conf"])).not.toContain("by hand");
  });

  test.runIf(NIGHTLY)("is reached by another login and key without being recreated", async () => {
    const key = join(programFolder.folder, "root-key");
    writeFileSync(key, host.keys.root, { mode: 0o600 });
    const { privateKey: _key, ...others } = reach();
    const { changes } = await up(await open({ ...others, user: "root", privateKeyFile: key }, 9));
    expect(changes).toMatchObject({ update: 1 });
    expect(changes).not.toHaveProperty("replace");
  });

  // claim: docs/hosts/backup-now.md: `BackupNow` on a host behind SSH and on this machine: once, again by a trigger,
  //   with the reason when it fails (the real provider of `@pulumi/command`, needed on PATH)
  test.runIf(NIGHTLY)(
    "gets a backup when an update requests one, with its progress, and with the reason if it fails",
    async ({ skip }) => {
      if (!(await hasCommandProvider("a backup of a host by an update"))) skip();
      const now = (trigger: string, repositories: string[]): Promise<Stack> =>
        openStack(programFolder, "over-ssh", async () => {
          const db = program(reach(), 9);
          return {
            label: new BackupNow("now", { host: db.access, type: "incr", repositories, triggers: [trigger] }).label,
          };
        });
      const taken = await up(await now("v1", ["repo2"]));
      const label = String(taken.outputs["label"]);
      expect(label).toMatch(/^\d{8}-\d{6}F_\d{8}-\d{6}I$/);
      expect(taken.text).toContain(`new backup label = ${label}`);
      expect(await host.runOk(["ls", "/srv/second/backup/main"])).toContain(label);
      expect(await host.runOk(["ls", "/srv/first/backup/main"])).not.toContain(label);
      expect((await up(await now("v1", ["repo1"]))).changes).not.toHaveProperty("replace");
      expect(await failureOf((await now("v2", ["repo9"])).up(), printed)).toMatch(
        /key '9' is not valid[^]*unable to take the incr backup: exit code 32/,
      );
      await up(await now("v3", ["repo1"]));
    },
  );

  test.runIf(NIGHTLY)("keeps its repositories and a working PostgreSQL when it is destroyed", async () => {
    const stack = await open(reach(), 9);
    await up(stack);
    const { stdout } = await stack.destroy();
    printed.push(stdout);
    expect(
      (await host.runOk(["sh", "-c", "ls /srv/first/backup/main /srv/second/backup/main"])).match(/\d{8}-\d{6}F/g)
        ?.length,
    ).toBeGreaterThanOrEqual(2);
    expect(await host.runOk(["runuser", "-u", "postgres", "--", "psql", "-Atc", "select 1"])).toBe("1\n");
    expect(await files()).toBe("");
  });

  // claim: README.md: a host behind SSH…
  test.runIf(NIGHTLY)("has no trace of its login's key in output, state or files", async () => {
    const line = host.keys.deploy.split("\n")[2] ?? "";
    expect(line.length).toBeGreaterThan(30);
    expect([...printed, ...stateTexts(programFolder.folder)].filter((text) => text.includes(line))).toEqual([]);
    expect((await host.run(["grep", "-rlF", line, "/etc", "/usr/local", "/var/lib", "/tmp"])).stdout).toBe("");
  });
});
