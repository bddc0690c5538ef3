import * as fc from "../../harness/properties";
import { describe, expect, test } from "vitest";
import { answer, answerRead, type FileRequest, type FileSystem } from "../../../runtime/fuse/answerRequest";
import { ERRNO, OPCODES, Refusal } from "../../../runtime/fuse/kernelProtocol";
import { decodeReply, type Decoded, encode, fields } from "./requests";

const UNANSWERED: readonly number[] = [OPCODES.FORGET, OPCODES.BATCH_FORGET, OPCODES.INTERRUPT];

interface Run {
  readonly replies: Decoded[];
  readonly requests: FileRequest[];
  readonly failures: unknown[];
}

async function run(
  bytes: Uint8Array,
  handle: (request: FileRequest) => Uint8Array | Promise<Uint8Array>,
  isWriteBack = true,
): Promise<Run> {
  const made: Run = { replies: [], requests: [], failures: [] };
  const files: FileSystem = {
    isWriteBack,
    handle: (request) => {
      made.requests.push(request);
      return handle(request);
    },
    readNow: () => null,
    failed: (error) => void made.failures.push(error),
  };
  answer(bytes, files, (reply) => void made.replies.push(decodeReply(reply)));
  await new Promise((resolve) => setImmediate(resolve));
  return made;
}

const nothing = (): Uint8Array => new Uint8Array(0);

