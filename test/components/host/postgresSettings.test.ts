import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { connectLocally } from "../../../components/host/localConnection";
import {
  askServer,
  findRestartCommand,
  parseAutoConf,
  waitForServer,
  writeSettings,
} from "../../../components/host/postgresSettings";
import type { RuntimeOnHost } from "../../../components/host/runtimeVerbs";

// The tests assert the pauses between attempts instead of waiting.
const pausesMs: number[] = [];
vi.mock("node:timers/promises", () => ({ setTimeout: async (durationMs: number) => void pausesMs.push(durationMs) }));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "settings-"));
  writeFileSync(join(folder, "PG_VERSION"), "17\n");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A runtime whose first `count` calls fail. @param message status that each failure leaves in postmaster.pid */
const runtimeThatFails = (count: number, message: string): RuntimeOnHost => {
  const connection = connectLocally();
  const asked = join(folder, "asked");
  writeFileSync(asked, "");
  writeFileSync(join(folder, "postmaster.pid"), "");
  const pid = [process.pid, folder, 0, 5432, folder, "*", "0 0", message].join("\\n");
  const script = `echo asked >> ${asked}
    [ $(wc -l < ${asked}) -gt ${count} ] || { ${message === "" ? "rm -f" : `printf '${pid}\\n' >`} ${folder}/postmaster.pid; echo no answer >&2; exit 2; }
    echo '{"settings":[],"serverVersion":170000,"dataDirectory":"${folder}"}'`;
  return { connection, account: connection.login, argv: ["/bin/sh", "-c", script], onLine: () => undefined };
};
const timesAsked = (): number => readFileSync(join(folder, "asked"), "utf8").split("\n").length - 1;

test.each([
  ["starts", "starting", 3],
  ["stops", "stopping", 2],
  ["has come up since", "ready   ", 1],
  ["is unavailable for a short time", "", 2],
])("a server that %s is asked again", async (_what, message, count) => {
  expect(await askServer(runtimeThatFails(count, message), { dataDirectory: folder })).toMatchObject({
    serverVersion: 170_000,
  });
  expect(timesAsked()).toBe(count + 1);
  expect(pausesMs.splice(0)).toEqual([250, 500, 1000].slice(0, count));
});

test("a server that systemd does not run as a unit is restarted by no guess", async () => {
  writeFileSync(join(folder, "postmaster.pid"), `${process.pid}\n${folder}\n`);
  await expect(findRestartCommand(connectLocally(), folder)).rejects.toThrow(
    `systemd does not run the server of ${folder}: set restartCommand`,
  );
});

test("root restarts no other unit, whatever number PostgreSQL's account writes into its file", async () => {
  const proc = mkdtempSync(join(tmpdir(), "proc-"));
  const data = join(proc, "data");
  const restart = async (pid: string, facts: { readonly cwd?: string; readonly exe?: string }): Promise<unknown> => {
    rmSync(join(proc, "812"), { recursive: true, force: true });
    mkdirSync(join(proc, "812"), { recursive: true });
    mkdirSync(data, { recursive: true });
    writeFileSync(join(data, "postmaster.pid"), `${pid}\n${data}\n`);
    writeFileSync(join(proc, "812/cgroup"), "0::/system.slice/ssh.service\n");
    symlinkSync(facts.cwd ?? data, join(proc, "812/cwd"));
    symlinkSync(facts.exe ?? "/usr/lib/postgresql/17/bin/postgres", join(proc, "812/exe"));
    return findRestartCommand(connectLocally(), data, proc).catch(() => null);
  };
  writeFileSync(join(proc, "systemctl"), "#!/bin/sh\necho 812\n", { mode: 0o755 });
  vi.stubEnv("PATH", `${proc}:${process.env["PATH"]}`);
  try {
    expect(await restart("812", {})).toEqual(["systemctl", "restart", "ssh.service"]);
    expect(await restart("812", { exe: "/usr/lib/postgresql/17/bin/postgres (deleted)" })).not.toBeNull();
    expect(await restart("812", { exe: "/usr/sbin/sshd" })).toBeNull();
    expect(await restart("812", { cwd: "/" })).toBeNull();
    expect(await restart("../812", {})).toBeNull();
    if (process.getuid?.() === 0) {
      await restart("812", {});
      chownSync(data, 61_111, 61_111);
      expect(await findRestartCommand(connectLocally(), data, proc).catch(() => null)).toBeNull();
    }
  } finally {
    vi.unstubAllEnvs();
    rmSync(proc, { recursive: true, force: true });
  }
});

test("a server that refuses, or is stopped for good, is reported", async () => {
  await expect(askServer(runtimeThatFails(99, "ready   "), { dataDirectory: folder })).rejects.toThrow(
    / runs on this machine and does not answer .*\n.*\n.*no answer/,
  );
  expect(timesAsked()).toBe(2);
  expect(pausesMs.splice(0)).toEqual([250]);
  await expect(askServer(runtimeThatFails(99, ""), { dataDirectory: folder })).rejects.toThrow(
    / is not running on this machine: start it, and run the update again\n/,
  );
  expect(pausesMs.splice(0)).toEqual([250, 500, 1000, 2000]);
});

test("a server behind a lost connection is not waited for", async () => {
  const runtime = runtimeThatFails(0, "");
  const lost = { ...runtime.connection, exec: () => Promise.reject(new Error("the connection was lost")) };
  await expect(waitForServer({ ...runtime, connection: lost })).rejects.toThrow("the connection was lost");
});

test("values of postgresql.auto.conf are read as they were set", () => {
  const text = [
    "# Do not edit this file manually!",
    "archive_mode = 'on'",
    "archive_command = 'echo ''it''''s'' && cp %p \\\\srv\\ta'",
    "Work_Mem = '4MB'",
    "work_mem = '8MB'",
    "broken = 'no end",
  ].join("\n");
  expect(Object.fromEntries(parseAutoConf(text))).toEqual({
    archive_mode: "on",
    archive_command: "echo 'it''s' && cp %p \\srv\ta",
    work_mem: "8MB",
  });
});

test("values go to standard input, because command lines are public; a former runtime gets arguments", async () => {
  const answer = `echo '{"settings":[],"serverVersion":170000,"dataDirectory":"/d"}'`;
  const written = async (script: string): Promise<string> => {
    const connection = connectLocally();
    const argv = ["/bin/sh", "-c", script, join(folder, "got")];
    const runtime = { connection, account: connection.login, argv, onLine: () => undefined };
    await writeSettings(runtime, { archive_command: "push --password=marker", archive_mode: null });
    return readFileSync(join(folder, "got"), "utf8");
  };
  const now = await written(`{ echo "$@"; cat; } > "$0"; ${answer}`);
  expect(now.split("\n")).toEqual([
    "--log-level-console=off --log-level-stderr=error pg-settings stdin",
    '{"archive_command":"push --password=marker","archive_mode":null}',
  ]);
  const former = await written(
    `case "$*" in *stdin) echo "ERROR: [032]: 'stdin' is not a setting" >&2; exit 32;; esac; echo "$@" > "$0"; ${answer}`,
  );
  expect(former).toContain("pg-settings archive_command=push --password=marker archive_mode=");
});
