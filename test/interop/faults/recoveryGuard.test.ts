/**
 * Fails every step in the life of `archive-get` in a data directory that recovers. PostgreSQL takes the codes from 1 to
 * 125, and 0 without a file, for the end of the archive, and opens without the later transactions.
 */
// claim: README.md: no fault in the life of `archive-get`, from Node's start to the last line of output, is the end of
//   the archive (each option, file and call of the file system fails; cut bundles and clients; signals at any time)
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { type SpawnOptions, spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { guardedArchiveGet } from "../../../runtime/base/recoveryExit";
import { findOnPath, type RunResult, run } from "../../../tools/parts/process";
import { vectorBytes } from "../../runtime/format/vectors";
import { makeDataDirectory, walBytes, walName } from "../../runtime/repository/support";
import { findRuntime, type RuntimeProgram } from "../../harness/real/runtimeCli";
import { projectFolder } from "../../../tools/parts/cache";
import { NIGHTLY } from "../../../tools/parts/nightly";

const SEGMENT_BYTES = 16 * 1024 * 1024;
const STORED = walName(1);
const MISSING = walName(2);
/** Runs at the same time. */
const AT_ONCE = 4;

let folder = "";
let data = "";
let config = "";
let program: RuntimeProgram;
const segment = Buffer.alloc(SEGMENT_BYTES, 7);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pgb-guard-"));
  data = makeDataDirectory(folder);
  config = join(folder, "pgbackrest.conf");
  writeFileSync(config, configText());
  segment.set(walBytes(1));
  segment.set(vectorBytes("wal-header.pg15.first512.bin"));
  writeFileSync(join(data, "pg_wal", STORED), segment);
  program = await findRuntime();
  for (const args of [
    ["stanza-create", "--no-online"],
    ["--archive-timeout=60", "archive-push", `pg_wal/${STORED}`],
  ]) {
    const { exitCode, stdout } = await run(program.node, [program.file, ...options(), ...args], { cwd: data });
    expect(`${exitCode} ${exitCode === 0 ? "" : stdout}`).toBe("0 ");
  }
  writeFileSync(join(data, "recovery.signal"), "");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function configText(more: Readonly<Record<string, string>> = {}): string {
  const global = {
    "archive-timeout": "100ms",
    "compress-type": "zst",
    "lock-path": join(folder, "lock"),
    "log-path": join(folder, "log"),
    "log-level-file": "info",
    "repo1-path": join(folder, "repo"),
    "repo1-retention-full": "2",
    "spool-path": join(folder, "spool"),
    ...more,
  };
  const lines = Object.entries(global).map(([name, value]) => `${name}=${value}\n`);
  return `[global]\n${lines.join("")}[demo]\npg1-path=${data}\n`;
}

function options(): string[] {
  return [`--config=${config}`, "--stanza=demo", "--allow-root"];
}

interface Call {
  /** Default: the one that is stored. */
  readonly name?: string;
  readonly cwd?: string;
  readonly node?: string;
  readonly file?: string;
  readonly options?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** As PostgreSQL runs what `restore` writes; else as users wrote it before there was a guard. */
  readonly guarded?: boolean;
  /** The reader of the output has gone. */
  readonly isUnread?: boolean;
  /** Shell words after the command. */
  readonly redirect?: string;
  readonly killAfterMs?: number;
}

let count = 0;

/** PostgreSQL's view of one call: what it would do next. */
async function outcome(call: Call = {}): Promise<string> {
  const { name = STORED, node = program.node, file = program.file, cwd = data, guarded = true } = call;
  const path = `pg_wal/RECOVERYXLOG${++count}`;
  const invocation = [node, file, ...(call.options ?? options())].map((argument) => `'${argument}'`).join(" ");
  const command = `${invocation} archive-get %f "%p"${call.redirect ?? ""}`;
  const line = (guarded ? guardedArchiveGet(command) : `exec ${command}`).replaceAll("%f", name).replaceAll("%p", path);
  const limited = call.killAfterMs === undefined ? [] : ["timeout", `${call.killAfterMs / 1000}`];
  const [shell, ...args] = [...limited, "/bin/sh", "-c", line];
  const env = { ...process.env, ...call.environment };
  const { exitCode, stdout, stderr } = await (call.isUnread === true ? runUnread : run)(shell, args, { cwd, env });
  const isThere = existsSync(join(cwd, path));
  const isRight = isThere && readFileSync(join(cwd, path)).equals(segment);
  rmSync(join(cwd, path), { force: true });
  // `timeout` has 124 for a call that it ended; a shell that PostgreSQL started has 143.
  if (exitCode > 125 || (call.killAfterMs !== undefined && exitCode === 124)) return "stops";
  if (exitCode === 0 && isThere) return isRight ? "continues" : "continues with a wrong file";
  return `opens: ${exitCode} ${stdout}${stderr}`;
}

function runUnread(command: string, args: readonly string[], spawned: SpawnOptions): Promise<RunResult> {
  const child = spawn(command, args, { ...spawned, stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.destroy();
  child.stderr.destroy();
  return new Promise((resolve) =>
    child.once("exit", (code) => resolve({ exitCode: code ?? 143, stdout: "", stderr: "", elapsedMs: 0 })),
  );
}

/** Calls beside each other; the outcomes that PostgreSQL must not get, by the name of their fault. */
async function wrong(calls: ReadonlyMap<string, Call>, right = ["stops", "continues"]): Promise<string[]> {
  const waiting = [...calls];
  const faults: string[] = [];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const seen = await outcome(next[1]);
      if (!right.includes(seen)) faults.push(`${next[0]}: ${seen}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return faults;
}

/** Each call without the guard, which would hide what the program does. */
function plain(calls: Readonly<Record<string, Call>>): Map<string, Call> {
  return new Map(Object.entries(calls).map(([name, call]) => [name, { ...call, guarded: false }]));
}

/** Each call with and without the guard. */
function both(calls: Readonly<Record<string, Call>>): Map<string, Call> {
  return new Map<string, Call>(
    Object.entries(calls).flatMap(([name, call]): [string, Call][] => [
      [`${name}, guarded`, { ...call, guarded: true }],
      [`${name}, plain`, { ...call, guarded: false }],
    ]),
  );
}

function written(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const withConfig = (name: string, text: string): Call => ({
  options: [`--config=${written(name, text)}`, "--stanza=demo", "--allow-root"],
});

test("without a fault it gets the file, and only a file in no repository ends the recovery", async () => {
  expect(await wrong(both({ stored: {} }), ["continues"])).toEqual([]);
  for (const guarded of [true, false]) expect(await outcome({ name: MISSING, guarded })).toMatch(/^opens: 1 /);
});

test("arguments, configuration and output", async () => {
  const file = configText();
  const faults: Record<string, Call> = {
    "unknown option": { options: [...options(), "--no-such-option=1"] },
    "option of another command": { options: [...options(), "--type=full"] },
    "bad value": { options: [...options(), "--log-level-console=loud"] },
    "bad value in the file": withConfig("bad.conf", configText({ "log-level-console": "loud" })),
    "no section": withConfig("section.conf", `x=1\n${file}`),
    "missing configuration": { options: [`--config=${folder}/none.conf`, "--stanza=demo"] },
    "unreadable configuration": { options: [`--config=${folder}`, "--stanza=demo"] },
    "no stanza": { options: [`--config=${config}`] },
    "no repository": withConfig("none.conf", configText({ "repo1-path": join(folder, "gone") })),
    "no destination directory": { cwd: folder, options: [...options(), `--pg1-path=${data}`] },
  };
  expect(await wrong(plain(faults), ["stops"])).toEqual([]);
  const settings = { options: [...options(), `--settings=${written("bad.json", "{")}`] };
  expect(await wrong(plain({ "settings that are no JSON": settings }), ["continues"])).toEqual([]);
  const loud = [...options(), "--log-level-console=debug", "--log-level-stderr=debug"];
  const outputs: Record<string, Call> = { "nobody reads": { options: loud, isUnread: true } };
  for (const redirect of [">/dev/full", "2>/dev/full", ">/dev/full 2>&1", ">&-", "2>&-", ">&- 2>&-"])
    outputs[redirect] = { options: loud, redirect: ` ${redirect}` };
  expect(await wrong(plain(outputs), ["continues"])).toEqual([]);
  mkdirSync(join(folder, "full"));
  symlinkSync("/dev/full", join(folder, "full", "demo-archive-get.log"));
  const logs = {
    "log path is a file": withConfig("log1.conf", configText({ "log-path": config })),
    "log is a full device": withConfig("log2.conf", configText({ "log-path": join(folder, "full") })),
    "log path cannot be made": withConfig("log3.conf", configText({ "log-path": "/proc/log" })),
  };
  expect(await wrong(plain(logs), ["continues"])).toEqual([]);
});

test("streamed WAL that cannot be listed is not the end of the WAL", async () => {
  const stream = join(folder, "repo/pgbackstop/demo/stream");
  mkdirSync(stream, { recursive: true });
  // No account can list it.
  symlinkSync("15-1", join(stream, "15-1"));
  try {
    expect(await wrong(both({ missing: { name: MISSING } }), ["stops"])).toEqual([]);
  } finally {
    rmSync(join(folder, "repo/pgbackstop"), { recursive: true });
  }
  expect(await outcome({ name: MISSING })).toMatch(/^opens: 1 /);
});

test("an option that archive-get does not use never stops it", async () => {
  const unused = {
    "start-fast": "maybe",
    "repo1-retention-full": "0",
    "repo1-s3-uri-style": "none",
    "compress-level": "x",
  };
  expect(await wrong(plain({ unused: withConfig("unused.conf", configText(unused)) }), ["continues"])).toEqual([]);
});

describe("before the program", () => {
  test("Node does not start, is too old or has no memory", async () => {
    const older = written("older.cjs", `Object.defineProperty(process, "version", { value: "v18.0.0" });`);
    const faults: Record<string, Call> = {
      "no Node": { node: join(folder, "none") },
      "Node is a directory": { node: folder },
      "Node is empty": { node: written("empty-node", "") },
      "refused option of Node": { environment: { NODE_OPTIONS: "--no-such-option" } },
      "missing module": { environment: { NODE_OPTIONS: "--require=/none.cjs" } },
      "too old": { environment: { NODE_OPTIONS: `--require=${older}` } },
      "no memory": { environment: { NODE_OPTIONS: "--max-old-space-size=1" } },
    };
    const guarded = new Map(Object.entries(faults));
    expect(await wrong(guarded, ["stops"])).toEqual([]);
    expect(await wrong(both({ "too old": faults["too old"] ?? {} }), ["stops"])).toEqual([]);
  });

  test("the bundle is missing, a directory, or cut or overwritten with zeros anywhere", async () => {
    const { size } = statSync(program.file);
    const bytes = readFileSync(program.file);
    const headBytes = bytes.indexOf("/*\n");
    const damaged = new Map<string, Call>([
      ["missing", { file: join(folder, "none.cjs") }],
      ["directory", { file: folder }],
    ]);
    const offsets = [0, 1, 100, headBytes >> 1, headBytes - 1, headBytes, headBytes + 1000, size >> 1, size - 3];
    for (const at of offsets) {
      const cut = join(folder, `cut-${at}.cjs`);
      copyFileSync(program.file, cut);
      truncateSync(cut, at);
      damaged.set(`cut at ${at}`, { file: cut });
      const zeros = Buffer.from(bytes).fill(0, at, Math.min(size, at + 4096));
      damaged.set(`zeros at ${at}`, { file: written(`zeros-${at}.cjs`, zeros) });
    }
    expect(await wrong(damaged)).toEqual([]);
    expect(await wrong(new Map([["whole", { file: written("whole.cjs", bytes) }]]), ["continues"])).toEqual([]);
  });

  test("the agent's client is missing, without an agent, without Perl, or cut anywhere", async () => {
    const perl = await findOnPath("perl");
    if (perl === null) return;
    const client = readFileSync(join(projectFolder(), "dist", "pgbackrest-client"));
    const socket = [join(folder, "no.sock")];
    const damaged = new Map<string, Call>([
      ["missing", { node: perl, file: join(folder, "none"), options: socket }],
      ["no Perl", { node: join(folder, "none"), file: join(folder, "none"), options: socket }],
      ["no agent", { node: perl, file: written("client", client), options: socket }],
    ]);
    for (let at = 0; at < client.length; at += 40)
      damaged.set(`cut at ${at}`, {
        node: perl,
        file: written(`client-${at}`, client.subarray(0, at)),
        options: socket,
      });
    expect(await wrong(damaged, ["stops"])).toEqual([]);
  });
});

test("a call of the file system fails, an error is uncaught, or nothing is left to wait for", async () => {
  // Counts from the moment when Node has read the bundle: an earlier fault is Node's, which only the guard covers.
  const preload = written(
    "faults.cjs",
    `const fs = require("node:fs");
const at = Number(process.env.FAULT_AT), kind = process.env.FAULT_KIND;
let count = 0;
const bundle = fs.realpathSync.native(process.argv[1]);
const fault = (name, [path]) => {
  if (require.cache[bundle] === undefined || (name === "readFileSync" && path === bundle) || ++count !== at) return null;
  if (kind === "uncaught") setImmediate(() => { throw new Error("injected"); });
  if (kind === "rejected") Promise.reject(new Error("injected"));
  if (kind === "exit") process.exit(1);
  if (kind === "hang") return new Promise(() => undefined);
  if (kind === "term") process.kill(process.pid, "SIGTERM");
  return kind === "error" ? Object.assign(new Error(name + " EIO"), { code: "EIO", errno: -5, syscall: name }) : null;
};
const patch = (object, name, fail) => {
  const own = object[name];
  object[name] = function (...args) {
    const error = fault(name, args);
    return error === null ? own.apply(this, args) : fail(error, own, this, args);
  };
};
const raise = (error, own, self, args) => { if (error instanceof Promise) return own.apply(self, args); throw error; };
for (const name of ["openSync","readSync","writeSync","closeSync","fstatSync","statSync","lstatSync","readFileSync","writeFileSync","readdirSync","mkdirSync","renameSync","rmSync"])
  patch(fs, name, raise);
for (const name of ["open","readFile","stat","lstat","readdir","mkdir","rename","rm","unlink","realpath"])
  patch(fs.promises, name, (error) => (error instanceof Promise ? error : Promise.reject(error)));
process.on("exit", () => { if (process.env.FAULT_COUNT) fs.writeFileSync(process.env.FAULT_COUNT, String(count)); });
`,
  );
  const environment = { NODE_OPTIONS: `--require=${preload}`, FAULT_COUNT: join(folder, "count") };
  expect(await outcome({ environment, guarded: false })).toBe("continues");
  const calls = Number(readFileSync(environment.FAULT_COUNT, "utf8"));
  expect(calls).toBeGreaterThan(20);
  const faults = new Map<string, Call>();
  const step = NIGHTLY ? 1 : 12;
  for (let at = step; at <= calls; at += step) {
    for (const kind of ["error", "uncaught", "rejected", "hang", "term", "exit"]) {
      // An error in each call, the other ends at every sixth.
      if (kind !== "error" && at % 6 !== 0) continue;
      const fault = { NODE_OPTIONS: `--require=${preload}`, FAULT_AT: `${at}`, FAULT_KIND: kind };
      faults.set(`${kind} at ${at}`, { environment: fault, guarded: false });
    }
  }
  expect(await wrong(faults)).toEqual([]);
});

test("it is told to end at any time", async () => {
  const beganMs = Date.now();
  await outcome();
  const durationMs = Date.now() - beganMs;
  const kills = new Map<string, Call>();
  for (let part = 1; part <= 20; part++) {
    const killAfterMs = (durationMs * part) / 16;
    kills.set(`after ${killAfterMs} ms of ${durationMs}`, { killAfterMs, guarded: part % 2 === 0 });
  }
  expect(await wrong(kills)).toEqual([]);
});

test("a standby, which repeats its requests, never gets a code that stops it", async () => {
  const standby = join(folder, "standby");
  mkdirSync(standby);
  makeDataDirectory(standby, { "recovery.signal": "", "standby.signal": "" });
  const cwd = join(standby, "data");
  const own = `--pg1-path=${cwd}`;
  const calls = both({
    "bad value": { cwd, options: [...options(), own, "--log-level-console=loud"] },
    "no repository": { cwd, options: [...options(), own, `--repo1-path=${folder}/gone`] },
  });
  for (const call of calls.values()) expect(await outcome(call)).toMatch(/^opens: (32|103) /);
});
