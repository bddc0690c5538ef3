/**
 * The head of the bundle, which Node runs first. The program follows in named texts, as comments
 * (tools/parts/build/build.ts): V8 skips a comment immediately, but scans every function of a program, in each process
 * and each worker thread. A process loads the texts that its command needs. They are compressed, as packages that only
 * some commands need are, because each process and each thread reads the whole file.
 *
 * V8's compiled code is cached with the texts next to the file as `<file>.compiled`, as Python does; where that is not
 * writable, each start unpacks and compiles the program. The cache counts only if the program's owner or the current
 * user owns it and no one else can write it. The checksums are ours, because V8 does not detect damage.
 *
 * `module.enableCompileCache` is as fast (processor time of a start: 66 ms with this, 69 with it, 96 with neither), but
 * does not cover the file that calls it: the head would first have to unpack another file into a directory that only
 * its owner can write.
 *
 * A Node that is too old is refused first: stanza-create would succeed there, and reading zstd would fail later.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { compileFunction, Script } from "node:vm";
import { isMainThread, threadId } from "node:worker_threads";
import { canRunRuntime } from "./base/nodeVersion";
import { exitCodeFor, GUARD_VARIABLE } from "./base/recoveryExit";
import { askStaying } from "./stay/askStaying";
import { isServedVerb, socketOf } from "./stay/place";

/** Exit code of stock's UnhandledError. */
const UNHANDLED_CODE = 124;

// Before anything that can fail.
if (isMainThread && process.argv.includes("archive-get")) guardRecovery();

/** Digest of the program's texts. The build defines this and the next constants. */
declare const PROGRAM_DIGEST: string;
/** Position (bytes before the end of the file) and size of each text. */
declare const TEXTS: Readonly<Record<string, readonly [fromEndBytes: number, sizeBytes: number]>>;
/** The text of each module of the program. */
declare const MODULES: Readonly<Record<string, string>>;

/** Exit code of stock's RuntimeError. */
const RUNTIME_ERROR_CODE = 122;
const STDERR_FD = 2;
/** As in the program. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

const MODULE_PARAMETERS = ["exports", "require", "module", "__filename", "__dirname"];
/** Modules of Node that this file and every command use. */
const USED_BY_ALL = new Set(["node:buffer", "node:crypto", "node:fs", "node:path", "node:worker_threads"]);
const COMPILED_FILE = `${__filename}.compiled`;
const DIGEST_BYTES = 32;
/** Open while the program runs: an update replaces the file, and a server loads packages later. */
const PROGRAM_FD = openSync(__filename, "r");
const STARTED = fstatSync(PROGRAM_FD);
/** False once a text was compiled. */
let isAllCompiled = true;
/** Group and others. */
const WRITABLE_BY_OTHERS = 0o022;

/**
 * However the process ends: an error before or outside the command, an uncaught one, or nothing left to wait for,
 * which Node takes for success.
 */
function guardRecovery(): void {
  const caller = { isRecovery: isRecovery(), isGuarded: process.env[GUARD_VARIABLE] !== undefined };
  process.exitCode = UNHANDLED_CODE;
  process.on("exit", (code) => {
    process.exitCode = exitCodeFor(code, caller);
  });
}

/**
 * True if the caller is an archive recovery. The configuration may be unreadable, so PostgreSQL's working directory
 * and its path for the file decide, and an option for a caller that has neither.
 */
function isRecovery(): boolean {
  const given = process.argv.flatMap((arg) => /^--(?:pg1?|db)-path=(.+)$/.exec(arg)?.[1] ?? []);
  return [".", dirname(dirname(process.argv.at(-1) ?? "")), ...given].some(
    (path) => existsSync(`${path}/recovery.signal`) && !existsSync(`${path}/standby.signal`),
  );
}

function refuseNode(): void {
  const fact = `pgbackstop needs Node.js 22.15 or newer, because older ones cannot read zstd; this is ${process.version} (${process.execPath})`;
  const hint = "Put a newer one first on PATH, or set nodePath of a host or the image of a cluster's plugin.";
  writeSync(STDERR_FD, `ERROR: [${RUNTIME_ERROR_CODE}]: ${fact}\nHINT: ${hint}\n`);
  process.exitCode = RUNTIME_ERROR_CODE;
}

interface Module {
  exports: object;
}

type ModuleBody = (exports: object, require: typeof requireFrom, module: Module) => void;

const bodies = new Map<string, ModuleBody>();
const modules = new Map<string, Module>();
/** Loaded texts of the program. */
const scripts = new Map<string, Script>();

/** What a module of the program requires: another one, a package, or a module of Node. */
function requireFrom(name: string): unknown {
  return name in MODULES || name in TEXTS ? loadModule(name) : requireOnUse(name);
}

