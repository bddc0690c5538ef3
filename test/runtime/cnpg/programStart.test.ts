/** The shell commands and the script of programStart.ts, run as containers run them, with a server of the test. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { brotliCompressSync, gunzipSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PATHS } from "../../../runtime/cnpg/names";
import {
  FETCH,
  FETCH_SOURCES,
  programPath,
  sourceCommand,
  startCommand,
  unpackCommand,
} from "../../../runtime/cnpg/programStart";
import { run } from "../../../tools/parts/process";
import { temporaryFolder } from "../repository/support";

const PROGRAM = 'process.stdout.write(`started ${process.argv.slice(2).join(" ")}`);';
const sha256Of = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");
const SHA256 = sha256Of(PROGRAM);
const PACKED = brotliCompressSync(PROGRAM);

let folder: string;
let server: Server;
let url: string;
let asked: string[];
let answer: (response: ServerResponse) => void;
const running: ChildProcess[] = [];

beforeEach(async () => {
  folder = temporaryFolder();
  mkdirSync(join(folder, "run"));
  asked = [];
  answer = (response) => void response.end(PACKED);
  server = createServer((request, response) => {
    asked.push(request.url ?? "");
    answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the container's command with this folder in the place of `/pgbackstop`. */
function start(
  kept: string,
  from = url,
): { readonly child: ChildProcess; readonly log: () => string; end: Promise<Ended> } {
  return runCommand(startCommand({ sha256: SHA256, url: from, kept }));
}

function runCommand(argv: readonly string[]): ReturnType<typeof start> {
  const command = argv.map((part) => part.replaceAll(PATHS.run, join(folder, "run")));
  const child = spawn(command[0] ?? "", [...command.slice(1), "cnpg-instance", "--x=a b"]);
  running.push(child);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (part: Buffer) => (stdout += part.toString()));
  child.stderr.on("data", (part: Buffer) => (stderr += part.toString()));
  const end = new Promise<Ended>((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
  return { child, log: () => stderr, end };
}

const STARTED = { code: 0, stdout: "started cnpg-instance --x=a b", stderr: "" };

test("fetches the program, keeps a copy on the volume, and starts from that while nobody serves it", async () => {
  const kept = join(folder, "volume", "pgbackstop");
  expect(await start(kept).end).toEqual(STARTED);
  expect(asked).toEqual([programPath(SHA256)]);
  expect(readdirSync(kept)).toEqual([`runtime-${SHA256}`]);
  expect(readdirSync(join(folder, "run"))).toEqual(["runtime.cjs"]);
  // The container restarts in its pod.
  expect(await start("").end).toEqual(STARTED);
  // The pod is another one, and the plugin is down.
  rmSync(join(folder, "run", "runtime.cjs"));
  server.closeAllConnections();
  expect(await start(kept, "http://127.0.0.1:9").end).toEqual(STARTED);
  expect(asked).toHaveLength(1);
});

test("a newer program replaces the copy of an older one, and other files stay", async () => {
  const kept = join(folder, "kept");
  mkdirSync(kept);
  writeFileSync(join(kept, `runtime-${"a".repeat(64)}`), "older");
  writeFileSync(join(kept, "missing.json"), "{}");
  expect(await start(kept).end).toEqual(STARTED);
  expect(readdirSync(kept).sort()).toEqual(["missing.json", `runtime-${SHA256}`]);
});

// claim: docs/kubernetes/runtime.md: a pod runs only the runtime whose digest its cluster names, and its log says what
//   it refused
test("refuses another program, waits, and starts as soon as the right one is served", async () => {
  const other = 'process.stdout.write("another program")';
  answer = (response) => void response.end(brotliCompressSync(other));
  const started = start(join(folder, "kept"));
  await expect.poll(started.log, { timeout: 10_000 }).toContain("next try in 1 s");
  expect(started.log()).toContain(
    ` P00  ERROR: no runtime ${SHA256} from ${url}: refused: its SHA-256 is ${sha256Of(other)}; next try in 1 s`,
  );
  expect(existsSync(join(folder, "run", "runtime.cjs"))).toBe(false);
  answer = (response) => void response.end(gzipSync(PROGRAM));
  expect(await started.end).toMatchObject({ code: 0, stdout: STARTED.stdout });
});

const FAULTS: readonly (readonly [title: string, first: typeof answer, message: string | RegExp])[] = [
  [
    "an unknown digest",
    (response: ServerResponse) => void response.writeHead(404).end(),
    "it does not serve this runtime",
  ],
  ["a server that fails", (response: ServerResponse) => void response.writeHead(503).end(), "it answers 503"],
  ["a broken answer", (response: ServerResponse) => void response.end(PACKED.subarray(0, 9)), "unexpected end of file"],
  [
    "a connection that ends early",
    (response: ServerResponse) => void response.destroy(),
    /socket hang up|other side closed/,
  ],
  [
    "a program that unpacks to more than memory holds",
    (response: ServerResponse) => void response.end(gzipSync(Buffer.alloc(70 * 1024 * 1024))),
    "67108864",
  ],
  ["another program", (response: ServerResponse) => void response.end(gzipSync("exit")), "refused: its SHA-256 is "],
  ["too large a program", (response: ServerResponse) => void response.end(randomBytes(17 << 20)), "it is too large"],
];

test.each(FAULTS)("%s is reported, and tried again", async (_title, first, message) => {
  answer = first;
  const started = start("", url);
  await expect.poll(started.log, { timeout: 10_000 }).toContain("next try in 1 s");
  expect(started.log()).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} P00 {2}ERROR: no runtime /);
  expect(started.log()).toMatch(message);
  expect(existsSync(join(folder, "run", "runtime.cjs"))).toBe(false);
  answer = (response) => void response.end(PACKED);
  expect(await started.end).toMatchObject({ code: 0, stdout: STARTED.stdout });
});

