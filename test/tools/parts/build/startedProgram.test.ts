/** Builds runtime/start.ts, the head of the bundle, with a small program, and runs the result with the real Node. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findNodeFault } from "../../../../components/host/runtimeVerbs";
import { projectFolder } from "../../../../tools/parts/cache";
import { startedProgram } from "../../../../tools/parts/build/build";

const NOBODY = 65534;
const isRoot = process.geteuid?.() === 0;

let folder = "";
let file = "";
let compiled = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "started-program-"));
  file = join(folder, "program.cjs");
  compiled = `${file}.compiled`;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A program of one module, and of others by their texts. */
async function writeProgram(
  main: string,
  other: string,
  more: Readonly<Record<string, Readonly<Record<string, string>>>> = {},
): Promise<void> {
  const program = new Map([
    ["main", new Map([["./main.js", main]])],
    ...Object.entries(more).map(([name, modules]) => [name, new Map(Object.entries(modules))] as const),
  ]);
  const bytes = await startedProgram(projectFolder(), program, new Map([["other", other]]));
  writeFileSync(file, bytes, { mode: 0o755 });
}

const LOAD_OTHER = `const other=require("other")`;

async function makeProgram(arg = "first"): Promise<void> {
  await writeProgram(
    `/* a comment */${LOAD_OTHER};console.log("${arg}",other.name,__filename===require("node:path").resolve(process.argv[1]),process.argv.slice(2).join())`,
    `exports.name=/a*/.test("other")&&"other";`,
  );
}

function run(options: { readonly uid?: number; readonly node?: string } = {}): string {
  return execFileSync(options.node ?? process.execPath, [file, "a", "b"], {
    encoding: "utf8",
    ...(options.uid === undefined ? {} : { uid: options.uid }),
  });
}

/** Makes a program that runs `act` on its own file before it loads its package. */
async function makeSlowProgram(act: string): Promise<void> {
  await writeProgram(
    `const fs=require("node:fs");${act};${LOAD_OTHER};console.log(other.name)`,
    'exports.name="other";',
  );
}

test("a package is loaded from the started file, whatever has replaced it since", async () => {
  await makeSlowProgram('fs.renameSync(__filename,__filename+".old");fs.writeFileSync(__filename,"x".repeat(5000))');
  expect(run()).toBe("other\n");
  await makeSlowProgram("fs.rmSync(__filename)");
  expect(run()).toBe("other\n");
});

test("a file that was overwritten while it ran is not mistaken for the old one", async () => {
  await makeSlowProgram('fs.writeFileSync(__filename,"x".repeat(5000))');
  expect(() => run()).toThrow(/was changed while it ran: start it again/);
});

test("a module of Node is loaded when it is used, and a package gets Node's own", async () => {
  const program = `
    const tls = require("node:tls");
    const isLoaded = () => process.moduleLoadList.includes("NativeModule tls");
    const before = isLoaded();
    const copy = { ...tls };
    const real = process.getBuiltinModule("node:tls");
    ${LOAD_OTHER};
    console.log(before, isLoaded(), copy.connect === real.connect, tls.connect === real.connect, "connect" in tls, "x" in tls, other.name);`;
  await writeProgram(
    program,
    `class Other extends require("node:events") {} exports.name = new Other().emit("nothing");`,
  );
  expect(run()).toBe("false true true true true false false\n");
});

/** Runs the program on this Node, which reports another version. */
function runAs(version: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const preload = join(folder, "version.cjs");
  writeFileSync(preload, `Object.defineProperty(process, "version", { value: "${version}" });`);
  return spawnSync(process.execPath, ["--require", preload, file, "a", "b"], { encoding: "utf8" });
}

test.each(["v16.20.2", "v18.19.0", "v20.20.2", "v22.14.0", "v23.7.0"])(
  "Node.js %s is refused before anything runs",
  async (version) => {
    await makeProgram();
    expect(runAs(version)).toMatchObject({
      status: 122,
      stdout: "",
      stderr: `ERROR: [122]: pgbackstop needs Node.js 22.15 or newer, because older ones cannot read zstd; this is ${version} (${process.execPath})\nHINT: Put a newer one first on PATH, or set nodePath of a host or the image of a cluster's plugin.\n`,
    });
    expect(existsSync(compiled)).toBe(false);
  },
);

test.each(["v22.15.0", "v23.8.0", "v24.21.0", "v100.0.0-nightly2026"])("Node.js %s is new enough", async (version) => {
  await makeProgram();
  expect(runAs(version)).toMatchObject({ status: 0, stdout: "first other true a,b\n" });
});

test("the components refuse the same versions on hosts", () => {
  for (const [version, fault] of [
    ["v22.14.0", "is v22.14.0 but the runtime needs at least v22.15"],
    ["v23.7.0", "is v23.7.0 but the runtime needs at least v22.15, or v23.8"],
    ["v22.15.0", null],
    ["v23.8.0", null],
    ["v24.0.0", null],
  ])
    expect(findNodeFault({ exitCode: 0, stdout: `${version}\n`, stderr: "" })).toBe(fault);
});

const identity = (): string => `${statSync(compiled).ino} ${statSync(compiled).mtimeMs}`;

test("the program runs as the file's own module, with packages that contain comment ends, and its compiled code stays beside it", async () => {
  await makeProgram();
  expect(run()).toBe("first other true a,b\n");
  expect(readdirSync(folder).sort()).toEqual(["program.cjs", "program.cjs.compiled"]);
  expect(statSync(compiled).mode & 0o777).toBe(0o644);

  const before = identity();
  expect(run()).toBe("first other true a,b\n");
  expect(identity()).toBe(before);
});