function loadModule(name: string): object {
  const known = modules.get(name);
  if (known !== undefined) return known.exports;
  const module: Module = { exports: {} };
  const text = MODULES[name];
  if (text === undefined) loadPackage(name, module);
  else {
    if (!bodies.has(name)) loadText(text);
    modules.set(name, module);
    bodies.get(name)?.(module.exports, requireFrom, module);
  }
  modules.set(name, module);
  return module.exports;
}

/** A text is a function of what all its modules see besides their own, and returns their bodies. */
function loadText(name: string): void {
  const kept = readCompiled(name);
  if (!isMainThread) resetFlags();
  const script = new Script(kept?.text ?? unpackText(name), {
    filename: `${__filename}/${name}`,
    ...(kept === null ? {} : { cachedData: kept.code }),
  });
  kept?.code.buffer.transfer(0);
  if (scripts.size === 0) process.once("exit", keepCompiled);
  scripts.set(name, script);
  isAllCompiled &&= kept?.hasRun === true && script.cachedDataRejected !== true;
  const makeBodies = script.runInThisContext() as (...args: unknown[]) => Record<string, ModuleBody>;
  for (const [module, body] of Object.entries(makeBodies(__filename, __dirname))) bodies.set(module, body);
}

/** Runs a package as the body of a module, with Node's own `require`: packages also call what a module exports. */
function loadPackage(name: string, module: Module): void {
  const body = compileFunction(unpackText(name), MODULE_PARAMETERS, { filename: name });
  body(module.exports, require, module, __filename, __dirname);
}

function unpackText(name: string): string {
  // The program loads it at its first use, as other modules of Node.
  const { zstdDecompressSync } = requireOnUse("node:zlib") as typeof import("node:zlib");
  return zstdDecompressSync(Buffer.from(readText(name), "base64")).toString("latin1");
}

/**
 * Loads a module of Node at its first use, because most commands use few of them: that saves a sixth of a start's
 * processor time. The program's own imports only read properties of it.
 */
function requireOnUse(name: string): unknown {
  if (!name.startsWith("node:") || USED_BY_ALL.has(name)) return require(name);
  let loaded: object | undefined;
  const load = (): object => (loaded ??= require(name) as object);
  return new Proxy(
    {},
    {
      get: (_, key) => Reflect.get(load(), key) as unknown,
      has: (_, key) => Reflect.has(load(), key),
      ownKeys: () => Reflect.ownKeys(load()),
      // A proxy may not call a property fixed that its own target lacks.
      getOwnPropertyDescriptor: (_, key) => {
        const descriptor = Reflect.getOwnPropertyDescriptor(load(), key);
        return descriptor && { ...descriptor, configurable: true };
      },
    },
  );
}

/** The text of this name. @throws Error when the file was changed since the start */
function readText(name: string): string {
  const [fromEndBytes, sizeBytes] = TEXTS[name] ?? [0, 0];
  const { size, mtimeMs } = fstatSync(PROGRAM_FD);
  if (size !== STARTED.size || mtimeMs !== STARTED.mtimeMs)
    throw new Error(`${__filename} was changed while it ran: start it again`);
  return readAt(PROGRAM_FD, size - fromEndBytes, sizeBytes).toString("latin1");
}

/** Texts in the cache, of one program: each with its code before it, and a digest before both. */
interface CompiledHead {
  readonly program: string;
  readonly texts: Readonly<Record<string, CompiledText>>;
}

/** Code of a text that no command has run lacks its functions. */
type CompiledText = readonly [position: number, sizeBytes: number, codeSizeBytes: number, hasRun: boolean];

interface KeptText {
  readonly code: Buffer<ArrayBuffer>;
  readonly text: string;
  readonly hasRun: boolean;
}

const HEAD_BYTES = 4096;

/** Null without code for this text and this Node. */
function readCompiled(name: string): KeptText | null {
  return withCompiled((fd, { texts }) => {
    const [position, sizeBytes, codeSizeBytes, hasRun] = texts[name] ?? [0, 0, 0, false];
    const bytes = readAt(fd, position, sizeBytes);
    const rest = bytes.subarray(DIGEST_BYTES);
    if (!digestOf(name, rest).equals(bytes.subarray(0, DIGEST_BYTES))) return null;
    return { code: rest.subarray(0, codeSizeBytes), text: rest.toString("latin1", codeSizeBytes), hasRun };
  });
}

