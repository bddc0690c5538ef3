import { readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../../runtime/base/clock";
import { fail } from "../../../runtime/base/errors";
import { guardedArchiveGet } from "../../../runtime/base/recoveryExit";
import { loadCommand } from "../../../runtime/commands/table";
import type { WorkingCommand } from "../../../runtime/config/commands";
import { openMissingWal } from "../../../runtime/local/missingWal";
import { stanzaCreate } from "../../../runtime/operations/stanza/stanzaCreate";
import type { Session } from "../../../runtime/postgres/session";
import type { Repository } from "../../../runtime/repository/repository";
import { eventually, HeldClock, type TestContext, testContext } from "../../harness/context";
import { FaultyStorage } from "../../harness/network/faults";
import { MemoryStorage } from "../../harness/doubles/storages";
import { runBackup } from "../operations/backup/support";
import { pathOf, readable, store } from "../operations/archive";
import {
  addWal,
  CLUSTER,
  CONTROL,
  makeDataDirectory,
  makeWalDirectory,
  repository,
  temporaryFolder,
  walBytes,
  walName,
} from "../repository/support";
import { host, type HostParts, type TestHost } from "./support";

let folder: string;
let ctx: TestContext<HeldClock>;
let second: FaultyStorage;
let repos: [Repository, Repository];

beforeEach(async () => {
  folder = temporaryFolder();
  ctx = testContext({ clock: new HeldClock() });
  second = new FaultyStorage(new MemoryStorage());
  repos = [repository(1), repository(2, { storage: second, pass: "second" })];
  await stanzaCreate(repos, CONTROL, ctx);
  ctx.lines.length = 0;
});

const make = (argv: readonly string[], more: Partial<HostParts> = {}): TestHost =>
  host({ argv, repos, ctx, folder, ...more });
const run = async (test: TestHost): Promise<number> => {
  const command = await loadCommand(test.config.command as WorkingCommand);
  return ctx.clock.until(command(test));
};
const texts = (level = "info"): string[] => ctx.lines.filter((line) => line.level === level).map((line) => line.text);

const withPolicy = (mode: "all" | "any"): Partial<HostParts> => ({
  config: { settings: { acknowledge: { mode, repoIndexes: [] }, archiveCommandContains: "pgbackrest", repos: {} } },
});

describe("archive-push", () => {
  it("takes an absolute path, or PostgreSQL's relative one in its data directory", async () => {
    const data = makeDataDirectory(folder);
    makeWalDirectory(data, [1]);
    expect(await run(make([`archive-push`, `${data}/pg_wal/${walName(1)}`]))).toBe(0);
    expect(texts()).toEqual([`pushed WAL file '${walName(1)}' to the archive`]);
    expect(await run(make(["archive-push", `pg_wal/${walName(1)}`], { workingDirectory: data }))).toBe(0);
    // PostgreSQL's working directory has no links; pg1-path may be one.
    const linked = join(folder, "linked");
    symlinkSync(data, linked);
    expect(
      await run({
        ...make(["archive-push", `pg_wal/${walName(1)}`], { workingDirectory: data }),
        dataDirectory: linked,
      }),
    ).toBe(0);
    await expect(
      run(make(["archive-push", `pg_wal/${walName(1)}`], { workingDirectory: "/elsewhere" })),
    ).rejects.toMatchObject({
      kind: "optionInvalidValue",
      exitCode: 32,
      message: `PostgreSQL working directory '/elsewhere' is not the same as option pg1-path '${data}'`,
    });
    for (const params of [[], ["a", "b"]])
      await expect(run(make(["archive-push", ...params]))).rejects.toMatchObject({
        kind: "paramRequired",
        exitCode: 43,
      });
  });

  it("fails with 104 under policy all, and warns about missing WAL under policy any", async () => {
    const data = makeDataDirectory(folder);
    makeWalDirectory(data, [1]);
    second.breakDown(fail("hostConnect", "unreachable"));
    const path = `${data}/pg_wal/${walName(1)}`;
    await expect(run(make(["archive-push", path]))).rejects.toMatchObject({ kind: "command", exitCode: 104 });
    const any = make(["archive-push", path], {
      config: {
        settings: { acknowledge: { mode: "any", repoIndexes: [] }, archiveCommandContains: "pgbackrest", repos: {} },
      },
    });
    expect(await run(any)).toBe(0);
    expect(texts("warn").at(-1)).toMatch(
      new RegExp(
        `^repo2: \\[HostConnectError\\][\\s\\S]*\\nrepo2 lacks ${walName(1)}: run pgbackstop heal when the repository is available$`,
      ),
    );
    expect(openMissingWal(join(folder, "spool"), "demo").list(2)).toEqual([walName(1)]);
  });

  it("reports how many it pushed ahead", async () => {
    const directory = makeWalDirectory(makeDataDirectory(folder), [1]);
    addWal(directory, walName(2), walBytes(2));
    const putStream = second.putStream.bind(second);
    vi.spyOn(second, "putStream").mockImplementation(async (path, ...more) => {
      if (path.includes(walName(1)))
        await eventually("repo1 has the next one", async () => (await readable(repos[0])).includes(walName(2)));
      return putStream(path, ...more);
    });
    const command = await loadCommand("archive-push");
    const lines = testContext({ clock: systemClock });
    await command(make(["archive-push", `${directory}/${walName(1)}`], { ctx: lines }));
    expect(lines.lines.at(-1)?.text).toMatch(
      new RegExp(`^pushed WAL file '${walName(1)}' to the archive and [12] more ahead$`),
    );
  });
});

describe("archive-get", () => {
  it("exits 0 when found, 1 when certainly missing, and fails in doubt", async () => {
    await store(repos[1], 1);
    const destination = join(folder, "RECOVERYXLOG");
    expect(await run(make(["archive-get", walName(1), destination]))).toBe(0);
    expect(readFileSync(destination).equals(Buffer.from(walBytes(1)))).toBe(true);
    expect(await run(make(["archive-get", walName(2), "relative"], { workingDirectory: folder }))).toBe(1);
    second.breakDown(fail("hostConnect", "unreachable"));
    await expect(run(make(["archive-get", walName(2), destination]))).rejects.toMatchObject({ kind: "repoInvalid" });
    await expect(run(make(["archive-get", walName(2)]))).rejects.toMatchObject({ kind: "paramRequired" });
  });

  it("aborts a recovery that would end at an unreadable repository; a standby asks again", async () => {
    await store(repos[0], 1);
    second.breakDown(fail("hostConnect", "unreachable"));
    const signals = new Set(["recovery.signal"]);
    const readFile = async (path: string): Promise<Uint8Array | null> =>
      signals.has(path.slice(`${folder}/data/`.length)) ? new Uint8Array(0) : null;
    const argv = ["archive-get", walName(2), join(folder, "RECOVERYXLOG")];
    const under = (mode: "all" | "any"): TestHost => ({ ...make(argv, withPolicy(mode)), readFile });
    const test = under("any");
    expect(await run(test)).toBe(255);
    expect(ctx.lines.at(-1)).toMatchObject({
      level: "error",
      text: expect.stringContaining(`unable to determine whether ${walName(2)} is in the archive`),
    });
    // Under policy all, the other repository, which has the segment before, holds all acknowledged WAL too.
    expect(await run(under("all"))).toBe(1);
    expect(await run({ ...make(["--archive-push-queue-max=1GiB", ...argv], withPolicy("all")), readFile })).toBe(255);
    signals.add("standby.signal");
    await expect(run(test)).rejects.toMatchObject({ kind: "repoInvalid", exitCode: 103 });
    second.repair();
    expect(await run(test)).toBe(1);
  });
});

describe("heal", () => {
  it("reports each repository, and fails with WAL that no repository holds", async () => {
    const missingWal = openMissingWal(join(folder, "spool"), "demo");
    await store(repos[0], 1);
    missingWal.add(2, walName(1), CLUSTER);
    expect(await run(make(["heal"]))).toBe(0);
    expect(texts()).toContain("repo2: 1 missing WAL file(s) copied, 0 no longer missing, 0 could not be copied");
    expect(await readable(repos[1])).toEqual([walName(1)]);
    missingWal.add(2, walName(9), CLUSTER);
    await expect(run(make(["heal"]))).rejects.toMatchObject({
      kind: "command",
      message: `heal could not copy every WAL file:\nrepo2: ${walName(9)}: neither a repository nor pg_wal has it`,
      hints: ["Take a new backup, which does not need the missing segments; heal then stops looking for them."],
    });
  });
});

describe("verify", () => {
  it("prints stock's lines with the gaps, and fails (26) when anything is wrong", async () => {
    const data = makeDataDirectory(folder);
    await ctx.clock.until(runBackup([repos[0]], data, ctx));
    await store(repos[0], 3, 4, 6);
    const test = make(["--output=text", "--verbose", "verify"], { repos: [repos[0]] });
    await expect(run(test)).rejects.toMatchObject({
      kind: "checksum",
      exitCode: 26,
      message: "verify found errors in repo1",
    });
    const lines = test.printed.join("").split("\n");
    expect(lines.slice(0, 6)).toEqual([
      "stanza: demo",
      "repo: 1",
      "status: error",
      "  archiveId: 15-1, total WAL checked: 3, total valid WAL: 3",
      "    missing: 0, checksum invalid: 0, size invalid: 0, other: 0",
      `    WAL gap: ${walName(5)} to ${walName(5)}`,
    ]);
    expect(lines[6]).toMatch(
      /^ {2}backup: \d{8}-\d{6}F, status: valid, total files checked: \d+, total valid files: \d+$/,
    );
    await store(repos[0], 5);
    expect(await run(make(["verify"], { repos: [repos[0]] }))).toBe(0);
  });

  it("continues with the next repository when one is unreadable", async () => {
    second.breakDown(fail("access", "refused"));
    const test = make(["--output=text", "verify"]);
    await expect(run(test)).rejects.toMatchObject({ kind: "command", exitCode: 104 });
    expect(test.printed.join("")).toMatch(/^stanza: demo\nrepo: 1\nstatus: ok\n[\s\S]*repo2: error: \[AccessError\]/);
  });
});

describe("restore", () => {
  it("writes a restore_command that finds the same repositories, and no secret", async () => {
    const data = makeDataDirectory(folder);
    await ctx.clock.until(runBackup(repos, data, ctx));
    const target = join(folder, "new");
    const test = make(["--repo=2", "restore"]);
    Object.assign(test, { dataDirectory: target });
    expect(await run(test)).toBe(0);
    expect(test.locked).toEqual(["restore 1,2"]);
    const text = readFileSync(join(target, "postgresql.auto.conf"), "utf8");
    const [line = ""] = text.split("\n").filter((row) => row.startsWith("restore_command"));
    expect(line).toBe(
      `restore_command = '${guardedArchiveGet(`/usr/bin/node ''/opt/pg backstop/runtime.cjs'' ''--config=/etc/my conf/pgbackrest.conf'' --pg1-path=${target} --repo=2 --stanza=demo archive-get %f "%p"`)}'`,
    );
    expect(text).not.toContain("second");
  });
});

describe("stanza-create, check and info", () => {
  it("take their locks, and fail with a line per repository", async () => {
    const again = make(["stanza-create"]);
    expect(await run(again)).toBe(0);
    // An existing stanza is checked without the lock, because a running backup may hold it.
    expect(again.locked).toEqual([]);
    for (const path of ["archive/demo", "backup/demo"]) await second.removePath(path);
    const test = make(["stanza-create"]);
    expect(await run(test)).toBe(0);
    expect(test.locked).toEqual(["archive 2", "backup 2"]);
    second.breakDown(fail("access", "refused"));
    await expect(run(make(["stanza-create"]))).rejects.toMatchObject({ kind: "command" });
  });

  it("check switches a segment and waits for it in each repository", async () => {
    const session = {
      ...onlySession(folder),
      switchWal: async () => {
        await store(repos[0], 7);
        return walName(7);
      },
    };
    await expect(run(make(["--archive-timeout=2", "check"], { session }))).rejects.toMatchObject({
      kind: "command",
      message: expect.stringContaining("was not archived to repo2"),
    });
    expect(texts()).toContain(`WAL segment ${walName(7)} successfully archived to repo1`);
    expect(texts()).toContain("repo1: configuration and archive are valid");
    await store(repos[1], 7);
    expect(await run(make(["--archive-timeout=2", "check"], { session }))).toBe(0);
    const off = { ...session, facts: async () => ({ ...(await session.facts()), archiveMode: "off" }) };
    await expect(run(make(["--archive-timeout=2", "check"], { session: off }))).rejects.toMatchObject({
      kind: "archiveDisabled",
      exitCode: 87,
    });
    const always = { ...session, facts: async () => ({ ...(await session.facts()), archiveMode: "always" }) };
    await expect(run(make(["check"], { session: always }))).rejects.toMatchObject({
      kind: "featureNotSupported",
      exitCode: 67,
    });
    expect(await run(make(["--no-archive-mode-check", "--archive-timeout=2", "check"], { session: always }))).toBe(0);
    const elsewhere = { ...session, facts: async () => ({ ...(await session.facts()), dataDirectory: "/other" }) };
    await expect(run(make(["--archive-timeout=2", "check"], { session: elsewhere }))).rejects.toMatchObject({
      kind: "dbMismatch",
      exitCode: 58,
    });
  });

  it("check warns of a repository that the policy can do without, and fails with 104 for one that it needs", async () => {
    second.breakDown(fail("access", "refused"));
    expect(
      await run(make(["--no-archive-check", "check"], { session: onlySession(folder), ...withPolicy("any") })),
    ).toBe(0);
    expect(texts("warn").at(-1)).toMatch(/^repo2: \[AccessError\]/);
    await expect(
      run(make(["--no-archive-check", "check"], { session: onlySession(folder), ...withPolicy("all") })),
    ).rejects.toMatchObject({
      exitCode: 104,
    });
    expect(texts().filter((text) => text === "repo1: configuration and archive are valid")).toHaveLength(2);
  });

  it("info prints everything, as text or JSON, and its exit code says when the policy needs an unreadable repository", async () => {
    const well = make(["info"]);
    expect(await run(well)).toBe(0);
    second.breakDown(fail("access", "refused"));
    const text = make(["info"], withPolicy("any"));
    expect(await run(text)).toBe(0);
    expect(text.printed.join("")).toContain("status: mixed");
    const json = make(["--output=json", "info"], withPolicy("all"));
    expect(await run(json)).toBe(104);
    expect(JSON.parse(json.printed.join(""))[0].status).toMatchObject({
      code: 4,
      lock: { backup: { held: false }, restore: { held: true } },
    });
    expect(texts("error")).toEqual([]);
    // Only one repository has the stanza, or none.
    const empty = repository(2);
    expect(await run(make(["info"], { ...withPolicy("all"), repos: [repos[0], empty] }))).toBe(104);
    expect(await run(make(["info"], { ...withPolicy("any"), repos: [repos[0], empty] }))).toBe(0);
    expect(await run(make(["info"], { ...withPolicy("all"), repos: [empty] }))).toBe(0);
  });
});

describe("pg-settings", () => {
  it("changes, resets, and prints the values in force", async () => {
    const asked: string[] = [];
    // The reload shows only in the fourth answer.
    const readAtMs = [1, 1, 1, 2];
    const session = {
      alterSystem: async (name: string, value: string | null) => void asked.push(`${name}=${value}`),
      reload: async () => void asked.push("reload"),
      configurationReadMs: async () => readAtMs.shift() ?? expect.fail("it is asked on"),
      settings: async (names: readonly string[]) =>
        names.map((name) => ({
          name,
          value: "on",
          configured: null,
          automatic: null,
          source: "default",
          pendingRestart: false,
        })),
      facts: async () => ({
        version: "15",
        versionNum: 150020,
        dataDirectory: "/d",
        archiveMode: "on",
        archiveCommand: "",
        inRecovery: false,
      }),
      systemId: async () => "7000000000000000001",
    };
    const test = make(["pg-settings", "archive_command=a=b", "archive_timeout=", "work_mem=4MB"], { session });
    expect(await run(test)).toBe(0);
    expect(asked).toEqual(["archive_command=a=b", "archive_timeout=null", "work_mem=4MB", "reload"]);
    expect(readAtMs).toEqual([]);
    const printed = JSON.parse(test.printed.join(""));
    expect(printed).toMatchObject({ serverVersion: 150020, dataDirectory: "/d", systemId: "7000000000000000001" });
    expect(printed.settings.map((row: { name: string }) => row.name)).toContain("work_mem");
    await expect(run(make(["pg-settings", "=x"], { session }))).rejects.toMatchObject({ kind: "paramInvalid" });
    readAtMs.push(1, 2);
    const given = (text: string): TestHost => ({
      ...make(["pg-settings", "stdin"], { session }),
      readInput: async () => text,
    });
    asked.length = 0;
    expect(await run(given(JSON.stringify({ archive_command: "a secret\n=b", archive_mode: null })))).toBe(0);
    expect(asked).toEqual(["archive_command=a secret\n=b", "archive_mode=null", "reload"]);
    for (const text of ["", "a secret", '"a secret"', '{"archive_mode":1}'])
      await expect(run(given(text))).rejects.toMatchObject({
        kind: "paramInvalid",
        message: "standard input holds no settings",
      });
  });
});

it("verify reports a damaged segment by its path", async () => {
  await store(repos[0], 1);
  await repos[0].storage.put(await pathOf(repos[0], 1), Buffer.from("damaged"));
  await expect(run(make(["verify"], { repos: [repos[0]] }))).rejects.toMatchObject({ kind: "checksum" });
  expect(texts("warn")[0]).toContain(`repo1: invalid checksum 'archive/demo/15-1/0000000100000000/${walName(1)}`);
});

/** A session of a primary with archiving. */
function onlySession(path: string): Pick<Session, "facts"> {
  const facts = { dataDirectory: `${path}/data`, archiveMode: "on", archiveCommand: "pgbackrest x", inRecovery: false };
  return { facts: async () => ({ ...facts, version: "15", versionNum: 150000 }) };
}
