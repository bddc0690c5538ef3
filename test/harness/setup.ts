/**
 * Setup of each test file. What it started ends with it, because other files go on in the same process. Bytes are
 * compared as a whole: vitest compares one by one, which takes seconds for a megabyte.
 */
import { afterAll, expect } from "vitest";
import { cleanUp } from "../../tools/parts/process";

afterAll(cleanUp);

expect.addEqualityTesters([
  (left: unknown, right: unknown): boolean | undefined =>
    left instanceof Uint8Array && right instanceof Uint8Array && left.constructor === right.constructor
      ? Buffer.compare(left, right) === 0
      : undefined,
]);
