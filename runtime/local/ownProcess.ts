/**
 * Arguments, environment and working directory of this process as texts that lose no byte, its program, and its
 * priority.
 *
 * Node gives U+FFFD for every byte of them that is no UTF-8; the kernel still has the bytes. Without `/proc` they stay
 * as Node gives them.
 */
import { constants, getPriority, setPriority } from "node:os";
import { textOf } from "../base/bytes";
import { fail } from "../base/errors";
import { readdirSync, readFileSync, readlinkSync, realpathSync } from "./nodeFiles";
import { errnoText } from "./systemError";

const LOST = "\ufffd";

type Environment = Readonly<Record<string, string | undefined>>;

/** `args` are the last ones of the command line. */
export function exactArguments(args: readonly string[]): readonly string[] {
  if (!args.some((arg) => arg.includes(LOST))) return args;
  return ofKernel("cmdline")?.slice(-args.length) ?? args;
}

export function exactEnvironment(environment: Environment): Environment {
  if (!Object.values(environment).some((value) => value?.includes(LOST))) return environment;
  const exact = new Map(
    ofKernel("environ")?.map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name,
      value?.includes(LOST) === true ? (exact.get(name) ?? value) : value,
    ]),
  );
}

export function exactDirectory(path: string): string {
  if (!path.includes(LOST)) return path;
  try {
    return readlinkSync("/proc/self/cwd");
  } catch {
    return path;
  }
}

/**
 * Node.js by the path that it was started with: a link may lead to another release tomorrow, and this one be removed.
 * @param execPath with links resolved
 */
export function nodeAsCalled(argv0: string, execPath: string): string {
  try {
    return argv0.startsWith("/") && realpathSync(argv0) === execPath ? argv0 : execPath;
  } catch {
    return execPath;
  }
}

/** The texts of a file of `/proc`, each ended by a zero byte. */
function ofKernel(name: "cmdline" | "environ"): readonly string[] | null {
  try {
    return textOf(readFileSync(`/proc/self/${name}`))
      .split("\0")
      .slice(0, -1);
  } catch {
    return null;
  }
}

/** Sizes from which glibc's allocator maps memory on its own, and returns free memory at the end of the heap. */
const ALLOCATOR_THRESHOLDS = ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"];
/** Compressed and encrypted pieces of a backup are longer: between other memory they would stay with the process. */
const CHILD_THRESHOLD_BYTES = 128 * 1024;

/** The environment of a child. A program whose allocator has limits, as a sidecar, gives it lower ones. */
export function childEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  const limited = ALLOCATOR_THRESHOLDS.filter((name) => Number(environment[name]) > CHILD_THRESHOLD_BYTES);
  return { ...environment, ...Object.fromEntries(limited.map((name) => [name, String(CHILD_THRESHOLD_BYTES)])) };
}

/** What the operating system does for a priority; tests replace it. */
export interface PriorityCalls {
  get(): number;
  /** @param thread 0 for the calling one */
  set(thread: number, niceness: number): void;
  /** All threads of this process. */
  threads(): readonly number[];
}

const SYSTEM_PRIORITY: PriorityCalls = {
  get: () => getPriority(),
  set: (thread, niceness) => setPriority(thread, niceness),
  threads: () => {
    try {
      return readdirSync("/proc/self/task").map(Number);
    } catch {
      // Other systems have one for the whole process.
      return [];
    }
  },
};

/**
 * Sets the niceness of this process. Linux has one for each thread: those that run already get it too, and threads and
 * programs that start later inherit it.
 * @throws kernel (100) as stock does
 */
export function setOwnPriority(niceness: number, calls: PriorityCalls = SYSTEM_PRIORITY): void {
  try {
    calls.set(0, niceness);
  } catch (error) {
    const text = error instanceof Error ? errnoText(error) : String(error);
    throw fail("kernel", `unable to set process priority to ${niceness}: ${text}`, {
      hint: `Only root may go below the process's own priority, which is ${calls.get()}: set priority to that or more, or remove it.`,
      cause: error,
    });
  }
  for (const thread of calls.threads()) {
    try {
      calls.set(thread, niceness);
    } catch (error) {
      // One that has just ended needs none.
      if (!(error instanceof Error && "errno" in error && error.errno === -constants.errno.ESRCH)) throw error;
    }
  }
}
