/**
 * What Node runs first: the head of the bundle. The program and the packages that only some commands need lie behind it as comments, each
 * under its name (tools/parts/build.ts), because V8 passes over a comment at once, but looks through every function of a program that it
 * meets, in each process and each worker thread anew.
 *
 * What V8 makes of the program is kept beside the file for the next start, as `<file>.compiled`, in the way of Python; where nothing can be
 * written there the program is compiled each time. The kept code is as trustworthy as who wrote it: it counts only when it belongs to the
 * owner of the program or to the user who runs it, and nobody else can write it. V8 does not look for damage in it: the checksum is ours.
 *
 * `module.enableCompileCache` buys the same (processor time of a start: 66 ms with this, 69 with it, 96 with neither), but not for the file that calls
 * it: this one file would first have to unpack another one into a directory that only its owner can write.
 *
 * A Node that is too old is refused before anything else: stanza-create would succeed there, and what reads zstd would fail later.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync, readSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { compileFunction, Script } from "node:vm";
import { isMainThread } from "node:worker_threads";

/** Of the program's text. This and the next come from the build. */
declare const PROGRAM_DIGEST: string;
/** Where each text lies: bytes from its beginning to the end of the file, and its size. */
declare const TEXTS: Readonly<Record<string, readonly [fromEndBytes: number, sizeBytes: number]>>;

const MAJOR_MIN = 22;
/** Oldest minor version with zstd by major version (nodejs.org, "Zlib", history of createZstdCompress); later ones all have it. */
const MINOR_MIN: Readonly<Record<number, number>> = { 22: 15, 23: 8 };
/** Of stock's RuntimeError. */
const RUNTIME_ERROR_CODE = 122;
const STDERR_FD = 2;

const MODULE_WORDS = ["exports", "require", "module", "__filename", "__dirname"];
/** The program sees this file's own module, and loads packages with the one more word. */
const PROGRAM_WORDS = [...MODULE_WORDS, "loadPackage"];
/** `*` and `/` are kept apart in a comment, or it would end there. */
const KEPT_APART = /\*\u0001\//g;
const COMPILED_FILE = `${__filename}.compiled`;
const DIGEST_BYTES = 32;
/** Open for as long as the program runs: an update puts another file in its place, and what serves loads packages late. */
const PROGRAM_FD = openSync(__filename, "r");
const STARTED = fstatSync(PROGRAM_FD);
/** Group and others. */
const WRITABLE_BY_OTHERS = 0o022;

function isNodeTooOld(): boolean {
  const [major = 0, minor = 0] = process.version.slice(1).split(".").map(Number);
  return major < MAJOR_MIN || minor < (MINOR_MIN[major] ?? 0);
}

function refuseNode(): void {
  const fact = `pgbackstop needs Node.js 22.15 or newer, because older ones cannot read zstd; this is ${process.version} (${process.execPath})`;
  const hint = "put a newer one first on PATH, or name it: nodePath of a host, image of a cluster's plugin.";
  writeSync(STDERR_FD, `ERROR: [${RUNTIME_ERROR_CODE}]: ${fact}\nHINT: ${hint}\n`);
  process.exitCode = RUNTIME_ERROR_CODE;
}

function loadProgram(): (...words: unknown[]) => void {
  const compiled = readCompiled();
  const script = new Script(`(function (${PROGRAM_WORDS.join(", ")}) {${readText("program")}\n})`, {
    filename: __filename,
    ...(compiled === null ? {} : { cachedData: compiled }),
  });
  if (isMainThread && (compiled === null || script.cachedDataRejected === true)) process.once("exit", () => keepCompiled(script));
  return script.runInThisContext() as ReturnType<typeof loadProgram>;
}

/** Runs a package as the body of a module. */
function loadPackage(name: string, ...words: unknown[]): void {
  compileFunction(readText(name), MODULE_WORDS, { filename: name })(...words);
}

/** What lies behind the head under a name. @throws Error when other bytes were written into the file since it was started */
function readText(name: string): string {
  const [fromEndBytes, sizeBytes] = TEXTS[name] ?? [0, 0];
  const { size, mtimeMs } = fstatSync(PROGRAM_FD);
  if (size !== STARTED.size || mtimeMs !== STARTED.mtimeMs) throw new Error(`${__filename} was changed while it ran: start it again`);
  const bytes = Buffer.allocUnsafe(sizeBytes);
  readSync(PROGRAM_FD, bytes, 0, sizeBytes, size - fromEndBytes);
  return bytes.toString("latin1").replace(KEPT_APART, "*/");
}

/** Null when there is none, or none for this program and this Node. */
function readCompiled(): Buffer | null {
  let fd: number | undefined;
  try {
    fd = openSync(COMPILED_FILE, "r");
    const { uid, mode } = fstatSync(fd);
    const isTrusted = uid === process.geteuid?.() || uid === statSync(__filename).uid;
    if (!isTrusted || (mode & WRITABLE_BY_OTHERS) !== 0) return null;
    const bytes = readFileSync(fd);
    const compiled = bytes.subarray(DIGEST_BYTES);
    return digestOf(compiled).equals(bytes.subarray(0, DIGEST_BYTES)) ? compiled : null;
  } catch {
    return null;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** With all that the run compiled. It saves time and nothing else: a full disk or a read-only directory is no error. */
function keepCompiled(script: Script): void {
  const aside = `${COMPILED_FILE}.${process.pid}`;
  let fd: number | undefined;
  try {
    fd = openSync(aside, "wx", 0o644);
    const compiled = script.createCachedData();
    writeFileSync(fd, Buffer.concat([digestOf(compiled), compiled]));
    renameSync(aside, COMPILED_FILE);
  } catch {
    if (fd !== undefined) rmSync(aside, { force: true });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Of code for this program, this Node and this family of processors. */
function digestOf(compiled: Buffer): Buffer {
  return createHash("sha256").update(`${PROGRAM_DIGEST} ${process.version} ${process.arch}\n`).update(compiled).digest();
}

if (isNodeTooOld()) refuseNode();
else loadProgram()(exports, require, module, __filename, __dirname, loadPackage);
