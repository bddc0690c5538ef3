/**
 * The build: `runtime/` as one file, dist/runtime.cjs, and `components/` (with the runtime's pure rooms that they
 * import) as CommonJS with declarations in dist, in their sources' folders. Then the packages that build on this one.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, zstdCompressSync } from "node:zlib";
import { type BuildOptions, build as bundle, type Plugin, transform } from "esbuild";
import { cloneCacheFolder, projectFolder, withLock } from "../cache";
import { run } from "../process";
import { formatBytes, type Progress } from "../progress";
import { lazyExports } from "./lazyExports";
import { protoModule } from "./proto";
import { renewSums } from "./wasm";

/** A ConfigMap carries the compressed bundle and is limited to 1 MiB. */
export const BUNDLE_SIZE_BYTES_MAX = 1024 * 1024;
const OUTPUTS = [
  "dist/runtime.cjs",
  "dist/runtime.cjs.br",
  "dist/pgbackrest-client",
  "dist/components/index.js",
  "dist/components/index.d.ts",
  "packages/migration/dist/migrate.cjs",
  "packages/migration/dist/kubernetes.cjs",
  "packages/migration/dist/components/index.js",
];
export const INPUTS = [
  "runtime",
  "components",
  "packages/migration/components",
  "packages/migration/names.ts",
  "packages/migration/package.json",
  "packages/migration/runtime",
  "packages/migration/tsconfig.json",
  "tsconfig.json",
  "tsconfig.build.json",
  "package.json",
  "package-lock.json",
  "tools/parts/build/build.ts",
  "tools/parts/build/lazyExports.ts",
  "tools/parts/build/proto.ts",
  "tools/parts/build/wasm.ts",
];

/** Builds what is out of date. @throws Error with the compiler's messages */
export async function build(progress: Progress, options: { readonly force?: boolean } = {}): Promise<void> {
  const root = projectFolder();
  const stampFile = join(cloneCacheFolder(), "build.stamp");
  await withLock(`${stampFile}.lock`, async () => {
    let hash = hashOf(root, INPUTS);
    const isCurrent = (): boolean =>
      existsSync(stampFile) && readFileSync(stampFile, "utf8") === `${hash} ${hashOf(root, OUTPUTS)}`;
    if (options.force !== true && OUTPUTS.every((file) => existsSync(join(root, file))) && isCurrent()) return;
    rmSync(stampFile, { force: true });
    await progress.step("build", async (note) => {
      if (await renewSums(root)) hash = hashOf(root, INPUTS);
      const [sizes] = await Promise.all([bundleRuntime(root), compileComponents(root), bundleMigration(root)]);
      // Against the declarations that the compiler has just made.
      await compileMigration(root);
      note(`runtime.cjs ${formatBytes(sizes.sizeBytes)}, ${formatBytes(sizes.packedSizeBytes)} compressed`);
      if (sizes.packedSizeBytes >= BUNDLE_SIZE_BYTES_MAX) {
        throw new Error(
          `dist/runtime.cjs has ${formatBytes(sizes.packedSizeBytes)} compressed: it must stay below ${formatBytes(BUNDLE_SIZE_BYTES_MAX)}`,
        );
      }
    });
    writeFileSync(stampFile, `${hash} ${hashOf(root, OUTPUTS)}`);
  });
}

/**
 * Packages that only some commands or repositories need: two thirds of the bundle. A text exports what the runtime uses
 * of a package whose whole costs each request to a bucket tens of milliseconds.
 */
const DEFERRED: Readonly<Record<string, string | null>> = {
  undici: `
    const Dispatcher = require("undici/lib/dispatcher/dispatcher");
    Dispatcher.prototype.request = require("undici/lib/api/api-request");
    exports.Agent = require("undici/lib/dispatcher/agent");
    exports.Pool = require("undici/lib/dispatcher/pool");
    exports.buildConnector = require("undici/lib/core/connect");`,
  ssh2: null,
  pg: null,
  "@grpc/grpc-js": null,
  "@grpc/proto-loader": null,
};

/**
 * esbuild's options for one file of `runtime/`.
 * @param deferred takes the packages' texts, which the program loads later; absent keeps them in it
 */
