/** Limits of V8's heap in the calling thread. */
import { PerformanceObserver } from "node:perf_hooks";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * A heap above this size is mostly lists of files, which stay: V8 would let garbage of three times their size pile up.
 * A limit counts from a whole collection, which V8 would make late: with 20 MiB in use not before 55.
 */
const LARGE_HEAP_BYTES = 20 * 1024 * 1024;
/** For such a heap; a smaller one is left to V8, which is faster. */
const GARBAGE_PERCENT = 30;
const SAME_NEW_SPACE = "--semi-space-growth-factor=1";

const flags = new Set<string>();

function setFlag(flag: string): void {
  flags.add(flag);
  setFlagsFromString(flag);
}

/** A thread that loads a text of the program resets them for the whole process (start.ts). */
export function setFlagsAgain(): void {
  for (const flag of flags) setFlagsFromString(flag);
}

/**
 * Checks this thread's heap after each collection, and limits the growth of a large one. New space keeps the size that
 * it has, instead of growing to 64 MiB: rows of files do not stay in it.
 */
export function watchHeap(): PerformanceObserver {
  setFlag(SAME_NEW_SPACE);
  const watch = new PerformanceObserver(() => {
    if (getHeapStatistics().used_heap_size < LARGE_HEAP_BYTES) return;
    limitGarbage();
    watch.disconnect();
    collectGarbage();
  });
  watch.observe({ entryTypes: ["gc"] });
  return watch;
}

/** For a process that stays small: V8 would let buffers outside of the heap pile up to several times its size. */
export function limitGarbage(): void {
  setFlag(`--heap-growing-percent=${GARBAGE_PERCENT}`);
}

export function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  // Compiled code counts only under the flags that it was made under.
  setFlagsFromString("--no-expose-gc");
  // V8 takes this for its last chance, and gives back what it can.
  if (typeof collect === "function") collect({ type: "major", execution: "sync", flavor: "last-resort" });
}

/**
 * For a server, which works now and then: new space stays as small as it begins (1 MiB), instead of the 8 MiB that it
 * has after the start and keeps. Its few objects need no more.
 */
export function keepNewSpaceSmall(): void {
  setFlag(SAME_NEW_SPACE);
  collectGarbage();
}
