import { describe, expect, it } from "vitest";
import { WalWindow, WINDOW_SIZE_BYTES_MAX } from "../../../../runtime/operations/stream/walWindow";

const MIB = 1024 * 1024;

describe("the window of received WAL", () => {
  it("returns received bytes, across its blocks, and held bytes stay valid", async () => {
    const window = new WalWindow(5n * BigInt(MIB) - 3n);
    const fill = (): void => {
      for (let index = 0; index < 2 * WINDOW_SIZE_BYTES_MAX; index += MIB)
        window.append(window.end, Buffer.alloc(MIB, 7));
    };
    window.append(window.end, Buffer.from("abcdef"));
    expect(Buffer.concat(window.slice(window.begin + 1n, window.end)).toString()).toBe("bcdef");
    const failure = window.hold(window.begin + 1n, window.end, async (parts) => {
      await Promise.resolve();
      fill();
      expect(Buffer.concat(parts).toString()).toBe("bcdef");
      throw new Error("the repository is away");
    });
    await expect(failure).rejects.toThrow("the repository is away");
  });

  it("uses the memory of dropped blocks again", async () => {
    const window = new WalWindow(0n);
    window.append(0n, Buffer.alloc(WINDOW_SIZE_BYTES_MAX, 1));
    const [first] = window.slice(0n, 1n);
    const memory = await window.hold(0n, 1n, async ([part]) => part?.buffer);
    window.append(window.end, Buffer.alloc(MIB, 2));
    // Not compared by `toBe`, which would print a difference of a megabyte.
    expect(window.slice(window.end - 1n, window.end)[0]?.buffer === memory).toBe(true);
    expect(first?.[0]).toBe(2);
  });

  it("takes only consecutive bytes", () => {
    const window = new WalWindow(100n);
    window.append(100n, Buffer.alloc(10));
    expect(() => window.append(111n, Buffer.alloc(1))).toThrow(/instead of/);
    expect(() => window.append(100n, Buffer.alloc(1))).toThrow(/instead of/);
    expect(() => window.slice(99n, 110n)).toThrow();
    expect(() => window.slice(100n, 111n)).toThrow();
  });

  it("is bounded: it drops the oldest and keeps the newest two segments", () => {
    const window = new WalWindow(0n);
    for (let index = 0; index < 100; index++) window.append(window.end, Buffer.alloc(MIB, index));
    window.append(window.end, Buffer.from("x"));
    expect(Number(window.end - window.begin)).toBeLessThanOrEqual(WINDOW_SIZE_BYTES_MAX);
    expect(Number(window.end - window.begin)).toBeGreaterThan(WINDOW_SIZE_BYTES_MAX - MIB);
    const whole = Buffer.concat(window.slice(window.begin, window.end));
    expect(whole[0]).toBe(100 - WINDOW_SIZE_BYTES_MAX / MIB + 1);
    expect(whole.at(-1)).toBe("x".charCodeAt(0));
  });

  it("drops what no user needs any more, and keeps what one holds", async () => {
    const window = new WalWindow(0n);
    const needed = [0n, 9n * BigInt(MIB) + 5n] as [bigint, bigint];
    for (const index of [0, 1] as const) window.keepFor(() => needed[index]);
    window.append(0n, Buffer.alloc(10 * MIB, 1));
    window.release();
    expect(window.begin).toBe(0n);
    await window.hold(2n * BigInt(MIB), 3n * BigInt(MIB), async ([held]) => {
      needed[0] = needed[1];
      window.release();
      expect(window.begin).toBe(9n * BigInt(MIB));
      window.append(window.end, Buffer.alloc(2 * MIB, 2));
      await Promise.resolve();
      expect(held?.at(-1)).toBe(1);
    });
    expect(Buffer.concat(window.slice(needed[0], window.end)).length).toBe(3 * MIB - 5);
    expect(() => window.slice(needed[0] - BigInt(MIB), window.end)).toThrow("is not in the window");
  });

  it("wakes waiting callers: for more bytes, at its end, and when they abort", async () => {
    const window = new WalWindow(0n);
    const interest = new AbortController();
    const first = window.changed(interest.signal);
    window.append(0n, Buffer.from("x"));
    await first;
    const second = window.changed(interest.signal);
    interest.abort();
    await second;
    const third = window.changed(new AbortController().signal);
    expect(window.closed).toBe(false);
    window.close();
    await third;
    expect(window.closed).toBe(true);
    expect(window.closing.aborted).toBe(true);
  });
});