export function runtimeBundle(root: string, deferred?: Map<string, string>) {
  return {
    ...bundleOptions(root),
    entryPoints: [join(root, "runtime", "main.ts")],
    plugins: [deferPackages(root, deferred), protoFiles()],
  } as const satisfies BuildOptions;
}

/** `.proto` files as parsed objects, so that the program needs neither a parser nor the file. */
function protoFiles(): Plugin {
  return {
    name: "proto-files",
    setup: ({ onLoad }) => {
      onLoad({ filter: /\.proto$/ }, ({ path }) => ({
        contents: protoModule(readFileSync(path, "utf8")),
        loader: "js",
      }));
    },
  };
}

/**
 * Whole packages as texts, compiled at their first import. V8 scans every function of a file when it loads it, and each
 * worker thread loads it again, at twenty milliseconds per megabyte. With `deferred` runtime/start.ts has the texts,
 * else they are in the program.
 */
function deferPackages(root: string, deferred: Map<string, string> | undefined): Plugin {
  return {
    name: "defer-packages",
    setup: ({ onResolve, onLoad }) => {
      onResolve({ filter: new RegExp(`^(${Object.keys(DEFERRED).join("|")})$`) }, async ({ path }) => {
        if (deferred === undefined) return { path, namespace: "deferred" };
        if (!deferred.has(path)) deferred.set(path, await packageText(root, path));
        return { path, external: true };
      });
      onLoad({ filter: /.*/, namespace: "deferred" }, async ({ path }) => {
        const parameters = ["exports", "require", "module", "__filename", "__dirname"];
        const text = JSON.stringify(await packageText(root, path));
        const compile = `require("node:vm").compileFunction(${text}, ${JSON.stringify(parameters)}, { filename: ${JSON.stringify(path)} })`;
        return { contents: `${compile}(${parameters.join(", ")});`, loader: "js", resolveDir: root };
      });
    },
  };
}

async function packageText(root: string, path: string): Promise<string> {
  const contents = DEFERRED[path] ?? null;
  const entry = contents === null ? { entryPoints: [path] } : { stdin: { contents, resolveDir: root } };
  const own = { mainFields: ["module", "main"], plugins: [withoutHttp2()] };
  // Short names save 3 % of the bundle. Stacks keep the runtime's own names.
  const options = { ...bundleOptions(root), minifyIdentifiers: true, ...(contents === null ? {} : own), ...entry };
  return (await bundle({ ...options, write: false })).outputFiles[0]?.text ?? "";
}

/** undici loads it for servers that offer HTTP/2, does without where it is missing, and is not asked for it here. */
function withoutHttp2(): Plugin {
  const contents = `throw new Error("HTTP/2 is not in this bundle");`;
  return {
    name: "without-http2",
    setup: ({ onResolve, onLoad }) => {
      onResolve({ filter: /^node:http2$/ }, ({ path }) => ({ path, namespace: "without" }));
      onLoad({ filter: /.*/, namespace: "without" }, () => ({ contents, loader: "js" }));
    },
  };
}

function transformOptions() {
  return {
    platform: "node",
    target: "node22",
    minifySyntax: true,
    minifyWhitespace: true,
    // Keeps names: stacks in bug reports must be readable, and the size allows it.
    minifyIdentifiers: false,
    legalComments: "inline",
  } as const satisfies BuildOptions;
}

function bundleOptions(root: string) {
  return {
    ...transformOptions(),
    bundle: true,
    format: "cjs",
    // ssh2's compiled parts would be a little faster, but the bundle is one file for every machine.
    external: ["cpu-features", "*.node"],
    logLevel: "silent",
    absWorkingDir: root,
  } as const satisfies BuildOptions;
}

const PACKED = { params: { [constants.ZSTD_c_compressionLevel]: 19 } };

/** As runtime/start.ts calls a text of the program, and each module in it. */
const TEXT_PARAMETERS = "__filename, __dirname";
const MODULE_PARAMETERS = "exports, require, module";

/** A text of the program: the bodies of its modules by the names that they import each other by. */
type ProgramText = ReadonlyMap<string, string>;

/**
 * The file for hosts and clusters: runtime/start.ts, followed by the program's texts and the packages as comments. They
 * are compressed, because each process and each worker thread reads the whole file.
 */
