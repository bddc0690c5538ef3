/**
 * Who declares a host, on the real engine: a component that gets another name or stack, one that is declared beside
 * another, a destroy that fails, and a host that is declared again.
 */
import { chmodSync, existsSync, readFileSync, readdirSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { ComponentResourceOptions, ResourceTransform } from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import type * as Package from "../../components/index";
import type { PostgresHostArgs } from "../../components/databases/hostArgs";
import { given } from "../../runtime/base/given";
import { run } from "../../tools/parts/process";
import { openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { NIGHTLY } from "../../tools/parts/nightly";
import { failureOf } from "../harness/compare/engineTexts";
import { LocalHost } from "./localHost";

/** That of another program, before the first update. */
const PREVIOUS_COMMAND = "/bin/true %p";

let host: LocalHost;
let pgbackstop: typeof Package;

beforeAll(async () => {
  host = await LocalHost.create();
  await host.cluster.alterSystem({ archive_command: PREVIOUS_COMMAND });
  pgbackstop = createRequire(join(host.programFolder.folder, "program.cjs"))("pgbackstop") as typeof Package;
});
afterAll(() => host?.remove());

interface Declared {
  readonly name: string;
  readonly standby?: boolean;
  readonly args?: Partial<PostgresHostArgs>;
  readonly opts?: ComponentResourceOptions;
}

function open(stack: string, declared: readonly Declared[]): Promise<Stack> {
  const { PosixRepository, PostgresHost, StandbyHost } = pgbackstop;
  const { dataDirectory, host: own } = host.settings();
  return openStack(host.programFolder, stack, async () => {
    const { target } = new PosixRepository("nas", { path: host.nasPath });
    const { directories, nodePath, user, ...archiving } = own ?? {};
    const base = { dataDirectory, ...given({ directories, nodePath, user }) };
    const made = declared.flatMap(({ name, args = {}, opts = {}, standby = false }) => {
      if (standby) return (new StandbyHost(name, { ...base, repositories: { repo1: { at: target } } }, opts), []);
      const repositories = { repo1: { at: target, keepDays: 7 } };
      const schedules = { full: { cron: "30 2 * * 0" } };
      return [new PostgresHost(name, { ...base, ...archiving, repositories, schedules, ...args }, opts)];
    });
    return { firstBackup: made[0]?.firstBackup };
  });
}

async function up(stack: Stack): Promise<{ text: string; changes: object; firstBackup: unknown }> {
  const { outputs, stdout, summary } = await stack.up();
  return {
    text: stdout,
    changes: summary.resourceChanges ?? {},
    firstBackup: outputs["firstBackup"]?.value,
  };
}

async function verb(...args: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const argv = [host.path("lib", "runtime.cjs"), `--config-path=${host.path("etc")}`, "--stanza=main", ...args];
  return run(host.nodePath, argv, { user: host.cluster.user });
}

/** What the host has only while its backups work. */
async function expectWorking(): Promise<void> {
  expect(await host.cluster.value("SHOW archive_mode")).toBe("on");
  expect(await host.cluster.value("SHOW archive_command")).toContain("archive-push");
  expect(await verb("check")).toMatchObject({ exitCode: 0 });
}

/** Names of the components in the host's own record. */
function owners(): string[] {
  return readFileSync(host.path("etc", "owners"), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => (JSON.parse(line) as { owner?: string }).owner ?? [])
    .map((urn) => urn.replace(/^urn:pulumi:(.*?)::.*::(.*?)$/, "$1 $2"));
}

// claim: docs/hosts/standby.md: one update makes a PostgresHost of a StandbyHost
test("a host that restores becomes one that archives by one update", async () => {
  await up(await open("first", [{ name: "db", standby: true }]));
  const { text } = await up(await open("first", [{ name: "db" }]));
  expect(text).toContain("PostgresHost::db still declares this host");
  expect(owners()).toEqual(["first db"]);
  await expectWorking();
});

test("a transform of what a host is to be fails the preview", async () => {
  const changed: ResourceTransform = ({ opts, props, type }) =>
    type.endsWith(":HostState")
      ? { opts, props: { ...props, files: String(props["files"]).replace("OnCalendar=", "OnCalendar=2099-") } }
      : undefined;
  const stack = await open("first", [{ name: "db", opts: { transforms: [changed] } }]);
  expect(await failureOf(stack.preview(), [])).toMatch(
    /PostgresHost db: 1 error[^]*PB202 files: a transform changes it/,
  );
});

// claim: docs/reference/rules.md: PB195 to PB199 and PB203: databases…
test("two hosts of one program in the same directories are an error of the preview", async () => {
  const other = { stanza: "other", dataDirectory: host.path("other") };
  const failure = await failureOf((await open("first", [{ name: "db" }, { name: "two", args: other }])).preview(), []);
  expect(failure).toContain(
    `PB203 directories.config: ${host.path("etc")} of the host is also that of PostgresHost db (directories.config); give each host of a machine its own \`directories\``,
  );
  expect(failure).toContain("PB203 directories.lib");
  const directories = { ...host.settings().host?.directories, config: host.path("etc2"), lib: host.path("lib2") };
  const apart = await open("first", [{ name: "db" }, { name: "two", args: { ...other, directories } }]);
  expect((await apart.preview()).stderr).not.toContain("PB203");
});

// claim: docs/reference/rules.md: PB195 to PB199 and PB203: an update…
test("an update without a preview leaves nothing of a database that shares an archive; a preview names every one", async () => {
  const before = host.fingerprint();
  const apart = (name: string): Partial<PostgresHostArgs> => {
    const own = ["config", "lib", "units"].map((kind) => [kind, host.path(`${name}-${kind}`)]);
    const directories = { ...host.settings().host?.directories, ...(Object.fromEntries(own) as object) };
    return { stanza: "main", dataDirectory: host.path(name), directories };
  };
  const declared = ["two", "three"].map((name) => ({ name, args: apart(name) }));
  const stack = await open("first", [{ name: "db" }, ...declared]);
  const fact =
    "PB195 repositories.repo1.at: this repository with this stanza is also that of PostgresHost db (repositories.repo1.at); give each database its own stanza, path or bucket";
  const failure = await failureOf(stack.up(), []);
  expect(failure).toContain("PostgresHost two: 1 error in the arguments");
  expect(failure).toContain(fact);
  const { resources } = (await stack.exportStack()).deployment as { resources: { urn: string }[] };
  const names = resources.map(({ urn }) => urn.split("::").at(-1) ?? "");
  expect(names).toContain("db");
  expect(names.filter((name) => /^(two|three)/.test(name))).toEqual([]);
  expect(host.fingerprint()).toEqual(before);
  for (const name of ["two", "three"]) expect(existsSync(host.path(`${name}-config`)), name).toBe(false);
  const shown = await failureOf(stack.preview(), []);
  for (const { name } of declared) expect(shown).toContain(`PostgresHost ${name}: 1 error in the arguments`);
  expect(shown).toContain(fact);
});

// claim: docs/hosts/updates.md: a component with another name or stack keeps the host that it declares
test("a component that was renamed without an alias leaves the host to the new one", async () => {
  const { changes, text } = await up(await open("first", [{ name: "renamed" }]));
  expect(changes).toMatchObject({ create: 2, delete: 2 });
  await expectWorking();
  expect(text).toContain("PostgresHost::db declares this host too");
  expect(text).toContain("PostgresHost::renamed still declares this host");
  expect(owners()).toEqual(["first renamed"]);
  expect((await up(await open("first", [{ name: "renamed" }]))).changes).toEqual({ same: 4 });
});

// claim: docs/hosts/updates.md: a component with another name or stack keeps…
test("one that was renamed with an alias is updated in place", async () => {
  const opts = { aliases: [{ name: "renamed" }] };
  const { changes, text } = await up(await open("first", [{ name: "again", opts }]));
  expect(changes).toEqual({ same: 2, update: 2 });
  expect(text).not.toContain("declares this host too");
  expect(owners()).toEqual(["first again"]);
  await expectWorking();
});

// claim: docs/hosts/updates.md: a component with another name or stack keeps…
test("a host that moves to another stack stays, and its first stack is destroyed", async () => {
  const { text } = await up(await open("second", [{ name: "db" }]));
  expect(text).toContain("PostgresHost::again declares this host too");
  const before = host.fingerprint();
  const { stdout } = await (await open("first", [{ name: "again" }])).destroy();
  expect(stdout).toContain("PostgresHost::db still declares this host");
  expect(owners()).toEqual(["second db"]);
  const { "etc/owners": _changed, ...files } = host.fingerprint();
  expect(before).toMatchObject(files);
  await expectWorking();
});

// claim: docs/hosts/updates.md: two components with the same directories: the second one is refused
test("a component that declares something else in the same directories is refused before any change", async () => {
  const before = host.fingerprint();
  const stack = await open("third", [{ name: "other", args: { stanza: "other", dataDirectory: host.path("other") } }]);
  const failure = await failureOf(stack.up(), []);
  expect(failure).toMatch(
    /PostgresHost::other \(stanza other, data directory \S+other\) would replace files of \S+PostgresHost::db \(stanza main, data directory \S+\) on this machine: give one of them its own directories, or destroy that one first/,
  );
  expect(host.fingerprint()).toEqual(before);
  // There is nothing to destroy.
  await stack.destroy();
  expect(host.fingerprint()).toEqual(before);
  await expectWorking();
});

// claim: docs/hosts/updates.md: two components with the same directories: the… (their units)
test("a component of another configuration is refused before it replaces the units of this one", async () => {
  const before = host.fingerprint();
  const directories = { ...host.settings().host?.directories, config: host.path("etc2"), lib: host.path("lib2") };
  const stack = await open("third", [{ name: "other", args: { directories } }]);
  expect(await failureOf(stack.up(), [])).toMatch(
    /pgbackstop-main-\S+ on this machine belongs to the host whose configuration is \S+etc\/pgbackrest\.conf, and would be replaced/,
  );
  // With a stanza of its own only the program is shared, which a destroy would take from this one.
  const shared = { ...host.settings().host?.directories, config: host.path("etc2") };
  const second = { stanza: "other", dataDirectory: host.path("other"), directories: shared };
  expect(await failureOf((await open("third", [{ name: "other", args: second }])).up(), [])).toMatch(
    /belongs to the host whose configuration is \S+etc\/pgbackrest\.conf, and its program \S+runtime\.cjs would be replaced/,
  );
  expect(host.fingerprint()).toEqual(before);
  for (const name of ["etc2", "lib2"]) expect(existsSync(host.path(name)), name).toBe(false);
  await stack.destroy();
  await expectWorking();
});

// claim: docs/hosts/updates.md: a destroy that fails at any step… (the restart)
test("a destroy whose restart fails writes the archive settings back, and the next one ends", async () => {
  const restarting = (restartCommand: string[]): Promise<Stack> =>
    open("second", [{ name: "db", args: { restartCommand } }]);
  const stack = await restarting(["/bin/false"]);
  await up(stack);
  const failure = await failureOf(stack.destroy(), []);
  expect(failure).toContain("unable to restart PostgreSQL");
  expect(failure).toContain("run the destroy again, or pulumi up --refresh to put them back");
  await expectWorking();
  const { restartCommand = [] } = host.settings().host ?? {};
  expect((await up(await restarting([...(restartCommand as string[])]))).changes).toEqual({ same: 3, update: 1 });
});

// claim: docs/hosts/updates.md: a component with another name or stack keeps…
test("the last component restores the settings that the first one found, and removes all files", async () => {
  await (await open("second", [{ name: "db" }])).destroy();
  expect(await host.cluster.value("SHOW archive_mode")).toBe("off");
  const autoConf = readFileSync(join(host.cluster.dataPath, "postgresql.auto.conf"), "utf8");
  expect(autoConf).toContain(`archive_command = '${PREVIOUS_COMMAND}'`);
  for (const name of ["etc", "lib", "units"]) expect(existsSync(host.path(name)), name).toBe(false);
  expect(readdirSync(host.path("nas", "backup", "main"))).toContain("backup.info");
});

/** Types of the repository's backups, oldest first. */
async function backups(): Promise<string[]> {
  const { exitCode, stderr, stdout } = await verb("--output=json", "info");
  expect([exitCode, stderr]).toEqual([0, ""]);
  const [stanza] = JSON.parse(stdout) as { backup: { type: string }[] }[];
  return (stanza?.backup ?? []).map(({ type }) => type);
}

// claim: docs/hosts/updates.md: a host that archives again gets an incremental backup, another text of the own command
//   gets none
test("a host that is declared again gets a backup at once, because its WAL has a gap", async () => {
  const { firstBackup, text } = await up(await open("second", [{ name: "db" }]));
  expect(text).toContain(
    "so the WAL since the last backup is in no repository: taking an incremental backup for repo1",
  );
  expect(firstBackup).toBe("taken");
  expect(await backups()).toEqual(["full", "incr"]);
  symlinkSync(host.nodePath, host.path("node"));
  const { text: changed } = await up(await open("second", [{ name: "db", args: { nodePath: host.path("node") } }]));
  expect(changed).toContain("setting archive_command");
  expect(await backups()).toEqual(["full", "incr"]);
});

test.runIf(NIGHTLY)(
  "an update that ends between the settings and the backup leaves the backup to the next one",
  async () => {
    await (await open("second", [{ name: "db" }])).destroy();
    chmodSync(host.nasPath, 0);
    await failureOf((await open("second", [{ name: "db" }])).up(), []);
    expect(await host.cluster.value("SHOW archive_mode")).toBe("on");
    chmodSync(host.nasPath, 0o750);
    await up(await open("second", [{ name: "db" }]));
    expect(await backups()).toEqual(["full", "incr", "incr"]);
  },
);
