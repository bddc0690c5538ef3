/**
 * The runtime's only WebAssembly module: runtime/format/codec/sums.as (AssemblyScript), compiled, as base64 text in a
 * TypeScript file next to it.
 *
 * That file is kept with the sources, so that tests and tools can load the sources directly. Every build regenerates
 * it, and a test proves that it matches its source.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const SOURCE = join("runtime", "format", "codec", "sums.as");
const TARGET = join("runtime", "format", "codec", "sumsWasm.ts");
/** The memory has one page for tables and digests; the code that instantiates it lets it grow. */
const FLAGS = [
  "--optimizeLevel",
  "3",
  "--shrinkLevel",
  "0",
  "--noAssert",
  "--runtime",
  "stub",
  "--enable",
  "simd",
  "--initialMemory",
  "1",
];

/** The content of runtime/format/codec/sumsWasm.ts. @throws Error with the compiler's messages */
export async function compileSums(root: string): Promise<string> {
  const { default: asc } = await import("assemblyscript/asc");
  let code: Uint8Array | undefined;
  const messages: string[] = [];
  const { error } = await asc.main(["sums.ts", "--baseDir", root, "--outFile", "sums.wasm", ...FLAGS], {
    readFile: (name) => (name === "sums.ts" ? readFileSync(join(root, SOURCE), "utf8") : null),
    writeFile: (name, contents) => {
      if (name === "sums.wasm" && contents instanceof Uint8Array) code = contents;
    },
    listFiles: () => [],
    stderr: {
      write: (chunk: string | Uint8Array) =>
        void messages.push(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString()),
    },
  });
  if (error !== null || code === undefined)
    throw new Error(`asc: ${messages.join("")}${error?.message ?? "no output"}`);
  const text = Buffer.from(code).toString("base64");
  return `/** Made by the build from sums.as: WebAssembly as base64. */\nexport const SUMS_WASM =\n  "${text}";\n`;
}

/** Regenerates that file. True if it changed. */
export async function renewSums(root: string): Promise<boolean> {
  const text = await compileSums(root);
  const target = join(root, TARGET);
  if (readFileSync(target, "utf8") === text) return false;
  writeFileSync(`${target}.new`, text);
  renameSync(`${target}.new`, target);
  return true;
}
