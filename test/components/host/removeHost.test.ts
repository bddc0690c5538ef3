/** The order of a removal, on a host that only records its commands. test/hosts has real ones. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Connection, ExecResult } from "../../../components/host/connection";
import { emptyOutcome, type HostIdentity, type HostOutcome } from "../../../components/host/hostIdentity";
import { connectLocally } from "../../../components/host/localConnection";
import { GONE_SCRIPT, removeHost } from "../../../components/host/removeHost";

const UNITS = "/etc/systemd/system";
const AGENT = "pgbackstop-main-agent.service";
const IDENTITY: HostIdentity = {
  stanza: "main",
  user: "root",
  dataDirectory: "/data",
  directories: { config: "/etc/pgbackstop", units: UNITS },
  runtimeArgv: ["node", "/usr/local/lib/pgbackstop/runtime.cjs"],
  launcher: "/usr/local/bin/pgbackstop",
  units: { enabled: [], restarted: [AGENT] },
  settings: { archive_command: "ours" },
  allowRestart: false,
  restartCommand: [],
};

interface Removed {
  readonly commands: string[];
  readonly printed: string[];
  /** Empty if nothing failed. */
  readonly failure: string;
}

/** @param isDown PostgreSQL does not answer @param answer to a command; by default it succeeds and prints nothing */
const removed = async (
  identity: HostIdentity,
  files: readonly string[],
  isDown = false,
  known: Partial<HostOutcome> = {},
  answer: (command: string) => Partial<ExecResult> = () => ({}),
): Promise<Removed> => {
  const commands: string[] = [];
  const printed: string[] = [];
  const login = { name: "root", uid: 0, gid: 0 };
  const connection: Connection = {
    name: "db",
    login,
    exec: async (argv) => {
      const command = argv.join(" ");
      commands.push(command);
      const stdout = command.includes("systemctl show")
        ? "LoadState=loaded ActiveState=active\n".repeat(argv.length - 4)
        : command.includes("/etc/machine-id")
          ? `${"1".repeat(32)}\n`
          : "";
      const asksServer = command.includes("synchronous-drop") || command.includes("pg-settings");
      return { exitCode: isDown && asksServer ? 56 : 0, stdout, stderr: "", ...answer(command) };
    },
    hold: async () => ({ release: async () => {} }),
    close: async () => {},
  };
  const before = {
    ...emptyOutcome(),
    ...known,
    fileFacts: Object.fromEntries(files.map((path) => [path, "0644 admin"])),
  };
  const failure = await removeHost(connection, identity, before, (line) => printed.push(line)).then(
    () => "",
    (error: unknown) => String(error),
  );
  return { commands, printed, failure };
};

// claim: docs/synchronous.md: a destroy of a `PostgresHost` removes the agent's name from `synchronous_standby_names`
//   (here the order of its commands; test/hosts/agent.test.ts has the server)
test("commits stop waiting after the agent has ended, and before its program is removed", async () => {
  const { commands, failure } = await removed(IDENTITY, [`${UNITS}/${AGENT}`, "/usr/local/lib/pgbackstop/runtime.cjs"]);
  expect(failure).toBe("");
  const at = (part: string): number => commands.findIndex((command) => command.includes(part));
  expect(at(`systemctl stop -- ${AGENT}`)).toBeGreaterThan(-1);
  expect(at("synchronous-drop")).toBeGreaterThan(at(`systemctl stop -- ${AGENT}`));
  expect(commands.findIndex((command) => command.includes("rm -f --"))).toBeGreaterThan(at("synchronous-drop"));
  // The launcher needs the repositories' keys, which may be gone.
  expect(commands[at("synchronous-drop")]).toMatch(/^node /);
});

test("a server that is down gets the way out, and the removal goes on", async () => {
  const { commands, failure, printed } = await removed(IDENTITY, [`${UNITS}/${AGENT}`], true);
  expect(failure).toBe("");
  expect(printed.join()).toContain("ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf();");
  expect(commands.join()).toContain("rm -f --");
});

test("a host without an agent is not asked", async () => {
  const { commands, failure } = await removed({ ...IDENTITY, units: { enabled: [], restarted: [] } }, []);
  expect(failure).toBe("");
  expect(commands.join()).not.toContain("synchronous-drop");
});

test("another machine at the same address keeps everything", async () => {
  const same = await removed(IDENTITY, [`${UNITS}/${AGENT}`], false, { machineId: "1".repeat(32) });
  expect(same.commands.join()).toContain("rm -f --");
  const other = await removed(IDENTITY, [`${UNITS}/${AGENT}`], false, { machineId: "0".repeat(32) });
  expect(other.commands.join()).not.toMatch(/rm -f|systemctl/);
  expect(other.printed).toEqual(["db is another machine than at the last update: nothing of it is removed"]);
});

