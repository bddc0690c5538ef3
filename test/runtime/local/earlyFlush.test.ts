import { expect, test } from "vitest";
import { EarlyFlush } from "../../../runtime/local/fileWriter";

const PART = 64 * 1024 * 1024;

/** A flush that the test ends. */
function controlled() {
  const ends: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];
  const flush = new EarlyFlush(() => new Promise((resolve, reject) => ends.push({ resolve, reject })));
  return { flush, ends };
}

test("a file is flushed part by part, one at a time", async () => {
  const { flush, ends } = controlled();
  flush.written(PART - 1);
  expect(ends).toHaveLength(0);
  flush.written(1);
  expect(ends).toHaveLength(1);
  flush.written(PART);
  expect(ends).toHaveLength(1);
  ends[0]?.resolve();
  await flush.end();
  expect(flush.isRunning).toBe(false);
  flush.written(1);
  expect(ends).toHaveLength(2);
});

test("the end waits for the running flush", async () => {
  const { flush, ends } = controlled();
  await flush.end();
  flush.written(PART);
  let isOver = false;
  const over = flush.end().then(() => void (isOver = true));
  await new Promise(setImmediate);
  expect(isOver).toBe(false);
  ends[0]?.resolve();
  await over;
});

test("the end has the error of an earlier flush, even if a later one succeeded", async () => {
  const { flush, ends } = controlled();
  flush.written(PART);
  ends[0]?.reject(new Error("the disk is broken"));
  await new Promise(setImmediate);
  flush.written(PART);
  ends[1]?.resolve();
  await expect(flush.end()).rejects.toThrow("the disk is broken");
});