test("the compiled code serves the next start and its threads, although the run changed V8's flags", async () => {
  const program = `
    const { isMainThread, Worker } = require("node:worker_threads");
    if (isMainThread) {
      const flags = ["--semi-space-growth-factor=1", "--heap-growing-percent=30", "--min-semi-space-size=4"];
      for (const flag of flags) require("node:v8").setFlagsFromString(flag);
      new Worker(__filename);
    }`;
  await writeProgram(program, "", { thread: { "./jobThread.js": "" } });
  const preload = join(folder, "rejected.cjs");
  writeFileSync(
    preload,
    `const vm = require("node:vm"), { isMainThread } = require("node:worker_threads");
     const Real = vm.Script;
     vm.Script = class extends Real {
       constructor(...args) {
         super(...args);
         require("node:fs").writeSync(1, (isMainThread ? "main " : "thread ") + this.cachedDataRejected + "\\n");
       }
     };`,
  );
  const start = (): string[] =>
    execFileSync(process.execPath, ["--require", preload, file], { encoding: "utf8" }).trim().split("\n");
  start();
  expect(start()).toEqual(["main false", "thread false"]);
});

test("another program in its place runs at once, and its own code replaces the old one's", async () => {
  await makeProgram();
  run();
  const before = identity();
  // Same length: V8 compares nothing else.
  await makeProgram("other");
  expect(run()).toBe("other other true a,b\n");
  expect(identity()).not.toBe(before);
});

// claim: docs/commands.md: `runtime.cjs.compiled` may be deleted…
test.each([
  ["a flipped byte", (bytes: Buffer) => bytes.fill((bytes.at(-9) ?? 0) ^ 0xff, bytes.length - 9, bytes.length - 8)],
  ["a flipped byte of its table", (bytes: Buffer) => bytes.fill(0x7d, 20, 21)],
  ["a truncated file", (bytes: Buffer) => bytes.subarray(0, -9)],
  ["an empty file", () => Buffer.alloc(0)],
])("damaged compiled code is not run but compiled again: %s", async (_, damage) => {
  await makeProgram();
  run();
  const good = readFileSync(compiled);
  writeFileSync(compiled, damage(Buffer.from(good)));
  const before = identity();
  expect(run()).toBe("first other true a,b\n");
  expect(identity()).not.toBe(before);
});

// claim: docs/commands.md: `runtime.cjs.compiled` may be deleted, and is used only if it can be trusted
test("code that others could have written is not trusted", async () => {
  await makeProgram();
  run();
  chmodSync(compiled, 0o664);
  const before = identity();
  expect(run()).toBe("first other true a,b\n");
  expect(identity()).not.toBe(before);
  expect(statSync(compiled).mode & 0o777).toBe(0o644);
});

test.runIf(isRoot)("nor is code of an account that neither owns the program nor runs it", async () => {
  await makeProgram();
  run();
  chownSync(compiled, NOBODY, NOBODY);
  expect(run()).toBe("first other true a,b\n");
  expect(statSync(compiled).uid).toBe(0);
});

test.runIf(isRoot)(
  "an account that cannot write there runs the program, with its owner's compiled code or without",
  async () => {
    await makeProgram();
    chmodSync(folder, 0o755);
    // Other accounts cannot reach a Node below /root.
    const node = join(folder, "node");
    copyFileSync(process.execPath, node);
    expect(run({ uid: NOBODY, node })).toBe("first other true a,b\n");
    expect(existsSync(compiled)).toBe(false);

    run();
    const before = identity();
    expect(run({ uid: NOBODY, node })).toBe("first other true a,b\n");
    expect(identity()).toBe(before);
    expect(readdirSync(folder).sort()).toEqual(["node", "program.cjs", "program.cjs.compiled"]);
  },
);

test("a text that only some commands need is loaded on demand, once, and adds its code to that of the others", async () => {
  const main = `
    for (const name of process.argv.slice(2)) if (name.startsWith("./")) console.log(require(name).name, require(name) === require(name));
    console.log("main");`;
  const noisy = (name: string): string => `console.log("loading ${name}"); module.exports = { name: "${name}" };`;
  await writeProgram(main, "", {
    first: { "./first.js": noisy("first"), "./beside.js": `exports.name = require("./first.js").name + " too";` },
    second: { "./second.js": noisy("second") },
  });
  const call = (...args: string[]): string => execFileSync(process.execPath, [file, ...args], { encoding: "utf8" });
  /** With the code of the functions that have run. All texts are there, for accounts that cannot write. */
  const texts = (): string[] => {
    type Head = { readonly texts: Readonly<Record<string, readonly [number, number, number, hasRun: boolean]>> };
    const head = Object.entries((JSON.parse(readFileSync(compiled, "latin1").slice(0, 4096)) as Head).texts);
    expect(head).toHaveLength(3);
    return head
      .filter(([, [, , , hasRun]]) => hasRun)
      .map(([name]) => name)
      .sort();
  };
  expect(call()).toBe("main\n");
  expect(texts()).toEqual(["main"]);
  expect(call("./beside.js", "./first.js")).toBe("loading first\nfirst too true\nfirst true\nmain\n");
  expect(texts()).toEqual(["first", "main"]);
  expect(call("./second.js")).toBe("loading second\nsecond true\nmain\n");
  expect(texts()).toEqual(["first", "main", "second"]);
  const before = identity();
  expect(call("./first.js", "./second.js")).toBe("loading first\nfirst true\nloading second\nsecond true\nmain\n");
  expect(identity()).toBe(before);
});
