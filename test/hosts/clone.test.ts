/**
 * A `DatabaseClone` on a booted Debian 12: the engine opens it over SSH beside production, with keys that only root can
 * read, and systemd closes it at the end of its life, also if the machine restarts in between.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DatabaseClone } from "../../components/databases/databaseClone";
import { PostgresHost } from "../../components/databases/postgresHost";
import { PosixRepository } from "../../components/repositories/posixRepository";
import { waitFor } from "../../tools/parts/process";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { stateTexts } from "../harness/compare/engineTexts";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { engineHostParts } from "../harness/hosts/parts";
import { prepareProgramFolder } from "../harness/programFolder";
import { loud } from "../harness/real/interopParts";
import { fuseMissing } from "../harness/real/openedBackup";

const TITLE = "a clone on a host";
const DATA = "/var/lib/postgresql/15/main";
const REPOSITORY = "/srv/repository";
const CLUSTER_UNIT = "postgresql@15-main";

describe(TITLE, async () => {
  const real = await engineHostParts(TITLE, ["bookworm"]);
  const missing = fuseMissing();
  if (real === null || missing !== null) {
    if (missing !== null) loud(TITLE, missing);
    test.skip("a part is missing", () => undefined);
    return;
  }
  const passphrase = `marker-${randomBytes(24).toString("hex")}`;
  let host: DebianHost;
  let programFolder: ProgramFolder;

  beforeAll(async () => {
    host = await startDebianHost(real.parts, { suite: "bookworm", name: "clone", fuse: true });
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0750", REPOSITORY]);
    programFolder = await prepareProgramFolder(mkdtempSync(join(tmpdir(), "pgb-clone-")), {
      cli: real.cli,
      passphrase: "state passphrase of the test",
    });
    await sql("CREATE TABLE customers AS SELECT i AS id, 'person@example.com' AS email FROM generate_series(1, 100) i");
  });
  afterAll(async () => {
    await host?.stop();
    if (programFolder !== undefined) rmSync(programFolder.folder, { recursive: true, force: true });
  });

  const sql = (statement: string): Promise<string> =>
    host.runOk(["runuser", "-u", "postgres", "--", "psql", "-XAtc", statement]);
  const open = (isCloned: boolean): Promise<Stack> =>
    openStack(programFolder, "clone", async () => {
      const repository = new PosixRepository("near", { path: REPOSITORY, cipher: { passphrase } });
      const db = new PostgresHost("db", {
        connection: {
          ssh: { ...host.ssh, user: "deploy", hostKeys: [...host.hostKeys], privateKey: host.keys.deploy },
        },
        dataDirectory: DATA,
        repositories: { repo1: { at: repository.target, keepDays: 7 } },
        schedules: { full: { cron: "0 3 * * 0" } },
        allowRestart: true,
        restartCommand: ["systemctl", "restart", CLUSTER_UNIT],
      });
      if (!isCloned) return {};
      const { connectionString, dataAgeSeconds } = new DatabaseClone("pr-123", {
        host: db.access,
        databases: ["postgres"],
        mask: ["UPDATE customers SET email = 'user' || id || '@test'"],
        lifetimeHours: 1,
      });
      return { connectionString, dataAgeSeconds };
    });
  const ask = async (url: string, statement: string): Promise<string> =>
    (await host.runOk(["psql", "-XAt", url, "-c", statement])).trim();
  const clones = async (): Promise<string> => (await host.run(["ls", "/var/lib/pgbackstop/clones"])).stdout.trim();

  // claim: docs/clones.md: a timer of systemd closes a clone at its end…
  test("is masked, reached by its role alone, and closed by systemd after a restart of the machine", async () => {
    await (await open(false)).up();
    const { outputs } = await (await open(true)).up();
    const url = String(outputs["connectionString"]?.value);
    expect(outputs["connectionString"]?.secret).toBe(true);
    expect(await ask(url, "SELECT count(*) FROM customers WHERE email LIKE '%@test'")).toBe("100");
    expect(await sql("SELECT count(*) FROM customers WHERE email LIKE '%@test'")).toContain("0");
    const password = new URL(url).password;
    expect(
      (await host.runOk(["sh", "-c", "ps axww; systemctl cat 'pgbackstop-clone-*'; journalctl"])).includes(password),
    ).toBe(false);
    for (const text of stateTexts(programFolder.folder)) expect(text).not.toContain(password);

    const timers = await host.runOk(["systemctl", "list-timers", "--all", "pgbackstop-clone-*"]);
    expect(timers).toMatch(/pgbackstop-clone-[0-9a-f]{12}\.timer/);
    const [timer = ""] = /pgbackstop-clone-[0-9a-f]{12}\.timer/.exec(timers) ?? [];
    // Its time passes while the machine is off.
    await host.powerOff();
    await host.powerOn();
    expect(await clones()).toMatch(/^pr-123-/);
    await host.runOk([
      "sh",
      "-c",
      `sed -i 's/^OnCalendar=.*/OnCalendar=2026-01-01 00:00:00 UTC/' /etc/systemd/system/${timer}
       touch -d '2025-12-31' /var/lib/systemd/timers/stamp-${timer}; systemctl daemon-reload; systemctl restart ${timer}`,
    ]);
    await waitFor("the end of the clone", 60_000, async () => ((await clones()) === "" ? true : null));
    // The timer goes last: until then it would try again.
    await waitFor("the end of its timer", 60_000, async () =>
      (await host.run(["systemctl", "cat", timer])).exitCode === 0 ? null : true,
    );
    const refreshed = await (await open(true)).refresh();
    expect(refreshed.stdout).toContain("is gone");
    await (await open(true)).destroy();
    expect(await sql("SELECT count(*) FROM customers")).toContain("100");
  }, 600_000);
});