export async function startedProgram(
  root: string,
  program: ReadonlyMap<string, ProgramText>,
  packages: ReadonlyMap<string, string>,
): Promise<Buffer> {
  const texts = [...program].map(([name, modules]) => [name, textOf(modules)] as const);
  const digest = createHash("sha256").update(JSON.stringify(texts)).digest("hex");
  const comments = [...texts, ...packages].map(([name, text]) => ({
    name,
    text: zstdCompressSync(text, PACKED).toString("base64"),
  }));
  const body = comments.map(({ text }) => `/*\n${text}\n*/\n`);
  const ranges = comments.map(({ name, text }, position) => {
    const fromEndBytes = body.slice(position).reduce((sum, { length }) => sum + length, 0) - "/*\n".length;
    return [name, [fromEndBytes, text.length]];
  });
  const locations = [...program].flatMap(([name, modules]) => [...modules.keys()].map((module) => [module, name]));
  const head = await bundle({
    ...bundleOptions(root),
    entryPoints: [join(root, "runtime", "start.ts")],
    define: {
      PROGRAM_DIGEST: JSON.stringify(digest),
      TEXTS: JSON.stringify(Object.fromEntries(ranges)),
      MODULES: JSON.stringify(Object.fromEntries(locations)),
    },
    write: false,
  });
  return Buffer.from(`${head.outputFiles[0]?.text}${body.join("")}`, "latin1");
}

function textOf(modules: ReadonlyMap<string, string>): string {
  const bodies = [...modules].map(([name, body]) => `${JSON.stringify(name)}(${MODULE_PARAMETERS}) {${body}\n}`);
  return `(function (${TEXT_PARAMETERS}) { return {${bodies.join(",\n")}}; })`;
}

/**
 * The texts of the program, and which modules they must have: with these, each gets what they always need and no text
 * above has. The last one gets the rest.
 */
const PROGRAM_TEXTS: readonly {
  readonly name: string;
  readonly entries: readonly string[];
}[] = [
  { name: "thread", entries: ["jobThread"] },
  {
    name: "main",
    entries: ["main", "commands/watch/info", "commands/wal/archivePush", "commands/wal/archiveGet"],
  },
  { name: "agent", entries: ["agent/agent"] },
  { name: "others", entries: [] },
];

/** The program in texts. esbuild splits it into modules by what the dynamic imports need. */
export async function programTexts(root: string, deferred: Map<string, string>): Promise<Map<string, ProgramText>> {
  const { outputFiles, metafile } = await bundle({
    ...runtimeBundle(root, deferred),
    entryPoints: ["main", "jobThread"].map((name) => join(root, "runtime", `${name}.ts`)),
    format: "esm",
    splitting: true,
    outdir: root,
    metafile: true,
    write: false,
  });
  const outputs = Object.entries(metafile.outputs);
  const textOfModule = new Map<string, string>();
  const put = (module: string, text: string): void => {
    const imports = metafile.outputs[module]?.imports;
    if (imports === undefined || textOfModule.has(module)) return;
    textOfModule.set(module, text);
    for (const { kind, path } of imports) if (kind === "import-statement") put(path, text);
  };
  for (const { name, entries } of PROGRAM_TEXTS)
    for (const entry of entries) {
      const [module] = outputs.find(([, { entryPoint }]) => entryPoint === `runtime/${entry}.ts`) ?? [];
      if (module === undefined) throw new Error(`runtime/${entry}.ts is not imported on demand`);
      put(module, name);
    }
  const codes = new Map<string, string>();
  for (const { path, text } of outputFiles) {
    const options = { ...transformOptions(), format: "cjs", supported: { "dynamic-import": false } } as const;
    codes.set(relative(root, path), (await transform(text, options)).code);
  }
  return new Map(
    PROGRAM_TEXTS.map(({ name }) => {
      const own = [...codes].filter(([module]) => (textOfModule.get(module) ?? "others") === name);
      return [name, new Map(own.map(([module, code]) => [`./${module}`, code]))];
    }),
  );
}

