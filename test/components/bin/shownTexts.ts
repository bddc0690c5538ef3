/** What a command prints while a test runs. */
import { afterEach, beforeEach, vi } from "vitest";

export interface ShownTexts {
  readonly printed: string[];
  readonly errors: string[];
  /** Both, in their order. */
  readonly all: string[];
}

/** Call it once in a file: the lists are empty at the beginning of each test. */
export function captureTexts(): ShownTexts {
  const shown: ShownTexts = { printed: [], errors: [], all: [] };
  beforeEach(() => {
    for (const list of [shown.printed, shown.errors, shown.all]) list.length = 0;
    for (const [stream, list] of [
      [process.stdout, shown.printed],
      [process.stderr, shown.errors],
    ] as const)
      vi.spyOn(stream, "write").mockImplementation((text) => {
        shown.all.push(String(text));
        return list.push(String(text)) > 0;
      });
  });
  afterEach(() => vi.restoreAllMocks());
  return shown;
}
