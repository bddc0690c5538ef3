/**
 * One-shot actions on the real engine with the real provider of `@pulumi/command`: on this machine and over SSH, with
 * OpenSSH's server and PostgreSQL 17. No package registry has the provider: the tests are skipped if it is not on PATH.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { createServer, type AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupHold } from "../../components/actions/backupHold";
import { BackupNow, type BackupNowArgs } from "../../components/actions/backupNow";
import { CheckNow } from "../../components/actions/checkNow";
import { DrillNow } from "../../components/actions/drillNow";
import type { HostConnection } from "../../components/databases/hostArgs";
import { PostgresHost } from "../../components/databases/postgresHost";
import { PosixRepository } from "../../components/repositories/posixRepository";
import { findPostgres } from "../../tools/parts/postgres/postgres";
import { openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { findSshd, SftpServer } from "../../tools/parts/servers/sftpServer";
import { giveTo } from "../../tools/parts/users";
import { failureOf, stateTexts } from "../harness/compare/engineTexts";
import { STATE_PASSPHRASE } from "../harness/programFolder";
import { hasCommandProvider, skipped } from "../harness/real/interopParts";
import { LocalHost } from "./localHost";

const TITLE = "one-shot actions on hosts";
const TRIGGER = "a-trigger-that-nobody-may-read";

describe(TITLE, async () => {
  const server = await findSshd();
  // The PostgreSQL from npm has no programs for a drill.
  const postgres = await findPostgres(17);
  if ("missing" in server) return void skipped(TITLE, server.missing);
  if ("missing" in postgres) return void skipped(TITLE, postgres.missing);
  if (!(await hasCommandProvider(TITLE))) return test.skip("a part is missing", () => undefined);
  let host: LocalHost;
  let sshd: SftpServer;
  const printed: string[] = [];

  beforeAll(async () => {
    host = await LocalHost.create({}, postgres.binaries);
    sshd = await SftpServer.create();
    mkdirSync(host.path("drills"));
    // Links to the programs that run here. Another installation would need the path of its libraries.
    mkdirSync(host.path("programs"));
    for (const name of ["pg_controldata", "pg_ctl", "postgres", "psql"])
      symlinkSync(join(postgres.binaries.folder, name), host.path("programs", name));
    giveTo(host.path("drills"), host.cluster.user);
  });
  afterAll(async () => {
    await sshd?.remove();
    await host?.remove();
  });

  /** Over SSH as PostgreSQL's account; the key and the host key are those of `Command`'s form. */
  const overSsh = (over: Partial<HostConnection> = {}): HostConnection => ({
    host: sshd.host,
    port: sshd.port,
    user: host.cluster.user.name,
    privateKey: readFileSync(sshd.clientKeyFile, "utf8"),
    hostKey: sshd.hostKey(),
    ...over,
  });

  const open = (
    declare: (db: PostgresHost) => Record<string, unknown>,
    drillPath = host.path("drills"),
  ): Promise<Stack> =>
    openStack(host.programFolder, "actions", async () => {
      const nas = new PosixRepository("nas", { path: host.nasPath });
      const db = new PostgresHost("db", {
        ...host.settings().host,
        connection: { local: {} },
        dataDirectory: host.cluster.dataPath,
        repositories: { repo1: { at: nas.target, keepFullCount: 9 } },
        schedules: { full: { cron: "30 2 * * *" } },
        drills: { proof: { cron: "0 5 1 * *", path: drillPath } },
      });
      return declare(db);
    });

  const up = async (stack: Stack): Promise<{ outputs: Record<string, string>; changes: object; text: string }> => {
    const { outputs, stdout, summary } = await stack.up();
    printed.push(stdout);
    const values = Object.entries(outputs).map(([name, { value }]) => [name, String(value)]);
    return {
      outputs: Object.fromEntries(values) as Record<string, string>,
      changes: summary.resourceChanges ?? {},
      text: stdout,
    };
  };
  const backups = (): string[] =>
    readdirSync(join(host.nasPath, "backup", "main")).filter((name) => /^\d{8}-\d{6}F/.test(name));
  const backup = (db: PostgresHost, connection: HostConnection, over: Partial<BackupNowArgs> = {}): BackupNow =>
    new BackupNow("now", { host: { ...db.access, connection }, type: "incr", ...over });

  // claim: docs/hosts/backup-now.md: `BackupNow` on a host…
  test("a backup runs once, again when a trigger changes, and not when only the command's spelling changes", async () => {
    const runtime = join(host.programFolder.folder, "runtime.sh");
    const count = `${runtime}.count`;
    const calls = `${runtime}.calls`;
    const lines = [
      "#!/bin/sh",
      `echo "$@" >> ${calls}`,
      `[ "$(cat ${count} 2>/dev/null)" != broken ] || { echo "ERROR: [055]: raised from here"; exit 55; }`,
      `echo "P00   INFO: new backup label = 20261120-06530$(cat ${count} 2>/dev/null || echo 0)F"`,
    ];
    writeFileSync(runtime, `${lines.join("\n")}\n`, { mode: 0o755 });
    const called = (): string[] => (existsSync(calls) ? readFileSync(calls, "utf8").trim().split("\n") : []);
    const declare = (args: Partial<BackupNowArgs>, arg = "--stanza=main"): Promise<Stack> =>
      openStack(host.programFolder, "now", async () => {
        const own = {
          connection: { local: {} },
          user: userInfo().username,
          runtimeArgv: pulumi.output([runtime, arg]),
        };
        const triggers = args.triggers === undefined ? {} : { triggers: [...args.triggers, pulumi.secret(TRIGGER)] };
        return { label: new BackupNow("now", { host: own, ...args, ...triggers }).label };
      });
    const shown = await (await declare({})).preview({ diff: true });
    expect(shown.stdout).toContain("backup --type=full");
    expect(called()).toEqual([]);
    const first = await (await declare({})).up();
    expect(first.outputs["label"]).toEqual({ value: "20261120-065300F", secret: false });
    expect(first.stdout).toContain("new backup label = 20261120-065300F");
    expect(called()).toEqual(["--stanza=main --log-level-console=info backup --type=full"]);
    expect((await (await declare({}, "--stanza=other")).up()).summary.resourceChanges).toEqual({ same: 3 });
    expect(called()).toHaveLength(1);

    const again = { triggers: ["v2"], repositories: ["repo2", "repo3"] };
    writeFileSync(count, "broken");
    expect(await failureOf((await declare(again)).up(), printed)).toMatch(
      /raised from here[^]*unable to take the full backup: exit code 55/,
    );
    writeFileSync(count, "1");
    const mended = await (await declare(again)).up();
    expect(mended.outputs["label"]?.value).toBe("20261120-065301F");
    expect(mended.summary.resourceChanges).toMatchObject({ replace: 1 });
    // The failed update made the first call. The next update made one for each repository.
    const repositories = called().map((line) => line.split(" ").at(-1));
    expect(repositories.slice(1)).toEqual(["--repo=2", "--repo=2", "--repo=3"]);
    expect(stateTexts(host.programFolder.folder).join("\n")).not.toContain(TRIGGER);
    await (await declare(again)).destroy();
    expect(called()).toHaveLength(4);
  });

  // claim: docs/hosts/backup-now.md: `CheckNow` and `DrillNow`; a rotated key takes no backup, the next one uses it; a
  //   wrong host key is refused
  // claim: docs/retention.md: `BackupHold` holds a backup during an update; destroying it leaves the hold
  test("on this machine, a check, a backup and a drill run with the host's own runtime, and show their lines", async () => {
    const actions = (db: PostgresHost): Record<string, unknown> => {
      const now = new BackupNow("here", { host: db.access, type: "full", triggers: ["v1"] });
      const check = new CheckNow("check", { host: db.access, triggers: [now.label] });
      const drill = new DrillNow("drill", {
        host: db.access,
        drill: "proof",
        binDirectory: host.path("programs"),
        level: "quick",
        triggers: [now.label],
      });
      const hold = new BackupHold("audit", { host: db.access, backup: now.label, reason: "the audit's copy" });
      return { label: now.label, check: check.report, drill: drill.report, hold: hold.report };
    };
    const made = await up(await open(actions));
    expect(made.outputs["label"]).toMatch(/^\d{8}-\d{6}F$/);
    expect(backups()).toContain(made.outputs["label"]);
    expect(made.outputs["hold"]).toContain(
      `backup ${made.outputs["label"]} of repo1: held: the audit's copy (until release)`,
    );
    expect(made.outputs["check"]).toContain("repo1: configuration and archive are valid");
    expect(made.outputs["drill"]).toMatch(/main: drill \S+ of repo1: passed/);
    expect(made.text).toContain(`new backup label = ${made.outputs["label"]}`);
    const count = backups().length;
    const again = await up(await open(actions));
    expect(Object.keys(again.changes)).toEqual(["same"]);
    expect(backups()).toHaveLength(count);
    await up(await open(() => ({})));
    expect(backups()).toHaveLength(count);
    const info = readFileSync(join(host.nasPath, "backup", "main", "backup.info"), "utf8");
    expect(info).toContain('"pgbackstop-hold":"the audit\'s copy"');
  });

  // claim: docs/hosts/backup-now.md: `CheckNow` and `DrillNow`; a…
  test("over SSH another host key is refused before anything runs", async () => {
    const wrong = `${await sshd.makeKey("other", "ed25519")}.pub`;
    const count = backups().length;
    const hostKey = readFileSync(wrong, "utf8");
    const connection = overSsh({ hostKey, dialErrorLimit: 0 });
    const failure = await failureOf((await open((db) => ({ label: backup(db, connection).label }))).up(), printed);
    expect(failure).toContain("ssh: host key mismatch");
    expect(backups()).toHaveLength(count);
  });

  // claim: docs/hosts/backup-now.md: a host that accepts…
  test("over SSH a host that accepts connections and says nothing fails a command that must run, and no other", async () => {
    const taken = await up(await open((db) => ({ label: backup(db, overSsh(), { triggers: ["silent"] }).label })));
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const limits = {
      host: "127.0.0.1",
      port: (silent.address() as AddressInfo).port,
      perDialTimeout: 1,
      waitSeconds: 2,
    };
    try {
      const declare = (trigger: string) => (db: PostgresHost) => ({
        label: backup(db, overSsh(limits), { triggers: [trigger] }).label,
      });
      const kept = await up(await open(declare("silent")));
      expect(kept.outputs["label"]).toBe(taken.outputs["label"]);
      expect(kept.text).toContain("accepts connections and has sent nothing for 1 s");
      // Without the check the provider waits for the greeting until somebody stops the update.
      expect(await failureOf((await open(declare("again"))).up(), printed)).toContain("failed to parse host key");
    } finally {
      silent.close();
    }
  });

  // claim: docs/hosts/backup-now.md: `CheckNow` and `DrillNow`; a…
  test("over SSH a backup is taken once, and again only when a trigger changes", async () => {
    const taken = await up(await open((db) => ({ label: backup(db, overSsh(), { triggers: ["v1"] }).label })));
    expect(taken.outputs["label"]).toMatch(/^\d{8}-\d{6}F_\d{8}-\d{6}I$/);
    expect(taken.text).toContain(`new backup label = ${taken.outputs["label"]}`);
    const count = backups().length;
    const same = await up(await open((db) => ({ label: backup(db, overSsh(), { triggers: ["v1"] }).label })));
    expect(Object.keys(same.changes)).toEqual(["same"]);

    // A rotated key, another kind and another limit take none.
    const rotated = readFileSync(await sshd.makeKey("rotated", "ed25519"), "utf8");
    const next = overSsh({ privateKey: rotated, hostKey: sshd.hostKey("ecdsa"), dialErrorLimit: 1 });
    const changed: Partial<BackupNowArgs> = { type: "full", timeoutMinutes: 7 };
    const kept = await up(await open((db) => ({ label: backup(db, next, { ...changed, triggers: ["v1"] }).label })));
    expect(kept.changes).not.toHaveProperty("replace");
    expect(kept.outputs["label"]).toBe(taken.outputs["label"]);
    expect(backups()).toHaveLength(count);

    // The next one uses the new key: the old one no longer signs in.
    writeFileSync(join(sshd.folder, "authorized_keys"), readFileSync(join(sshd.folder, "rotated.pub")));
    const again = await up(await open((db) => ({ label: backup(db, next, { ...changed, triggers: ["v2"] }).label })));
    expect(again.outputs["label"]).toMatch(/^\d{8}-\d{6}F$/);
    expect(backups()).toHaveLength(count + 1);
    sshd.allow("client");
  });

  test("a backup that fails fails the update with the runtime's own reason, and the next update tries again", async () => {
    const declare = (repository: string) => (db: PostgresHost) => ({
      label: backup(db, overSsh(), { repositories: [repository], triggers: ["v3"] }).label,
    });
    const failure = await failureOf((await open(declare("repo9"))).up(), printed);
    expect(failure).toContain("key '9' is not valid");
    expect(failure).toContain("unable to take the incr backup: exit code 32");
    const count = backups().length;
    await up(await open(declare("repo1")));
    expect(backups()).toHaveLength(count + 1);
  });

  test("the state and the output have no key and no passphrase, and a destroy leaves the backups", async () => {
    const lines = ["client", "rotated"].map(
      (name) => readFileSync(join(sshd.folder, name), "utf8").split("\n")[2] ?? "",
    );
    const secrets = [...lines, STATE_PASSPHRASE];
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(20);
      expect([...printed, ...stateTexts(host.programFolder.folder)].filter((text) => text.includes(secret))).toEqual(
        [],
      );
    }
    const count = backups().length;
    await (await open(() => ({}))).destroy();
    expect(backups()).toHaveLength(count);
    expect(existsSync(host.path("etc"))).toBe(false);
  });
});
