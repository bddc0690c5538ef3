import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Opcode, OPCODES } from "../../../runtime/fuse/kernelProtocol";
import { decodeHeader, decodeRequest, type Request } from "../../../runtime/fuse/request";
import { encode, fields } from "./requests";

function decode(bytes: Uint8Array): Request {
  const header = decodeHeader(bytes);
  if (header === null) throw new Error("no header");
  return decodeRequest(bytes, header);
}

describe("requests", () => {
  test("the fields of each request", () => {
    expect(
      decode(encode({ op: "READ", body: fields([8, 5], [8, 24576], [4, 8192], [4, 0], [8, 0], [4, 0], [4, 0]) })),
    ).toEqual({
      kind: "read",
      offsetBytes: 24576,
      sizeBytes: 8192,
    });
    const data = "abcdefg";
    const written = decode(
      encode({ op: "WRITE", body: fields([8, 5], [8, 3], [4, 8], [4, 0], [8, 0], [4, 0], [4, 0], data) }),
    );
    expect(written).toEqual({ kind: "write", offsetBytes: 3, data: Buffer.from(`${data}\0`) });
    expect(decode(encode({ op: "LINK", body: fields([8, 9], "to") }))).toEqual({
      kind: "link",
      fromNode: 9,
      name: "to",
    });
    expect(decode(encode({ op: "RENAME2", body: fields([8, 9], [4, 1], [4, 0], "from", "to") }))).toEqual({
      kind: "rename",
      name: "from",
      toNode: 9,
      toName: "to",
      mayReplace: false,
    });
    expect(
      decode(encode({ op: "BATCH_FORGET", body: fields([4, 2], [4, 0], [8, 3], [8, 1], [8, 4], [8, 2]) })),
    ).toEqual({
      kind: "forget",
      nodes: [
        { node: 3, count: 1 },
        { node: 4, count: 2 },
      ],
    });
  });

  test("a number that no file reaches, a name of 256 bytes and a count behind the end are refused", () => {
    const huge = fields([8, 5], [8, 0], [4, 8192], [4, 0]);
    huge.writeBigUInt64LE(2n ** 60n, 8);
    expect(() => decode(encode({ op: "READ", body: huge }))).toThrow("EINVAL");
    expect(() => decode(encode({ op: "LOOKUP", body: fields("x".repeat(256)) }))).toThrow("ENAMETOOLONG");
    expect(() =>
      decode(encode({ op: "WRITE", body: fields([8, 5], [8, 0], [4, 100], [4, 0], [8, 0], [4, 0], [4, 0], "x") })),
    ).toThrow("a field outside");
    expect(() => decode(encode({ op: "LOOKUP", body: Buffer.from("no end") }))).toThrow("EINVAL");
  });

  test("names with bytes that are no UTF-8 keep them", () => {
    const request = decode(encode({ op: "LOOKUP", body: Buffer.from([0x61, 0xe9, 0]) }));
    expect(request).toEqual({ kind: "lookup", name: "a\udce9" });
  });

  /** Recorded on Linux 6.18 while programs of a shell worked in a mounted directory; owners and processes are zero. */
  test("requests that a kernel has sent", () => {
    const lines = readFileSync(join(__dirname, "../../vectors/fuse/requests.txt"), "utf8").trim().split("\n");
    expect(lines.length).toBeGreaterThan(30);
    for (const line of lines) {
      const [, name = "", hex = "", json = ""] = /^(\S+) (\S+) (.*)$/.exec(line) ?? [];
      const bytes = Buffer.from(hex, "hex");
      expect(decodeHeader(bytes)?.opcode).toBe(OPCODES[name as Opcode]);
      expect(JSON.parse(JSON.stringify(decode(bytes), shown))).toEqual(JSON.parse(json));
    }
  });
});

function shown(_: string, value: unknown): unknown {
  const { data, type } = (value ?? {}) as { type?: unknown; data?: number[] };
  return type === "Buffer" && data !== undefined ? Buffer.from(data).toString("latin1") : value;
}