describe("answers", () => {
  // claim: docs/open.md: any request of the kernel is answered once or refused, and none is lost
  test("any bytes with a header get exactly one answer, and forgets and interrupts none", async () => {
    const outcomes: (() => Uint8Array | Promise<Uint8Array>)[] = [
      nothing,
      () => Promise.resolve(Buffer.from("later")),
      () => {
        throw new Refusal("ENOENT");
      },
      () => Promise.reject(new Error("unknown")),
    ];
    const opcode = fc.oneof(fc.constantFrom(...Object.values(OPCODES)), fc.nat(5000));
    await fc.assert(
      fc.asyncProperty(
        opcode,
        fc.uint8Array({ maxLength: 200 }),
        fc.bigInt(0n, 2n ** 64n - 1n),
        fc.nat(3),
        fc.boolean(),
        async (op, body, unique, outcome, isShort) => {
          const bytes = encode({ op, body, unique });
          if (isShort) bytes.writeUInt32LE(bytes.length + 1, 0);
          const { replies } = await run(bytes, outcomes[outcome] as () => Uint8Array);
          if (UNANSWERED.includes(op)) expect(replies).toEqual([]);
          else expect(replies.map((reply) => reply.unique)).toEqual([unique]);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("a READ is answered at once as it would be later, and no other request is", async () => {
    const content = (offsetBytes: number, sizeBytes: number): Buffer =>
      Buffer.from(`${offsetBytes} ${sizeBytes}`.repeat(3));
    const reply = Buffer.alloc(200, 0xee);
    const asked: unknown[] = [];
    const files: FileSystem = {
      isWriteBack: true,
      handle: () => new Uint8Array(0),
      readNow: ({ offsetBytes, sizeBytes }, node, target, at) => {
        asked.push([node, offsetBytes, sizeBytes]);
        target.set(content(offsetBytes, sizeBytes), at);
        return content(offsetBytes, sizeBytes).length;
      },
      failed: () => {},
    };
    const u64 = fc.oneof(fc.bigInt(0n, 2n ** 53n - 1n), fc.bigInt(0n, 2n ** 64n - 1n));
    const op = fc.oneof(fc.constant(OPCODES.READ), fc.constantFrom(...Object.values(OPCODES)));
    await fc.assert(
      fc.asyncProperty(op, u64, u64, u64, fc.nat(2 ** 20), fc.nat(30), async (opcode, unique, node, at, size, cut) => {
        const body = fields([8, 1], [8, at], [4, size], [4, 0]).subarray(0, 24 - (cut > 24 ? 0 : cut));
        const bytes = encode({ op: opcode, body, unique, node });
        asked.length = 0;
        const sizeBytes = answerRead(bytes, files, reply);
        const { replies, requests } = await run(bytes, (request) =>
          request.kind === "read" ? content(request.offsetBytes, request.sizeBytes) : new Uint8Array(0),
        );
        const isRead = requests[0]?.kind === "read" && Number.isSafeInteger(Number(node));
        if (isRead) expect(asked).toEqual([[Number(node), Number(at), size]]);
        else expect(sizeBytes).toBeNull();
        if (sizeBytes !== null) expect(decodeReply([reply.subarray(0, sizeBytes)])).toEqual(replies[0]);
      }),
    );
  });

  test("a READ that cannot be answered at once is left to the others, also if it fails", () => {
    const bytes = encode({ op: "READ", body: fields([8, 1], [8, 0], [4, 8192], [4, 0]) });
    const outcomes: FileSystem["readNow"][] = [
      () => null,
      () => {
        throw new Refusal("ESTALE");
      },
    ];
    for (const readNow of outcomes)
      expect(
        answerRead(bytes, { isWriteBack: true, handle: nothing, readNow, failed: () => {} }, Buffer.alloc(9000)),
      ).toBeNull();
  });

  test("no name leads out of its directory", async () => {
    for (const name of ["", ".", "..", "../x", "/etc/passwd", "a/b"])
      for (const bytes of [
        encode({ op: "LOOKUP", body: fields(name) }),
        encode({ op: "UNLINK", body: fields(name) }),
        encode({ op: "CREATE", body: fields([4, 0], [4, 0o600], [4, 0], [4, 0], name) }),
        encode({ op: "MKDIR", body: fields([4, 0o700], [4, 0], name) }),
        encode({ op: "RENAME2", body: fields([8, 1], [4, 0], [4, 0], "old", name) }),
        encode({ op: "SYMLINK", body: fields(name, "target") }),
      ]) {
        const { replies, requests } = await run(bytes, nothing);
        expect([replies[0]?.errno, requests]).toEqual([ERRNO.EINVAL, []]);
      }
  });

  test("an unknown request is refused with ENOSYS, and an unknown protocol with EPROTO", async () => {
    const unknown = await run(encode({ op: 4242 }), nothing);
    expect([unknown.replies[0]?.errno, unknown.requests]).toEqual([ERRNO.ENOSYS, []]);
    const newer = await run(encode({ op: "INIT", body: fields([4, 8], [4, 0], [4, 0], [4, 0]) }), nothing);
    expect(newer.replies[0]?.errno).toBe(ERRNO.EPROTO);
  });

  test("an unknown failure is EIO and reported, a system error keeps its number, and a refusal is not reported", async () => {
    const read = encode({ op: "READ", body: fields([8, 1], [8, 0], [4, 8192], [4, 0]) });
    const unknown = new Error("no repository has it");
    const full = Object.assign(new Error("full"), { errno: -28 });
    const failed = await run(read, () => Promise.reject(unknown));
    expect([failed.replies[0]?.errno, failed.failures]).toEqual([ERRNO.EIO, [unknown]]);
    const filled = await run(read, () => {
      throw full;
    });
    expect([filled.replies[0]?.errno, filled.failures]).toEqual([ERRNO.ENOSPC, [full]]);
    const refused = await run(read, () => {
      throw new Refusal("ESTALE");
    });
    expect([refused.replies[0]?.errno, refused.failures]).toEqual([ERRNO.ESTALE, []]);
  });

  test("the answer to INIT asks for nothing that the kernel does not offer, and for a write-back cache only where it may", async () => {
    const WRITEBACK = 1 << 16;
    const offer = async (flags: number, isWriteBack: boolean): Promise<number> => {
      const { replies } = await run(
        encode({ op: "INIT", body: fields([4, 7], [4, 41], [4, 131072], [4, flags]) }),
        nothing,
        isWriteBack,
      );
      return replies[0]?.body.readUInt32LE(12) ?? -1;
    };
    expect(await offer(0, true)).toBe(0);
    expect(await offer(0xffffffff, false)).not.toBe(0);
    expect((await offer(0xffffffff, false)) & WRITEBACK).toBe(0);
    expect((await offer(0xffffffff, true)) & WRITEBACK).toBe(WRITEBACK);
  });
});
