/** A machine that is still booting: pauses, limits, and what cannot get better. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { connectLocally } from "../../../../components/host/localConnection";
import { awaitCloudInit, dial } from "../../../../components/host/ssh/newMachine";
import { NoAnswer, SignInRefused } from "../../../../components/host/ssh/sshClient";
import type { DialLimits } from "../../../../components/host/ssh/sshTarget";

const folder = mkdtempSync(join(tmpdir(), "pgbk-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Dials a host whose attempts end with `outcomes`, then succeed; each attempt takes `attemptMs`. */
async function dialed(
  outcomes: readonly Error[],
  limits: DialLimits = {},
  attemptMs = 0,
): Promise<{ result: unknown; lines: string[]; pauses: number[] }> {
  const lines: string[] = [];
  const pauses: number[] = [];
  const left = [...outcomes];
  let nowMs = 0;
  const time = {
    nowMs: () => nowMs,
    sleep: async (pauseMs: number) => {
      pauses.push(pauseMs);
      nowMs += pauseMs;
    },
  };
  const connect = async (): Promise<string> => {
    nowMs += attemptMs;
    const error = left.shift();
    if (error !== undefined) throw error;
    return "connected";
  };
  const result = await dial("db", limits, connect, (line) => lines.push(line), time).catch((error: unknown) => error);
  return { result, lines, pauses };
}

const silent = new NoAnswer("unable to connect to db:22: connect ECONNREFUSED");
const refused = new SignInRefused("db does not let deploy sign in");

test("a host that answers late is awaited with growing pauses, and each of them is shown", async () => {
  const { lines, pauses, result } = await dialed([silent, silent, silent]);
  expect(result).toBe("connected");
  expect(pauses).toEqual([1000, 1500, 2250]);
  expect(lines).toEqual([
    "waiting for db (0 of 300 s): unable to connect to db:22: connect ECONNREFUSED",
    "waiting for db (1 of 300 s): unable to connect to db:22: connect ECONNREFUSED",
    "waiting for db (3 of 300 s): unable to connect to db:22: connect ECONNREFUSED",
    "db answers after 5 s",
  ]);
});

test("a host that never answers fails after the bound, five minutes unless another is set", async () => {
  const many = Array.from({ length: 100 }, () => silent);
  const usual = await dialed(many);
  expect(usual.result).toBe(silent);
  expect(usual.pauses.reduce((sum, pause) => sum + pause, 0)).toBe(300_000);
  expect(Math.max(...usual.pauses)).toBe(15_000);
  const short = await dialed(many, { waitSeconds: 10 }, 4000);
  expect(short.pauses).toHaveLength(2);
  expect((await dialed(many, { waitSeconds: 0 })).pauses).toEqual([]);
});

test("Command's limit of failed attempts counts too", async () => {
  expect((await dialed([silent, silent, silent], { errorsMax: 2 })).pauses).toHaveLength(2);
  expect((await dialed([silent], { errorsMax: 0 })).result).toBe(silent);
  expect((await dialed([silent, silent], { errorsMax: -1 })).result).toBe("connected");
});

test("another host key and a refused login end the update at once", async () => {
  const wrongKey = new Error("db presented another key");
  expect(await dialed([wrongKey])).toEqual({ result: wrongKey, lines: [], pauses: [] });
  expect((await dialed([silent, wrongKey])).result).toBe(wrongKey);
  expect(await dialed([refused])).toEqual({ result: refused, lines: [], pauses: [] });
});

test("a host that was silent before may refuse logins while it boots, but not for ever", async () => {
  expect((await dialed([silent, refused, refused, refused])).result).toBe("connected");
  expect((await dialed([silent, refused, refused, refused, refused])).result).toBe(refused);
});

/** A cloud-init that reports these states in turn; `--wait` runs `wait`. A double: only its two calls count here. */
async function withCloudInit(
  state: string,
  wait: string,
  limits: DialLimits = {},
): Promise<{ lines: string[]; error: unknown }> {
  const script = `#!/bin/sh\ncase "$*" in\n  status) echo 'status: ${state}' ;;\n  'status --wait') ${wait} ;;\nesac\n`;
  writeFileSync(join(folder, "cloud-init"), script, { mode: 0o755 });
  const path = process.env["PATH"] ?? "";
  process.env["PATH"] = [folder, path].join(delimiter);
  const connection = connectLocally();
  const lines: string[] = [];
  try {
    const error = await awaitCloudInit(connection, limits, (line) => lines.push(line)).catch((cause: unknown) => cause);
    return { lines, error };
  } finally {
    process.env["PATH"] = path;
    await connection.close();
  }
}

test("cloud-init is awaited while it runs, and only then", async () => {
  expect(await withCloudInit("done", "exit 9")).toEqual({ lines: [], error: undefined });
  expect(await withCloudInit("running", "exit 0")).toEqual({
    lines: ["waiting for cloud-init on this machine, up to 300 s"],
    error: undefined,
  });
});

test("errors of cloud-init are shown; one that does not end fails", async () => {
  expect((await withCloudInit("running", "exit 1")).lines.at(-1)).toContain("reports errors");
  const { error } = await withCloudInit("not run", "exec sleep 60", { waitSeconds: 1 });
  expect(String(error)).toContain("has not ended after 1 s");
});

test("a host without cloud-init has nothing to wait for", async () => {
  rmSync(join(folder, "cloud-init"));
  const connection = connectLocally();
  const lines: string[] = [];
  await awaitCloudInit(connection, {}, (line) => lines.push(line));
  await connection.close();
  expect(lines).toEqual([]);
});
