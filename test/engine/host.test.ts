/**
 * `PostgresHost` on the real engine: PostgreSQL 18, a directory and a bucket as repositories, and this package's
 * runtime.
 */
// claim: README.md: preview shows each file's change; a second `up` changes nothing; `refresh` detects manual changes;
//   `destroy` restores settings and leaves repositories
// claim: README.md: no secret in command lines, logs, state, rendered files or topology
import { spawn } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type GivenInputs, readInputs } from "../../components/dynamic/host";
import { type BriefFile, wholeFiles } from "../../components/host/briefFiles";
import { runbookOf } from "../../components/plan/runbook/databaseRunbook";
import type { Topology } from "../../components/plan/topology/topology";
import type { LocalOutputs, LocalSettings } from "../../examples/local/program";
import { run, runOk } from "../../tools/parts/process";
import { loadExample, openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { failureOf, stateTexts } from "../harness/compare/engineTexts";
import { LocalHost } from "./localHost";
import { NIGHTLY } from "../../tools/parts/nightly";

/** The value that ALTER SYSTEM had set before. A destroy must restore its quotes and backslashes exactly. */
const PREVIOUS_COMMAND = `echo 'it''s "mine" \\ 100%%' && false`;

let host: LocalHost;
let program: (settings: LocalSettings) => LocalOutputs;
let passphrase = "";
/** All output of the engine, for the search for secrets at the end. */
const printed: string[] = [];

beforeAll(async () => {
  host = await LocalHost.create();
  await host.cluster.alterSystem({ archive_command: PREVIOUS_COMMAND });
  ({ program } = await loadExample<{ program: (settings: LocalSettings) => LocalOutputs }>(
    host.programFolder,
    "local",
  ));
});
afterAll(() => host?.remove());

function open(settings = host.settings()): Promise<Stack> {
  return openStack(host.programFolder, "test", async () => program(settings));
}

/** The output of a preview, its counts, and the host's files: path to mode, owner and text. */
async function preview(
  stack: Stack,
  diff = false,
): Promise<{ text: string; changes: object; files: Record<string, BriefFile> }> {
  let files = {};
  const { stdout, stderr, changeSummary } = await stack.preview({
    diff,
    onEvent: (event) => {
      const metadata = event.resourcePreEvent?.metadata;
      if (metadata?.type.endsWith("HostState") === true)
        ({ files } = readInputs(metadata.new?.inputs as object as GivenInputs));
    },
  });
  printed.push(stdout, stderr, JSON.stringify(files));
  // With a diff, the engine prints messages separately.
  return { text: `${stdout}\n${stderr}`, changes: changeSummary, files };
}

async function up(stack: Stack): Promise<{ text: string; changes: object; outputs: Record<string, unknown> }> {
  const result = await stack.up();
  printed.push(result.stdout);
  const outputs = Object.fromEntries(
    Object.entries(result.outputs).map(([name, output]) => [name, output.value as unknown]),
  );
  return { text: result.stdout, changes: result.summary.resourceChanges ?? {}, outputs };
}

function expectAll(text: string, parts: readonly string[]): void {
  for (const part of parts) expect(text).toContain(part);
}

async function info(): Promise<{ backup: { label: string; database: { "repo-key": number } }[] }[]> {
  const argv = [
    host.path("lib", "runtime.cjs"),
    `--config-path=${host.path("etc")}`,
    "--stanza=main",
    "--output=json",
    "info",
  ];
  const { stdout, exitCode } = await run(host.nodePath, argv, { user: host.cluster.user });
  expect(exitCode).toBe(0);
  return JSON.parse(stdout) as { backup: { label: string; database: { "repo-key": number } }[] }[];
}

test("a preview on an empty host shows every file with its text, secrets hidden, and touches nothing", async () => {
  const { text, changes, files } = await preview(await open(), true);
  expect(changes).toEqual({ create: 7 });
  expectAll(text, [
    host.path("etc", "pgbackrest.conf"),
    'archive_mode   : "on"',
    'location     : "s3://pgbackstop/pgbackrest"',
  ]);
  const shown = wholeFiles(files).map(([path, { text: shownText }]): [string, string] => [
    path.slice(host.folder.length + 1),
    shownText,
  ]);
  const texts = Object.fromEntries(shown);
  expect(Object.keys(texts).sort()).toEqual([
    "etc/conf.d/repo2-credentials.conf",
    "etc/pgbackrest.conf",
    "etc/pgbackstop.json",
    "units/pgbackstop-main-full.service",
    "units/pgbackstop-main-full.timer",
  ]);
  expect(texts["etc/conf.d/repo2-credentials.conf"]).toMatchObject({ ciphertext: "[secret]" });
  expect(texts["etc/pgbackrest.conf"]).toContain(`repo1-path=${host.nasPath}\n`);
  expect(texts["etc/pgbackrest.conf"]).toContain("repo2-s3-bucket=pgbackstop\n");
  expect(texts["units/pgbackstop-main-full.timer"]).toContain("OnCalendar=*-*-* 02:30:00 UTC\n");
  for (const name of ["etc", "lib", "units", "nas"]) expect(existsSync(host.path(name))).toBe(false);
  expect(await host.cluster.value("SHOW archive_mode")).toBe("off");
});

test("an update brings files, settings, stanza and one backup into both repositories", async () => {
  const { changes, outputs, text } = await up(await open());
  passphrase = String(outputs.passphrase);
  expect(changes).toEqual({ create: 7 });
  expect(outputs).toMatchObject({ firstBackup: "taken", pendingRestart: false, timersEnabled: false });
  expectAll(text, ["taking the first backup", "new backup label = ", "timers are written to", "but not enabled"]);
  expect(passphrase).toMatch(/^[A-Za-z0-9+/]{64}$/);

  expect(host.restarts).toBe(1);
  expect(await host.cluster.value("SHOW archive_mode")).toBe("on");
  expect(await host.cluster.value("SHOW archive_command")).toContain("pgbackrest");
  const backups = (await info()).flatMap((stanza) => stanza.backup);
  expect(backups.map((backup) => backup.database["repo-key"]).sort((left, right) => left - right)).toEqual([1, 2]);
  expect(new Set(backups.map((backup) => backup.label)).size).toBe(1);

  const credentials = statSync(host.path("etc", "conf.d", "repo2-credentials.conf"));
  expect([credentials.mode & 0o7777, credentials.uid]).toEqual([0o600, host.cluster.user.uid]);
  expect(statSync(host.path("etc", "conf.d")).mode & 0o7777).toBe(0o700);
  expect(readFileSync(host.path("etc", "conf.d", "repo2-credentials.conf"), "utf8")).toContain(
    `repo2-cipher-pass=${passphrase}`,
  );
  expect(JSON.parse(String(outputs.topology))).toMatchObject({
    version: 1,
    repositories: [
      { key: 1, kind: "posix", encrypted: false, keepDays: 7 },
      { key: 2, kind: "s3", encrypted: true, keepDays: 60 },
    ],
  });
});

test("a second update changes nothing: no inode, no time, no restart", async () => {
  const before = host.fingerprint();
  // Six files, the names of the components that declare the host, and V8's code cache of the program.
  expect(Object.keys(before)).toHaveLength(8);
  const stack = await open();
  expect((await up(stack)).changes).toEqual({ same: 7 });
  const refreshed = await stack.refresh();
  expect(refreshed.summary.resourceChanges).toEqual({ same: 7 });
  if (NIGHTLY) {
    expect((await preview(stack)).changes).toEqual({ same: 7 });
    expect((await up(stack)).changes).toEqual({ same: 7 });
  }
  expect(host.fingerprint()).toEqual(before);
  expect(host.restarts).toBe(1);
});

test("a changed schedule shows as the change of its timer and of what check expects, and only these files are written", async () => {
  const before = host.fingerprint();
  const record = readFileSync(host.path("etc", "owners"), "utf8");
  const settings = host.settings({ schedules: { full: { cron: "45 3 * * 6", timeZone: "Europe/Berlin" } } });
  const stack = await open(settings);
  const shown = await preview(stack, true);
  expect(shown.changes).toEqual({ same: 5, update: 2 });
  expectAll(shown.text, ["- OnCalendar=*-*-* 02:30:00 UTC", "+ OnCalendar=Sat *-*-* 03:45:00 Europe/Berlin"]);
  expect((await up(stack)).changes).toEqual({ same: 5, update: 2 });
  const after = host.fingerprint();
  const changed = Object.keys(after).filter((path) => after[path] !== before[path]);
  // The record has a mark while an update works.
  expect(changed).toEqual(["etc/owners", "etc/pgbackstop.json", "units/pgbackstop-main-full.timer"]);
  expect(readFileSync(host.path("etc", "owners"), "utf8")).toBe(record);
  await up(await open());
});

test.runIf(NIGHTLY)("options of pgBackRest take effect, and a preview refuses bad ones", async () => {
  const options = { "log-level-file": "detail", "backup:process-max": "1" };
  const stack = await open(host.settings({ options }));
  // The host, and its topology, which has the options.
  expect((await up(stack)).changes).toEqual({ same: 5, update: 2 });
  const conf = readFileSync(host.path("etc", "pgbackrest.conf"), "utf8");
  expectAll(conf, ["log-level-file=detail\n", "[global:backup]\nprocess-max=1\n"]);
  const runtime = [host.path("lib", "runtime.cjs"), `--config-path=${host.path("etc")}`, "--stanza=main"];
  await runOk(host.nodePath, [...runtime, "--type=incr", "backup"], { user: host.cluster.user });
  expect(readFileSync(host.path("log", "main-backup.log"), "utf8")).toContain(" DETAIL: ");

  const bad = { "log-levle-file": "detail", "protocol-timeout": "soon", "process-max": "4", "repo2-s3-key": "marker" };
  const failure = await failureOf((await open(host.settings({ options: bad }))).preview());
  expectAll(failure, [
    "PB170 options.log-levle-file: pgBackRest has no option log-levle-file; did you mean log-level-file?",
    "PB170 options.protocol-timeout: 'soon' is not valid",
    "PB170 options.process-max: process-max is decided by processMax; set processMax",
    "PB170 options.repo2-s3-key: ",
  ]);
  expect(failure).not.toContain("marker");
  await up(await open());
});

test.runIf(NIGHTLY)("a refresh shows a manual change, and an update repairs it", async () => {
  const conf = host.path("etc", "pgbackrest.conf");
  const secretFile = host.path("etc", "conf.d", "repo2-credentials.conf");
  const good = readFileSync(conf, "utf8");
  writeFileSync(conf, good.replace("repo1-retention-full=7", "repo1-retention-full=1"));
  chmodSync(secretFile, 0o644);
  rmSync(host.path("units", "pgbackstop-main-full.service"));
  await host.cluster.alterSystem({ archive_command: "/bin/true marker-by-hand" });
  await host.cluster.waitForValue("SHOW archive_command", "/bin/true marker-by-hand");

  const stack = await open();
  const refreshed = await stack.refresh();
  printed.push(refreshed.stdout);
  expect(refreshed.summary.resourceChanges).toEqual({ same: 6, update: 1 });
  expectAll(refreshed.stdout, [
    `changed by hand: ${conf}: content changed`,
    `changed by hand: ${secretFile}: mode 0600 → 0644`,
    `changed by hand: ${host.path("units", "pgbackstop-main-full.service")}: missing`,
    "changed by hand: archive_command: another value",
  ]);
  expect(stateTexts(host.programFolder.folder).join("\n")).not.toContain("marker-by-hand");
  const shown = await preview(stack, true);
  expect(shown.changes).toEqual({ same: 6, update: 1 });
  expect(shown.text).toContain(`changed by hand: ${conf}: content changed`);

  expect((await up(stack)).changes).toEqual({ same: 6, update: 1 });
  expect(readFileSync(conf, "utf8")).toBe(good);
  expect(statSync(secretFile).mode & 0o7777).toBe(0o600);
  expect(existsSync(host.path("units", "pgbackstop-main-full.service"))).toBe(true);
  expect(await host.cluster.value("SHOW archive_command")).toContain("archive-push");
  expect((await preview(stack)).changes).toEqual({ same: 7 });
});

test.runIf(NIGHTLY)("an update that fails half-way says why, keeps its state, and the next one continues", async () => {
  chmodSync(host.nasPath, 0);
  const settings = host.settings({ processMax: 3 });
  const failure = await failureOf((await open(settings)).up());
  printed.push(failure);
  expect(failure).toContain("unable to create the stanza");
  chmodSync(host.nasPath, 0o750);
  const stack = await open(settings);
  expect((await up(stack)).changes).toEqual({ same: 6, update: 1 });
  if (NIGHTLY) expect((await up(stack)).changes).toEqual({ same: 7 });
  expect(readFileSync(host.path("etc", "pgbackrest.conf"), "utf8")).toContain("process-max=3");
});

test.runIf(NIGHTLY)("two updates of one host exclude each other", async () => {
  // Longer than an update waits on any machine.
  const holder = spawn("flock", ["--no-fork", host.path("etc"), "sleep", "600"]);
  const isFree = async (): Promise<boolean> =>
    (await run("flock", ["--nonblock", host.path("etc"), "true"])).exitCode === 0;
  await expect.poll(isFree, { timeout: 60_000 }).toBe(false);
  const failure = await failureOf((await open(host.settings({ processMax: 4 }))).up());
  expect(failure).toContain(`another update of ${host.path("etc")} is running on this machine`);
  holder.kill();
});

test("all mistakes in the arguments are reported at once", async () => {
  const settings = {
    ...host.settings({ schedules: { full: { cron: "0 3 * *" } }, stanza: "no good" }),
    nasPath: "relative",
  };
  const failure = await failureOf((await open(settings)).preview());
  expectAll(failure, ["PB011 schedules.full.cron", "PB013 stanza", "PB014 repositories.repo1.at.path"]);
});

/** Uses pg_ctl: the runbook's commands restart this server too, so it is not a child of this process. */
async function pgCtl(...args: readonly string[]): Promise<void> {
  const { binaries, dataPath, port, socketPath, user } = host.cluster;
  const options = [
    "-o",
    `-c unix_socket_directories=${socketPath} -c port=${port} -c listen_addresses=`,
    "-l",
    host.path("server.log"),
  ];
  await runOk(
    join(binaries.folder, "pg_ctl"),
    [...args, "-D", dataPath, "-w", ...(args[0] === "start" ? options : [])],
    {
      user,
      cwd: host.folder,
    },
  );
}

// claim: docs/runbook.md: the runbook of hosts…
test.runIf(NIGHTLY)(
  "the runbook of this machine, command by command, ends with every row and fully readable repositories",
  async () => {
    const { cluster } = host;
    const { outputs } = await up(await open());
    const { scenarios } =
      runbookOf(JSON.parse(String(outputs["topology"])) as Topology) ?? expect.fail("there is no runbook");
    /** Runs each command as the account that sudo would switch to, and returns the output. */
    const carryOut = async (id: string, args: Readonly<Record<string, string>> = {}): Promise<string> => {
      const { steps } = scenarios.find((one) => one.id === id) ?? expect.fail(`there is no ${id}`);
      const output: string[] = [];
      for (const command of steps.filter(({ isOptional }) => isOptional !== true).flatMap(({ commands }) => commands)) {
        const line = Object.entries(args).reduce((text, [arg, value]) => text.replaceAll(`<${arg}>`, value), command);
        const [, account, rest = line] = /^sudo (?:-u (\S+) )?(.*)$/.exec(line) ?? [];
        if (line === "pulumi up") await up(await open());
        else {
          const options = line.startsWith("pulumi ")
            ? { env: host.programFolder.env, cwd: host.programFolder.folder }
            : { cwd: "/" };
          const user = account === undefined ? {} : { user: cluster.user };
          const ended = await run("sh", ["-c", / recover/.test(rest) ? `${rest} --yes` : rest], {
            ...options,
            ...user,
          });
          expect([line, ended.exitCode, ended.exitCode === 0 ? "" : ended.stdout + ended.stderr]).toEqual([
            line,
            0,
            "",
          ]);
          output.push(ended.stdout);
        }
      }
      return output.join("\n");
    };
    await cluster.stop();
    await pgCtl("start");
    await cluster.sql("CREATE TABLE ledger AS SELECT id, md5(id::text) FROM generate_series(1, 1000) AS id");
    for (const name of readdirSync(host.nasPath)) rmSync(join(host.nasPath, name), { recursive: true });
    await carryOut("repository-1-lost");
    await carryOut("archiving");
    expect((await info())[0]?.backup.filter(({ database }) => database["repo-key"] === 1).length).toBeGreaterThan(0);

    // Backup labels have a resolution of one second, so the newest backup must be older than the target time.
    await cluster.sql("SELECT pg_sleep(1.1)");
    const time = await cluster.value("SELECT clock_timestamp()::text");
    await cluster.sql("SELECT pg_sleep(1.1); DELETE FROM ledger");
    await carryOut("time", { TIME: time });
    expect(await cluster.value("SELECT count(*) FROM ledger")).toBe("1000");
    expect(await carryOut("keys-lost")).toContain(passphrase);
    await pgCtl("stop");
    await cluster.start();
  },
);

test("the state, the engine's output, the topology, the readable files and the logs contain no secret", async () => {
  const secrets = { passphrase, secretKey: host.s3.secretKey, accessKey: host.s3.accessKey };
  const openFiles = ["etc/pgbackrest.conf", "etc/pgbackstop.json", "units/pgbackstop-main-full.service"].map((name) =>
    readFileSync(host.path(name), "utf8"),
  );
  const logs = readdirSync(host.path("log")).map((name) => readFileSync(host.path("log", name), "utf8"));
  const postgresLog = readFileSync(host.cluster.logFile, "utf8");
  const autoConf = readFileSync(join(host.cluster.dataPath, "postgresql.auto.conf"), "utf8");
  const locations = {
    state: stateTexts(host.programFolder.folder).join("\n"),
    printed: printed.join("\n"),
    files: openFiles.join("\n"),
    logs: logs.join("\n"),
    postgresLog,
    autoConf,
  };
  for (const [programFolder, text] of Object.entries(locations)) {
    expect(text.length, programFolder).toBeGreaterThan(0);
    for (const [name, secret] of Object.entries(secrets)) {
      expect(secret.length).toBeGreaterThan(15);
      expect(text.includes(secret), `${name} in ${programFolder}`).toBe(false);
      expect(text.includes(Buffer.from(secret).toString("base64")), `${name} as base64 in ${programFolder}`).toBe(
        false,
      );
    }
  }
});

test("a destroy restores the settings, removes the files, and leaves both repositories", async () => {
  const stack = await open();
  const { stdout, summary } = await stack.destroy();
  expect(summary.resourceChanges).toEqual({ delete: 7 });
  expect(stdout).toContain("restored archive_command and archive_mode");
  expect(await host.cluster.value("SHOW archive_mode")).toBe("off");
  const autoConf = readFileSync(join(host.cluster.dataPath, "postgresql.auto.conf"), "utf8");
  expect(autoConf).not.toContain("archive_mode");
  expect(
    await host.cluster.value(
      "SELECT setting FROM pg_file_settings WHERE name = 'archive_command' ORDER BY seqno DESC LIMIT 1",
    ),
  ).toBe(PREVIOUS_COMMAND);
  for (const name of ["etc", "lib", "units"]) expect(existsSync(host.path(name)), name).toBe(false);
  expect(readdirSync(host.path("nas", "backup", "main"))).toContain("backup.info");
  expect(existsSync(join(host.s3.bucketPath, "pgbackrest", "backup", "main"))).toBe(true);
});