async function bundleRuntime(root: string): Promise<{ sizeBytes: number; packedSizeBytes: number }> {
  const outfile = join(root, "dist", "runtime.cjs");
  const deferred = new Map<string, string>();
  const texts = await programTexts(root, deferred).catch((error: unknown) => {
    throw new Error(`esbuild: ${error instanceof Error ? error.message : String(error)}`);
  });
  const packages = new Map([...deferred].sort(([left], [right]) => (left < right ? -1 : 1)));
  const bytes = await startedProgram(root, texts, packages);
  mkdirSync(dirname(outfile), { recursive: true });
  // A running PostgreSQL may start it at any time: it must see the old file or the new one, never a part.
  writeFileSync(`${outfile}.new`, bytes, { mode: 0o755 });
  renameSync(`${outfile}.new`, outfile);
  const client = join(root, "dist", "pgbackrest-client");
  writeFileSync(`${client}.new`, readFileSync(join(root, "runtime", "agent", "pgbackrest-client")), { mode: 0o755 });
  renameSync(`${client}.new`, client);
  // Off this thread, alongside the compiler: it takes 15 s.
  const { BROTLI_PARAM_LGWIN: window, BROTLI_PARAM_SIZE_HINT: size } = constants;
  const packed = await promisify(brotliCompress)(bytes, { params: { [window]: 24, [size]: bytes.length } });
  writeFileSync(`${outfile}.br.new`, packed);
  renameSync(`${outfile}.br.new`, `${outfile}.br`);
  return { sizeBytes: bytes.length, packedSizeBytes: packed.length };
}

/** esbuild's options for each program of packages/migration: a host's has nothing that Jobs alone need. */
export function migrationBundles(root: string) {
  const folder = join(root, "packages", "migration");
  const banner = { js: "#!/usr/bin/env node" };
  return Object.entries({ migrateMain: "migrate.cjs", kubernetesMain: "kubernetes.cjs" }).map(([entry, name]) => {
    const entryPoints = [join(folder, "runtime", `${entry}.ts`)];
    return { ...bundleOptions(root), entryPoints, banner, outfile: join(folder, "dist", name) };
  });
}

async function bundleMigration(root: string): Promise<void> {
  mkdirSync(join(root, "packages", "migration", "dist"), { recursive: true });
  for (const { outfile, ...options } of migrationBundles(root)) {
    await bundle({ ...options, outfile: `${outfile}.new` });
    chmodSync(`${outfile}.new`, 0o755);
    renameSync(`${outfile}.new`, outfile);
  }
}

async function compileMigration(root: string): Promise<void> {
  const folder = join(root, "packages", "migration");
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  const result = await run(process.execPath, [compiler, "-p", folder], { cwd: root });
  if (result.exitCode !== 0) throw new Error(`tsc of packages/migration:\n${result.stdout.trim()}`);
}

async function compileComponents(root: string): Promise<void> {
  // Compiled aside and swapped: a running engine loads either the old files or the new ones.
  const aside = join(cloneCacheFolder(), `components-${process.pid}`);
  rmSync(aside, { recursive: true, force: true });
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  const result = await run(process.execPath, [compiler, "-p", "tsconfig.build.json", "--outDir", aside], { cwd: root });
  if (result.exitCode !== 0) throw new Error(`tsc:\n${result.stdout.trim()}`);
  chmodSync(join(aside, "components", "bin", "pgbackstop.js"), 0o755);
  const index = join(aside, "components", "index.js");
  writeFileSync(index, lazyExports(readFileSync(index, "utf8")));
  for (const folder of ["components", "runtime"]) {
    const old = join(aside, `${folder}.old`);
    const target = join(root, "dist", folder);
    if (existsSync(target)) renameSync(target, old);
    renameSync(join(aside, folder), target);
  }
  rmSync(aside, { recursive: true, force: true });
}

/** A hash of names and contents; missing files count as missing. */
export function hashOf(root: string, paths: readonly string[]): string {
  const hash = createHash("sha256").update(process.versions.node.split(".")[0] ?? "");
  const add = (path: string): void => {
    const full = join(root, path);
    if (!existsSync(full)) return void hash.update(`${path} missing\n`);
    if (statSync(full).isDirectory()) {
      for (const name of readdirSync(full).sort()) add(join(path, name));
    } else {
      hash.update(`${path}\n`).update(readFileSync(full));
    }
  };
  for (const path of paths) add(path);
  return hash.digest("hex");
}