describe("a host that archives through a slot", () => {
  const identity = { ...IDENTITY, settings: { max_slot_wal_keep_size: "64GB" } };
  const files = [`${UNITS}/${AGENT}`];
  const failing = (command: string): Partial<ExecResult> => (command.includes("slot-drop") ? { exitCode: 55 } : {});

  // claim: docs/hosts/updates.md: the last component drops the slot (a failure keeps everything else)
  test("drops it without the repositories' keys, or keeps its programs for the next destroy", async () => {
    const { commands, failure } = await removed(identity, files, false, {}, failing);
    expect(commands.find((command) => command.includes("slot-drop"))).toMatch(/^node /);
    expect(failure).toContain("unable to drop the replication slot: exit code 55");
    expect(failure).toContain("run the destroy again");
    expect(commands.join()).not.toContain("rm -f --");
  });

  test("drops it too if a component that left before had it", async () => {
    const known = { previousSettings: { max_slot_wal_keep_size: null } };
    const stdout = JSON.stringify({ settings: [], serverVersion: 170004, dataDirectory: "/data" });
    const server = (command: string): Partial<ExecResult> => (command.includes("pg-settings") ? { stdout } : {});
    expect((await removed(IDENTITY, files, false, known, server)).commands.join()).toContain("slot-drop");
  });

  test("is removed if its server is down, with the way out", async () => {
    const { commands, failure, printed } = await removed(identity, files, true, {}, failing);
    expect(failure).toBe("");
    expect(printed.join()).toContain("SELECT pg_drop_replication_slot(slot_name)");
    expect(commands.join()).toContain("rm -f --");
  });
});

// claim: docs/hosts/updates.md: a destroy restores the archive settings first (a data directory that cannot be examined
//   is not gone)
test("a data directory that nobody can examine stops the destroy before anything is removed", async () => {
  const known = { previousSettings: { archive_command: null } };
  const answer = (stdout: string, exitCode: number) => (command: string) =>
    command.includes("/data/PG_VERSION") ? { stdout, exitCode } : {};
  const unknown = await removed(IDENTITY, [`${UNITS}/${AGENT}`], false, known, answer("", 143));
  expect(unknown.failure).toContain("unable to look for /data/PG_VERSION: exit code 143");
  expect(unknown.commands.join()).not.toMatch(/rm -f --|systemctl/);
  const gone = await removed(IDENTITY, [`${UNITS}/${AGENT}`], false, known, answer("missing\n", 0));
  expect(gone.printed).toContain("/data is gone: there are no settings to restore");
  expect(gone.commands.join()).toContain("rm -f --");
});

test("units whose state systemd does not tell are not taken for stopped ones", async () => {
  const silent = (command: string): Partial<ExecResult> =>
    command.includes("systemctl show") ? { stdout: "\n".repeat(2) } : {};
  const { commands, failure } = await removed(IDENTITY, [`${UNITS}/${AGENT}`], false, {}, silent);
  expect(failure).toContain("unable to read the state of the units: systemd does not answer");
  expect(commands.join()).not.toContain("rm -f --");
});

test("a data directory whose volume is not mounted is not gone", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gone-"));
  const local = connectLocally();
  try {
    const [table, mounted] = [join(folder, "fstab"), join(folder, "mounts")];
    const look = (path: string): Promise<ExecResult> =>
      local.exec(["/bin/sh", "-c", GONE_SCRIPT, "sh", path, table, mounted]);
    writeFileSync(
      table,
      `#UUID=0 ${folder} ext4\n\nword\nUUID=3 none swap sw 0 0\nUUID=1 / ext4 defaults 0 1\nUUID=2 ${folder}/pg ext4 defaults 0 2\n`,
    );
    writeFileSync(mounted, "/dev/vda / ext4 rw 0 0\n");
    expect(await look(`${folder}/pg/17/PG_VERSION`)).toMatchObject({
      exitCode: 1,
      stderr: `${folder}/pg is not mounted\n`,
    });
    expect(await look(`${folder}/other/PG_VERSION`)).toMatchObject({ exitCode: 0, stdout: "missing\n" });
    writeFileSync(mounted, `/dev/vda / ext4 rw 0 0\n/dev/vdb ${folder}/pg ext4 rw 0 0\n`);
    expect(await look(`${folder}/pg/17/PG_VERSION`)).toMatchObject({ exitCode: 0, stdout: "missing\n" });
    expect(await look(table)).toMatchObject({ exitCode: 0, stdout: "present\n" });
  } finally {
    await local.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
