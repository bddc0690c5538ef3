/**
 * Where a run of ours spends processor time: V8's profiles (`node --cpu-prof`) of the main thread and each worker
 * thread, added up by function.
 *
 * The run uses a bundle that is not minified: it names the source file before each part, so a line leads to its file.
 * Native code (compression, encryption, hashes) counts under its own name if V8 knows it, else for its caller. Threads
 * of Node's pool (files, name look-ups) have no profile.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build as bundle } from "esbuild";
import { runtimeBundle } from "../parts/build/build";
import { projectFolder } from "../parts/cache";

interface ProfileLine {
  readonly name: string;
  /** Source file, or the kind of code without a file. */
  readonly location: string;
  readonly thread: Thread;
  readonly selfS: number;
}

type Thread = "main" | "worker";

export interface Profile {
  /** Lines by self time, largest first, without waiting. */
  readonly lines: readonly ProfileLine[];
  readonly busyS: Readonly<Record<Thread, number>>;
  readonly workerCount: number;
}

export interface TitledProfile {
  readonly title: string;
  readonly profile: Profile;
}

/** The parts of a `.cpuprofile` that we read. */
interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  /** From 0; -1 for none. */
  readonly lineNumber: number;
}

const SHOWN = 15;
const WAITING: readonly string[] = ["(idle)", "(root)"];
const US_PER_S = 1_000_000;

/** Arguments of `node` that make each thread write its profile to `folder` at its end. */
export function profileArguments(folder: string): string[] {
  return ["--cpu-prof", `--cpu-prof-dir=${folder}`];
}

/** The runtime as one file with traceable lines. */
export async function readableRuntime(outfile: string): Promise<void> {
  await bundle({ ...runtimeBundle(projectFolder()), minifySyntax: false, minifyWhitespace: false, outfile });
}

/** Adds up the profiles in `folder` of a run of `runtime`. @throws Error if no profile is in it */
export function readProfile(folder: string, runtime: string): Profile {
  const locationOf = locationsOf(runtime);
  const selfUs = new Map<
    string,
    { readonly name: string; readonly location: string; readonly thread: Thread; us: number }
  >();
  const busyS = { main: 0, worker: 0 };
  const files = readdirSync(folder).filter((name) => name.endsWith(".cpuprofile"));
  if (files.length === 0) throw new Error(`no profile was left in ${folder}`);
  for (const file of files) {
    // CPU.DATE.TIME.PROCESS.THREAD.NUMBER.cpuprofile; the main thread is 0.
    const thread: Thread = file.split(".")[4] === "0" ? "main" : "worker";
    const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(folder, file), "utf8")) as CpuProfile;
    const frames = new Map(nodes.map((node) => [node.id, node.callFrame]));
    samples.forEach((id, index) => {
      const frame = frames.get(id);
      // A delta belongs to its sample: what was on top since the previous one.
      const us = Math.max(0, timeDeltas[index] ?? 0);
      if (frame === undefined || WAITING.includes(frame.functionName)) return;
      const name = frame.functionName === "" ? "(anonymous)" : frame.functionName;
      const location = locationOf(frame);
      const key = `${thread} ${location} ${name}`;
      const line = selfUs.get(key) ?? { name, location, thread, us: 0 };
      line.us += us;
      selfUs.set(key, line);
      busyS[thread] += us / US_PER_S;
    });
  }
  const lines = [...selfUs.values()]
    .sort((left, right) => right.us - left.us)
    .map(({ us, ...line }) => ({ ...line, selfS: us / US_PER_S }));
  return { lines, busyS, workerCount: new Set(files.map((file) => file.split(".")[4])).size - 1 };
}

/** The document's sections about them, as Markdown. */
export function profileText(profiles: readonly TitledProfile[]): string {
  return profiles
    .map(({ title, profile: { lines, busyS, workerCount } }) => {
      const totalS = busyS.main + busyS.worker;
      const head = `### ${title}\n\nBusy: main thread ${busyS.main.toFixed(1)} s, ${workerCount} worker threads together ${busyS.worker.toFixed(1)} s.`;
      const rows = lines.slice(0, SHOWN).map(({ name, location, thread, selfS }) => {
        const share = ((selfS / totalS) * 100).toFixed(1);
        return `| \`${name}\` | ${location} | ${thread} | ${selfS.toFixed(2)} | ${share} % |`;
      });
      return [
        head,
        "",
        "| function | where | thread | self, s | share |",
        "| --- | --- | --- | ---: | ---: |",
        ...rows,
      ].join("\n");
    })
    .join("\n\n");
}

/** Maps a line of the bundle to the source file that esbuild named in the comment before it. */
function locationsOf(runtime: string): (frame: CallFrame) => string {
  const starts: { readonly line: number; readonly file: string }[] = [];
  readFileSync(runtime, "utf8")
    .split("\n")
    .forEach((text, line) => {
      const file = /^\s*\/\/ ((?:runtime|node_modules)\/\S+)$/.exec(text)?.[1];
      if (file !== undefined) starts.push({ line, file });
    });
  return ({ url, lineNumber }) => {
    if (url.startsWith("node:")) return url;
    if (url.startsWith("wasm:")) return "WebAssembly";
    if (basename(url) !== basename(runtime)) return url === "" ? "native" : basename(url);
    return starts.findLast(({ line }) => line <= lineNumber)?.file ?? "the bundle";
  };
}
