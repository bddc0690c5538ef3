import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ByteStream } from "../../../runtime/base/bytes";
import { fail } from "../../../runtime/base/errors";
import { tee } from "../../../runtime/base/tee";
import { eventually } from "../../harness/context";

/** A source that counts what was taken from it and knows whether it was released. */
class Counted {
  given = 0;
  released = false;
  readonly stream: ByteStream;

  constructor(count: number, failAt?: number) {
    this.stream = this.#generate(count, failAt);
  }

  async *#generate(count: number, failAt: number | undefined): ByteStream {
    try {
      for (let index = 0; index < count; index++) {
        if (index === failAt) throw fail("fileRead", "unable to read");
        this.given++;
        yield Uint8Array.of(index % 256);
      }
    } finally {
      this.released = true;
    }
  }
}

async function readAll(stream: ByteStream): Promise<number[]> {
  const values: number[] = [];
  for await (const chunk of stream) values.push(...chunk);
  return values;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("tee", () => {
  it("gives every consumer the same chunks", async () => {
    const results = await tee(new Counted(5).stream, [readAll, readAll]);
    expect(results).toEqual([
      { ok: true, value: [0, 1, 2, 3, 4] },
      { ok: true, value: [0, 1, 2, 3, 4] },
    ]);
  });

  it("holds the source back by the slowest branch, at most its queue ahead", async () => {
    const source = new Counted(50);
    let taken = 0;
    let leadMax = 0;
    const slow = async (stream: ByteStream): Promise<number> => {
      for await (const _chunk of stream) {
        taken++;
        for (let wait = 0; wait < 5; wait++) await turn();
        leadMax = Math.max(leadMax, source.given - taken);
      }
      return taken;
    };
    await tee<unknown>(source.stream, [slow, readAll], 3);
    expect(taken).toBe(50);
    expect(leadMax).toBeGreaterThan(0);
    expect(leadMax).toBeLessThanOrEqual(3);
  });

  it("does not delay the others when a branch fails, at once or on its way", async () => {
    const source = new Counted(20);
    const results = await tee<unknown>(
      source.stream,
      [
        readAll,
        () => Promise.reject(fail("access", "refused")),
        async (stream) => {
          for await (const [value] of stream) if (value === 7) throw new Error("disk gone");
        },
        readAll,
      ],
      1,
    );
    expect(results.map((result) => (result.ok ? (result.value as number[]).length : `${result.error.kind}: ${result.error.message}`))).toEqual([
      20,
      "access: refused",
      "unhandled: disk gone",
      20,
    ]);
  });

  it("lets a consumer leave early with a result", async () => {
    const first = async (stream: ByteStream): Promise<number[]> => {
      for await (const chunk of stream) return [...chunk];
      return [];
    };
    expect(await tee(new Counted(30).stream, [first, readAll], 1)).toMatchObject([
      { ok: true, value: [0] },
      { ok: true, value: { length: 30 } },
    ]);
  });

  it("lets a consumer leave without reading anything", async () => {
    const results = await tee<unknown>(new Counted(30).stream, [() => Promise.resolve("none"), readAll], 1);
    expect(results[0]).toEqual({ ok: true, value: "none" });
    expect(results[1]).toMatchObject({ ok: true, value: { length: 30 } });
  });

  it("stops reading and releases the source when nobody is left", async () => {
    const source = new Counted(1000);
    const results = await tee(
      source.stream,
      [0, 1].map(() => async (stream: ByteStream) => {
        for await (const [value] of stream) if (value === 3) throw fail("fileWrite", "full");
      }),
      2,
    );
    expect(results.map((result) => result.ok)).toEqual([false, false]);
    expect(source.given).toBeLessThan(10);
    expect(source.released).toBe(true);
  });

  it("throws the source's error, which every branch has seen", async () => {
    const seen: unknown[] = [];
    const watch = async (stream: ByteStream): Promise<void> => {
      try {
        await readAll(stream);
      } catch (error) {
        seen.push(error);
      }
    };
    const source = new Counted(10, 6);
    await expect(tee(source.stream, [watch, watch])).rejects.toMatchObject({ kind: "fileRead" });
    expect(seen).toHaveLength(2);
    expect(seen[0]).toMatchObject({ kind: "fileRead" });
  });

  it("hands out what came before the source's error first", async () => {
    let count = 0;
    const count6 = async (stream: ByteStream): Promise<void> => {
      for await (const _chunk of stream) count++;
    };
    await expect(tee(new Counted(10, 6).stream, [count6])).rejects.toMatchObject({ kind: "fileRead" });
    expect(count).toBe(6);
  });

  it("waits for a branch that works on after the last chunk", async () => {
    let finish: (() => void) | undefined;
    const late = async (stream: ByteStream): Promise<string> => {
      await readAll(stream);
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return "late";
    };
    let ended = false;
    const run = tee<unknown>(new Counted(3).stream, [late, readAll]).finally(() => {
      ended = true;
    });
    await eventually("the branch has read everything", () => finish !== undefined);
    await turn();
    expect(ended).toBe(false);
    finish?.();
    expect((await run)[0]).toEqual({ ok: true, value: "late" });
  });

  it("is what a simple model says, whatever the branches do", async () => {
    const branch = fc.record({
      stopAfter: fc.integer({ min: 0, max: 30 }),
      how: fc.constantFrom("leave", "fail"),
      turns: fc.integer({ min: 0, max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 25 }),
        fc.array(branch, { maxLength: 4 }),
        fc.integer({ min: 1, max: 4 }),
        async (count, plans, queue) => {
          const results = await tee(
            new Counted(count).stream,
            plans.map((plan) => async (stream: ByteStream): Promise<number[]> => {
              const got: number[] = [];
              if (plan.stopAfter === 0 && plan.how === "leave") return got;
              if (plan.stopAfter === 0) throw fail("service", "at once");
              for await (const chunk of stream) {
                for (let wait = 0; wait < plan.turns; wait++) await turn();
                got.push(...chunk);
                if (got.length < plan.stopAfter) continue;
                if (plan.how === "leave") break;
                throw fail("service", "later");
              }
              return got;
            }),
            queue,
          );
          const expected = plans.map(({ stopAfter, how }) =>
            how === "fail" && stopAfter <= count ? "fails" : Array.from({ length: Math.min(count, stopAfter) }, (_, index) => index),
          );
          expect(results.map((result) => (result.ok ? result.value : "fails"))).toEqual(
            // A failure "after n chunks" needs n chunks, and 0 needs none.
            expected,
          );
        },
      ),
      { numRuns: 150 },
    );
  });
});
