import { existsSync } from "node:fs";
import { userInfo } from "node:os";
import { afterEach, beforeEach, expect, test } from "vitest";
import { argvAs, type Connection, EXEC_LIMITS, loadAccount, run } from "../../../components/host/connection";
import { connectLocally } from "../../../components/host/localConnection";
import { NIGHTLY } from "../../../tools/parts/nightly";

let connection: Connection;
beforeEach(() => {
  connection = connectLocally();
});
afterEach(() => connection.close());

const sh = (script: string): string[] => ["/bin/sh", "-c", script];

test("output, exit code and lines come back; a failure is a result", async () => {
  const lines: string[] = [];
  const result = await connection.exec(sh("echo one; echo two; echo wrong >&2; exit 7"), {
    onLine: (line) => lines.push(line),
  });
  expect(result).toEqual({ exitCode: 7, stdout: "one\ntwo\n", stderr: "wrong\n" });
  expect(lines).toEqual(["one", "two"]);
  await expect(run(connection, "do it", sh("echo because >&2; exit 3"))).rejects.toThrow(
    "unable to do it: exit code 3\nbecause",
  );
});

test("a signal counts as in a shell, and nothing runs for ever", async () => {
  expect((await connection.exec(sh("kill -9 $$"))).exitCode).toBe(137);
  expect((await connection.exec(["sleep", "60"], { timeoutMs: 100 })).exitCode).toBe(143);
});

test.runIf(existsSync("/proc/self/task"))(
  "a program that a shell has started ends with it at the time limit",
  async () => {
    const beganMs = performance.now();
    const { exitCode, stdout } = await connection.exec(sh("sh -c 'sleep 40; true'; true"), { timeoutMs: 300 });
    expect([exitCode, stdout]).toEqual([143, ""]);
    expect(performance.now() - beganMs).toBeLessThan(EXEC_LIMITS.killAfterMs);
  },
);

// claim: docs/hosts/updates.md: an update waits an hour for a restart of PostgreSQL, and ends no server at its limit
test("a server that a program has started survives the program's limit, and holds no answer back", async () => {
  const options = { timeoutMs: 300, startsServer: true };
  const waiting = await connection.exec(sh("sleep 40 >/dev/null 2>&1 & echo $!; wait"), options);
  expect(waiting.exitCode).toBe(143);
  expect(process.kill(Number(waiting.stdout), "SIGKILL")).toBe(true);
  // The server keeps the pipe.
  const beganMs = performance.now();
  const ended = await connection.exec(sh("sleep 40 & echo $!"), { startsServer: true });
  expect(ended.exitCode).toBe(0);
  expect(process.kill(Number(ended.stdout), "SIGKILL")).toBe(true);
  expect(performance.now() - beganMs).toBeLessThan(EXEC_LIMITS.killAfterMs);
});

test.runIf(NIGHTLY)("a program that nothing ends keeps nobody waiting", { timeout: 60_000 }, async () => {
  const stays = "trap '' TERM; echo began; setsid sh -c 'sleep 40' & sleep 40; sleep 40";
  const { exitCode, stdout } = await connection.exec(sh(stays), { timeoutMs: 300 });
  expect([exitCode, stdout]).toEqual([137, "began\n"]);
});

test("standard input arrives complete, and a program may leave it unread", async () => {
  const stdin = "x".repeat(1_000_000);
  expect((await connection.exec(["wc", "-c"], { stdin })).stdout.trim()).toBe("1000000");
  expect((await connection.exec(["true"], { stdin })).exitCode).toBe(0);
});

test("programs get no environment that may contain secrets", async () => {
  process.env["PULUMI_CONFIG_PASSPHRASE"] = "marker-passphrase";
  process.env["PGBACKREST_REPO1_CIPHER_PASS"] = "marker-pass";
  try {
    const { stdout } = await connection.exec(["env"]);
    expect(stdout).not.toContain("marker");
    expect(stdout).toContain("PATH=");
  } finally {
    delete process.env["PULUMI_CONFIG_PASSPHRASE"];
    delete process.env["PGBACKREST_REPO1_CIPHER_PASS"];
  }
});

test("a program that cannot start is reported", async () => {
  await expect(connection.exec(["/no/such/program"])).rejects.toThrow("unable to start /no/such/program");
  await expect(connection.hold(sh("echo refused >&2; exit 75"))).rejects.toThrow("exit code 75: refused");
});

test("a held program lives until it is released", async () => {
  const held = await connection.hold(sh("echo ready; exec cat"));
  await held.release();
});

test("accounts are found by name", async () => {
  const own = userInfo();
  expect(await loadAccount(connection, own.username)).toEqual({ name: own.username, uid: own.uid, gid: own.gid });
  expect(await loadAccount(connection, "daemon")).toMatchObject({ name: "daemon", uid: 1 });
  await expect(loadAccount(connection, "no-such-account")).rejects.toThrow(
    "there is no account no-such-account on this machine",
  );
});

test("another account is reached by its ids, and only from root", () => {
  const root = { name: "root", uid: 0, gid: 0 };
  const postgres = { name: "postgres", uid: 101, gid: 104 };
  expect(argvAs(root, postgres, ["id"]).slice(3)).toEqual(["sh", "postgres", "101", "104", "id"]);
  expect(argvAs(postgres, postgres, ["id"])).toEqual(["id"]);
  expect(() => argvAs({ name: "me", uid: 1000, gid: 1000 }, postgres, ["id"])).toThrow("log in as root or as postgres");
});

test.runIf(process.getuid?.() === 0)("root really becomes another account", async () => {
  const account = await loadAccount(connection, "daemon");
  expect((await connection.exec(["id", "-u"], { account })).stdout.trim()).toBe("1");
  // The environment is the account's own: libpq reads its ~/.pgpass.
  const { stdout } = await connection.exec(sh('echo "$HOME $USER $LOGNAME"'), { account });
  expect(stdout).toBe("/usr/sbin daemon daemon\n");
  const odd = { ...account, name: "daemon;touch /tmp/never" };
  expect((await connection.exec(sh('echo "$USER"'), { account: odd })).stdout).toBe("daemon;touch /tmp/never\n");
});