test("starts what its ConfigMap has, and fails at once without it", async () => {
  const kept = join(folder, "bundle");
  mkdirSync(kept);
  const failed = await start(kept, "").end;
  expect(failed).toMatchObject({ code: 1, stdout: "" });
  expect(failed.stderr).toContain("ENOENT");
  writeFileSync(join(kept, `runtime-${SHA256}`), PACKED);
  expect(await start(kept, "").end).toEqual(STARTED);
  expect(asked).toEqual([]);
});

test("ends at once when its pod ends while it waits", async () => {
  const started = start("", "http://127.0.0.1:9");
  await expect.poll(started.log, { timeout: 10_000 }).toContain("next try in");
  started.child.kill("SIGTERM");
  expect((await started.end).code).toBe(143);
});

// claim: docs/kubernetes/runtime.md: without the plugin a pod starts from its volume's copy, else it waits; what
//   PostgreSQL's account puts there is not run
test("what PostgreSQL's account puts in the place of the copy is neither run nor waited for", async () => {
  const kept = join(folder, "kept");
  mkdirSync(kept);
  const file = join(kept, `runtime-${SHA256}`);
  const plants: readonly (() => unknown)[] = [
    () => writeFileSync(file, brotliCompressSync("process.exit(9)")),
    () => symlinkSync("/etc/passwd", file),
    () => spawnSync("mkfifo", [file]),
    () => mkdirSync(file),
  ];
  for (const plant of plants) {
    plant();
    expect(await start(kept).end).toMatchObject({ code: 0, stdout: STARTED.stdout });
    rmSync(join(folder, "run", "runtime.cjs"));
    rmSync(file, { recursive: true, force: true });
  }
});

test("another container gets the program and Node.js", async () => {
  const [shell = "", ...args] = unpackCommand({ sha256: SHA256, url, kept: "" }).map((part) =>
    part.replaceAll(PATHS.run, join(folder, "run")),
  );
  expect(await run(shell, args)).toMatchObject({ exitCode: 0 });
  expect(readFileSync(join(folder, "run", "runtime.cjs"), "utf8")).toBe(PROGRAM);
  expect(existsSync(join(folder, "run", "node"))).toBe(true);
});

/** As a registry has it: `npm pack` makes the same layout. */
function packageOf(program: string, file = "package/dist/runtime.cjs"): Buffer {
  const tree = join(folder, "tree");
  mkdirSync(join(tree, dirname(file)), { recursive: true });
  mkdirSync(join(tree, "package", "dist", "runtime"), { recursive: true });
  writeFileSync(join(tree, "package", "package.json"), "{}");
  writeFileSync(join(tree, "package", "dist", "runtime", "version.js"), "exports.VERSION = 1;\n".repeat(40));
  writeFileSync(join(tree, file), program);
  const made = spawnSync("tar", ["-czf", "-", "-C", tree, "package"]);
  rmSync(tree, { recursive: true });
  return made.stdout;
}

/** Starts the plugin's command, with its program from `path` of the server. */
const startSourced = (path: string, ...earlier: readonly { sha256: string; url: string }[]): ReturnType<typeof start> =>
  runCommand(sourceCommand([{ sha256: SHA256, url: `${url}/${path}` }, ...earlier]));