/** Null if the cache cannot be trusted or read. */
function withCompiled<T>(use: (fd: number, head: CompiledHead) => T): T | null {
  let fd: number | undefined;
  try {
    fd = openSync(COMPILED_FILE, "r");
    const { uid, mode } = fstatSync(fd);
    const isTrusted = uid === process.geteuid?.() || uid === statSync(__filename).uid;
    if (!isTrusted || (mode & WRITABLE_BY_OTHERS) !== 0) return null;
    const head = JSON.parse(readAt(fd, 0, HEAD_BYTES).toString("latin1")) as CompiledHead;
    return head.program === PROGRAM_DIGEST ? use(fd, head) : null;
  } catch {
    return null;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function readAt(fd: number, position: number, sizeBytes: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  return bytes.subarray(0, readSync(fd, bytes, 0, sizeBytes, position));
}

/**
 * With all code that the run compiled, and the texts that only other commands load: those may run as an account that
 * cannot write here. A full disk or a read-only directory is no error.
 */
function keepCompiled(): void {
  if (isAllCompiled) return;
  const aside = `${COMPILED_FILE}.${process.pid}.${threadId}`;
  let fd: number | undefined;
  try {
    fd = openSync(aside, "wx", 0o644);
    resetFlags();
    const kept = withCompiled((from, { texts }) =>
      Object.entries(texts).flatMap(([name, [position, sizeBytes, codeSizeBytes, hasRun]]) =>
        scripts.has(name) ? [] : [{ name, bytes: readAt(from, position, sizeBytes), codeSizeBytes, hasRun }],
      ),
    );
    const others = (kept ?? []).map(({ name }) => name);
    const own = [...new Set(Object.values(MODULES))]
      .filter((name) => !others.includes(name))
      .map((name) => {
        const text = unpackText(name);
        const code = (scripts.get(name) ?? new Script(text)).createCachedData();
        const content = Buffer.concat([code, Buffer.from(text, "latin1")]);
        const bytes = Buffer.concat([digestOf(name, content), content]);
        return { name, bytes, codeSizeBytes: code.length, hasRun: scripts.has(name) };
      });
    let end = HEAD_BYTES;
    const all = [...(kept ?? []), ...own];
    const texts = Object.fromEntries(
      all.map(({ name, bytes: { length }, codeSizeBytes, hasRun }) => {
        end += length;
        return [name, [end - length, length, codeSizeBytes, hasRun] as const];
      }),
    );
    const head = JSON.stringify({ program: PROGRAM_DIGEST, texts } satisfies CompiledHead).padEnd(HEAD_BYTES);
    writeFileSync(fd, Buffer.concat([Buffer.from(head), ...all.map(({ bytes }) => bytes)]));
    renameSync(aside, COMPILED_FILE);
  } catch {
    if (fd !== undefined) rmSync(aside, { force: true });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * V8 takes compiled code only under the flags that it was made under, in any thread of the process. These are its
 * defaults of the flags that workers/heap.ts changes.
 */
function resetFlags(): void {
  const { setFlagsFromString } = requireOnUse("node:v8") as typeof import("node:v8");
  setFlagsFromString("--semi-space-growth-factor=2");
  setFlagsFromString("--heap-growing-percent=0");
}

/** Digest of this text and its code for this Node and this family of processors. */
function digestOf(name: string, bytes: Buffer): Buffer {
  return createHash("sha256")
    .update(`${PROGRAM_DIGEST} ${name} ${process.version} ${process.arch}\n`)
    .update(bytes)
    .digest();
}

function runProgram(): void {
  loadModule(isMainThread ? "./main.js" : "./jobThread.js");
}

/** The socket of a process that an earlier call has left; null for any other call. */
function findStaying(): string | null {
  const { argv, env: environment, execArgv, execPath, version: nodeVersion } = process;
  if (!isMainThread || !argv.slice(2).some(isServedVerb)) return null;
  const path = socketOf({
    uid: process.geteuid?.() ?? -1,
    environment,
    execArgv,
    execPath,
    nodeVersion,
    programFile: __filename,
  });
  return path !== null && existsSync(path) ? path : null;
}

function askOrRun(path: string): void {
  const workingDirectory = findDirectory();
  const args = process.argv.slice(2);
  // Only the program has bytes that Node lost, and the message about a directory that was removed.
  if (workingDirectory === null || [workingDirectory, ...args].join().includes("\ufffd")) return runProgram();
  process.exitCode = UNHANDLED_CODE;
  void askStaying(path, { args, workingDirectory, write, onSignal }).then((code) => {
    if (code === null) runProgram();
    else process.exitCode = code;
  });
}

function findDirectory(): string | null {
  try {
    return process.cwd();
  } catch {
    return null;
  }
}

function write(kind: "out" | "err", text: string): void {
  process[kind === "out" ? "stdout" : "stderr"].write(text);
}

function onSignal(pass: (name: NodeJS.Signals) => void): () => void {
  for (const name of SIGNALS) process.on(name, pass);
  return () => {
    for (const name of SIGNALS) process.off(name, pass);
  };
}

const staying = canRunRuntime(process.version) ? findStaying() : null;
if (!canRunRuntime(process.version)) refuseNode();
else if (staying === null) runProgram();
else askOrRun(staying);
