import { PassThrough, Transform } from "node:stream";
import { describe, expect, it } from "vitest";
import { streamOf } from "../../../../runtime/base/bytes";
import { throughTransform } from "../../../../runtime/format/codec/throughTransform";
import { all, pieces, sampleBytes } from "../vectors";

const same = (error: unknown): unknown => error;

describe("a stream through a transform", () => {
  it("is the transform's output", async () => {
    const upper = (): Transform =>
      new Transform({ transform: (chunk, _encoding, done) => done(null, Buffer.from(String(chunk).toUpperCase())) });
    expect((await all(throughTransform(streamOf(Buffer.from("ab"), Buffer.from("c")), upper, same))).toString()).toBe(
      "ABC",
    );
  });

  it("may be much larger than all buffers", async () => {
    const content = sampleBytes(10_000_000);
    expect((await all(throughTransform(pieces(content, 9_999), () => new PassThrough(), same))).equals(content)).toBe(
      true,
    );
  });

  it("maps the transform's errors and destroys it", async () => {
    let made: Transform | undefined;
    const broken = (): Transform => {
      made = new Transform({ transform: (_chunk, _encoding, done) => done(new Error("inner")) });
      return made;
    };
    const run = all(
      throughTransform(streamOf(Buffer.from("x")), broken, (error) => new Error(`outer: ${(error as Error).message}`)),
    );
    await expect(run).rejects.toThrow("outer: inner");
    expect(made?.destroyed).toBe(true);
  });

  it("destroys the transform when its reader leaves early", async () => {
    let made: Transform | undefined;
    const create = (): Transform => {
      made = new PassThrough();
      return made;
    };
    for await (const _chunk of throughTransform(pieces(sampleBytes(1_000_000), 1000), create, same)) break;
    expect(made?.destroyed).toBe(true);
  });
});