describe("the plugin's program", () => {
  const servedFiles = (): string[] => readdirSync(join(folder, "run")).sort();
  const unpackedFile = (sha256: string): string =>
    gunzipSync(readFileSync(join(folder, "run", `runtime-${sha256}`))).toString();

  test.each<[string, () => Buffer]>([
    ["the package of npm", () => packageOf(PROGRAM)],
    ["an object compressed by Brotli", () => PACKED],
    ["an object compressed by gzip", () => gzipSync(PROGRAM)],
    ["the program itself", () => Buffer.from(PROGRAM)],
  ])("comes from %s, once for each pod, and is served from there", async (_title, make) => {
    const bytes = make();
    answer = (response) =>
      asked.at(-1) === "/moved" ? void response.end(bytes) : void response.writeHead(302, { location: "/moved" }).end();
    expect(await startSourced("pgbackstop-0.1.0.tgz").end).toEqual(STARTED);
    expect(asked).toEqual(["/pgbackstop-0.1.0.tgz", "/moved"]);
    expect(servedFiles()).toEqual([`runtime-${SHA256}`, "runtime.cjs"]);
    expect(unpackedFile(SHA256)).toBe(PROGRAM);
    // The container restarts in its pod, and nobody answers.
    expect(await runCommand(sourceCommand([{ sha256: SHA256, url: "http://127.0.0.1:9/x" }])).end).toEqual(STARTED);
  });

  // claim: docs/kubernetes/runtime.md: the plugin's pods run only the installed runtime, whatever the URL has, and say
  //   why they wait
  test.each<[string, (response: ServerResponse) => void, string]>([
    [
      "another version",
      (response) => void response.end(packageOf("another program")),
      `refused: its SHA-256 is ${sha256Of("another program")}`,
    ],
    [
      "another package",
      (response) => void response.end(packageOf(PROGRAM, "package/lib/runtime.cjs")),
      "refused: the archive has no dist/runtime.cjs",
    ],
    ["no such file", (response) => void response.writeHead(404).end("not found"), "it answers 404"],
    ["a page for people", (response) => void response.end("<html></html>"), "Decompression failed"],
    [
      "an unfinished answer",
      (response) => void response.end(packageOf(PROGRAM).subarray(0, 99)),
      "unexpected end of file",
    ],
    ["a connection that ends", (response) => void response.destroy(), "fetch failed: other side closed"],
    ["too much", (response) => void response.end(Buffer.alloc((32 << 20) + 1)), "refused: it is too large"],
    [
      "more than memory holds",
      (response) => void response.end(gzipSync(Buffer.alloc(70 << 20))),
      "Cannot create a Buffer larger than 67108864",
    ],
  ])("is not %s: its log says so, and it tries again", async (_title, first, reason) => {
    answer = first;
    const waiting = startSourced("a.tgz");
    await expect.poll(waiting.log, { timeout: 20_000 }).toContain("next try in 1 s");
    expect(waiting.log()).toContain(` P00  ERROR: no runtime ${SHA256} from ${url}/a.tgz: ${reason}`);
    expect(servedFiles()).toEqual([]);
    answer = (response) => void response.end(packageOf(PROGRAM));
    expect(await waiting.end).toMatchObject({ code: 0, stdout: STARTED.stdout });
  });

  test("starts beside earlier ones, and without one that is gone", async () => {
    const [older, gone] = ["older", "gone"].map(sha256Of) as [string, string];
    answer = (response) => {
      const path = asked.at(-1);
      if (path === "/gone.tgz") response.writeHead(404).end();
      else response.end(path === "/older.tgz" ? packageOf("older") : packageOf(PROGRAM));
    };
    const earlier = [
      { sha256: gone, url: `${url}/gone.tgz` },
      { sha256: older, url: `${url}/older.tgz` },
    ];
    const { code, stderr, stdout } = await startSourced("own.tgz", ...earlier).end;
    expect({ code, stdout }).toEqual({ code: 0, stdout: STARTED.stdout });
    expect(stderr).toContain(
      `  WARN: no runtime ${gone} from ${url}/gone.tgz: it answers 404; clusters that name it get no new pods before this pod restarts`,
    );
    expect(servedFiles()).toEqual([`runtime-${SHA256}`, `runtime-${older}`, "runtime.cjs"].sort());
    expect(unpackedFile(older)).toBe("older");
  });

  test("ends at once when its pod ends while it waits", async () => {
    const waiting = runCommand(sourceCommand([{ sha256: SHA256, url: "http://127.0.0.1:9/x" }]));
    await expect.poll(waiting.log, { timeout: 10_000 }).toContain("next try in");
    waiting.child.kill("SIGTERM");
    expect((await waiting.end).code).toBe(143);
  });
});

test("the texts are those of running pods: another text restarts every instance when the plugin is updated", () => {
  const pinned = { sha256: SHA256, url: "http://pgbackstop.cnpg-system.svc:9091", kept: "" };
  expect(startCommand(null)).toEqual([
    "/bin/sh",
    "-c",
    'set -e; gzip -dc /pgbackstop/bundle/runtime.cjs.gz > /pgbackstop/run/runtime.cjs; exec node /pgbackstop/run/runtime.cjs "$@"',
    "sh",
  ]);
  expect(sha256Of(JSON.stringify(startCommand(pinned)))).toMatchInlineSnapshot(
    `"3735a596c1d81485ab6e9de79d44e8abd2dd351ef1c9175b1561ec6a783637b3"`,
  );
  // Kubernetes and Flux replace these.
  for (const text of [FETCH, FETCH_SOURCES]) expect(text).not.toMatch(/\$[({]/);
});
