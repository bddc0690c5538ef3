import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import {
  type CloneReport,
  type CloneRequest,
  cloneJson,
  type CloneTools,
  makeClone,
} from "../../../../runtime/operations/clone/makeClone";
import { labelTimeMs } from "../../../../runtime/operations/open/openBackup";
import type { CloneState } from "../../../../runtime/operations/clone/cloneState";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

const PASSWORD = "marker-of-a-password";
let at: string;
let calls: string[];

const state: CloneState = {
  version: 1,
  ready: true,
  role: "clone",
  databases: ["shop"],
  listen: "127.0.0.1",
  port: 5501,
  allow: ["127.0.0.1/32"],
  dataTimeMs: Date.UTC(2026, 10, 26),
  endsAtMs: Date.UTC(2026, 10, 26, 1),
};

function leave(folder: Partial<CloneState> | null): void {
  mkdirSync(`${at}.pgbackstop`);
  if (folder !== null) writeFileSync(`${at}.pgbackstop/clone.json`, JSON.stringify({ ...state, ...folder }));
}

function made(over: Partial<CloneRequest> = {}): Promise<CloneReport> {
  const request: CloneRequest = {
    at,
    account: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    superuser: "postgres",
    maintenance: "postgres",
    allow: state.allow,
    databases: ["shop"],
    listen: state.listen,
    port: state.port,
    role: state.role,
    lifetimeMs: null,
    lockPath: join(at, "../lock"),
    self: { pid: process.pid, execId: "1-00000000" },
    password: PASSWORD,
    mask: null,
    closeArgv: [],
    ...over,
  };
  const tools: CloneTools = {
    open: async () => {
      calls.push("open");
      return { exitCode: 82, stdout: "", stderr: "INFO: begin\nERROR: [082]: no WAL\nHINT: look" };
    },
    close: async () => {
      calls.push("close");
    },
    timer: {
      log: testContext().log,
      program: () => {
        throw new Error("no timer is asked for here");
      },
    },
  };
  return makeClone(request, tools, testContext());
}

beforeEach(() => {
  at = join(temporaryFolder(), "pr-123");
  calls = [];
});

describe("a clone", () => {
  test("that cannot be opened is closed, and its error is what open says", async () => {
    await expect(made()).rejects.toThrow("ERROR: [082]: no WAL\nHINT: look");
    expect(calls).toEqual(["open", "close"]);
  });

  test("takes no directory that was only opened", async () => {
    leave(null);
    await expect(made()).rejects.toThrow("was opened, and is no clone");
    expect([calls, existsSync(`${at}.pgbackstop`)]).toEqual([[], true]);
  });

  // claim: docs/clones.md: a clone that was killed before it was masked begins again
  test("that was not masked is discarded before another one begins", async () => {
    leave({ ready: false });
    await expect(made()).rejects.toThrow("no WAL");
    expect(calls).toEqual(["close", "open", "close"]);
  });

  test("whose life is over does not continue", async () => {
    leave({ endsAtMs: 1 });
    await expect(made()).rejects.toThrow("ended at 1970-01-01T00:00:00.001Z");
    expect(calls).toEqual([]);
  });

  test("is refused before anything is opened, without its password in the message", async () => {
    await expect(made({ role: "pg_monitor" })).rejects.toThrow("reserves names");
    await expect(made({ password: "secret" })).rejects.toThrow("printable ASCII");
    await expect(made({ password: "secret" })).rejects.not.toThrow("secret");
    expect(calls).toEqual([]);
  });
});

test("the report is one line of JSON, with the age of the data", () => {
  const report = { state, at: "/srv/pr", backup: "B", repo: "repo1", fetchedBytes: 3, totalBytes: 9, diskBytes: 4 };
  const text = cloneJson(report, Date.UTC(2026, 10, 26, 0, 1));
  expect(JSON.parse(text)).toEqual({
    at: "/srv/pr",
    backup: "B",
    databases: ["shop"],
    dataAgeS: 60,
    dataTime: "2026-11-26T00:00:00.000Z",
    diskBytes: 4,
    endsAt: "2026-11-26T01:00:00.000Z",
    fetchedBytes: 3,
    listen: "127.0.0.1",
    port: 5501,
    repo: "repo1",
    role: "clone",
    totalBytes: 9,
  });
  expect(text).not.toContain("\n");
});

test("a label has the start of its own backup", () => {
  expect(labelTimeMs("20261120-020000F")).toBe(new Date(2026, 10, 20, 2).getTime());
  expect(labelTimeMs("20261120-020000F_20261121-030405I")).toBe(new Date(2026, 10, 21, 3, 4, 5).getTime());
});
