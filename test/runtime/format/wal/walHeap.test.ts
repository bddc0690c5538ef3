import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { isError } from "../../../../runtime/base/errors";
import {
  insertedColumns,
  parseRowChange,
  type RowChange,
  updatedColumns,
} from "../../../../runtime/format/wal/walHeap";
import type { WalBlock } from "../../../../runtime/format/wal/walRecord";
import { errorOf } from "../vectors";
import { pack } from "../walWriter";

const FILE = { tablespace: 1663, database: 5, relation: 16400 };
const HEAP = 10;
const HEAP2 = 9;

function block(id: number, data: Uint8Array = new Uint8Array(0), no = id): WalBlock {
  return { id, fork: 0, file: FILE, block: no, image: null, data };
}

function change(
  info: number,
  main: Uint8Array,
  blocks: readonly WalBlock[] = [block(0)],
  resourceManager = HEAP,
): RowChange | null {
  return parseRowChange({ lsn: 64n, xid: 700, resourceManager, info, bytes: new Uint8Array(24) }, { blocks, main });
}

const deletion = (line: number, flags: number): Uint8Array => pack([4, 700], [2, line], [1, 0], [1, flags]);
const update = (from: number, to: number, flags: number): Uint8Array =>
  pack([4, 700], [2, from], [1, 0], [1, flags], [4, 0], [2, to]);
/** A tuple in WAL: two flag fields, the columns' offset, bytes up to that offset, then the columns. */
const tuple = (columns: string, hoff = 24): Uint8Array =>
  pack([2, 3], [2, 0], [1, hoff], Buffer.alloc(hoff - 23), columns);

describe("row changes in WAL", () => {
  it("are insertions, deletions and updates with their line", () => {
    expect(change(0x00, pack([2, 9], [1, 0]))).toEqual({ kind: "insert", block: block(0), line: 9 });
    expect(change(0x80, pack([2, 9], [1, 0]))).toMatchObject({ kind: "insert" });
    expect(change(0x70, pack([2, 4]))).toMatchObject({ kind: "inPlace", line: 4 });
    expect(change(0x10, deletion(5, 0x07))).toEqual({ kind: "delete", block: block(0), line: 5, isMove: false });
    expect(change(0x50, pack([1, 0], [1, 0], [2, 40]), [block(0)], HEAP2)).toEqual({
      kind: "inserts",
      block: block(0),
      count: 40,
    });
  });

  it("show a row that an update moves to another partition, and no withdrawn insertion", () => {
    expect(change(0x10, deletion(5, 0x10))).toEqual({ kind: "delete", block: block(0), line: 5, isMove: true });
    for (const flags of [0x08, 0x18]) expect(change(0x10, deletion(5, flags))).toBeNull();
  });

  it("of an update lead from one page to another, or stay on one", () => {
    const [to, from] = [block(0, tuple("new"), 3), block(1, new Uint8Array(0), 2)];
    expect(change(0x20, update(5, 6, 0x60), [to, from])).toEqual({
      kind: "update",
      from: { block: from, line: 5 },
      to: { block: to, line: 6 },
      isPrefixShared: true,
      isSuffixShared: true,
    });
    expect(change(0x40, update(5, 6, 0), [to])).toMatchObject({
      from: { block: to, line: 5 },
      to: { block: to, line: 6 },
      isPrefixShared: false,
    });
  });

  it("that are short or without a page are an error", async () => {
    for (const [info, main] of [
      [0x00, pack([1, 9])],
      [0x70, pack([1, 9])],
      [0x10, deletion(5, 0).subarray(0, 7)],
      [0x40, update(5, 6, 0).subarray(0, 13)],
    ] as const) {
      const error = await errorOf("format", () => change(info, main));
      expect(error.message).toBe("unable to parse the WAL record at 0/40 about a row");
    }
    for (const [info, main] of [
      [0x00, pack([2, 9])],
      [0x10, deletion(5, 0)],
      [0x20, update(5, 6, 0)],
    ] as const)
      await errorOf("format", () => change(info, main, []));
    await errorOf("format", () => change(0x50, pack([2, 0]), [block(0)], HEAP2));
    fc.assert(
      fc.property(
        fc.nat(255),
        fc.uint8Array({ maxLength: 30 }),
        fc.constantFrom(HEAP, HEAP2),
        (info, main, manager) => {
          try {
            change(info, main, [block(0)], manager);
          } catch (error) {
            if (!isError(error, "format")) throw error;
          }
        },
      ),
    );
  });
});

describe("columns of rows in WAL", () => {
  const text = (columns: Uint8Array | null): string | null =>
    columns === null ? null : Buffer.from(columns).toString("latin1");
  const updated = (data: Uint8Array, flags: number, old: string | null): string | null => {
    const reported = change(0x40, update(1, 2, flags), [block(0, data)]);
    return text(
      updatedColumns(reported as Extract<RowChange, { kind: "update" }>, old === null ? null : Buffer.from(old)),
    );
  };

  it("of inserted rows, after a header of any length", () => {
    for (const hoff of [24, 32, 40]) expect(text(insertedColumns(block(0, tuple("columns", hoff))))).toBe("columns");
    expect(insertedColumns(block(0))).toBeNull();
    expect(insertedColumns(block(0, pack([2, 3], [2, 0], [1, 22], "columns")))).toBeNull();
    expect(text(insertedColumns(block(0, pack([2, 3], [2, 0], [1, 255], "columns"))))).toBe("");
  });

  it("of updated rows, with equal bytes at both ends that the record omits", () => {
    expect(updated(tuple("whole"), 0, null)).toBe("whole");
    expect(updated(Buffer.concat([pack([2, 3]), tuple("NEW")]), 0x20, "oldrow")).toBe("oldNEW");
    expect(updated(Buffer.concat([pack([2, 3]), tuple("NEW")]), 0x40, "oldrow")).toBe("NEWrow");
    expect(updated(Buffer.concat([pack([2, 2], [2, 1]), tuple("NEW")]), 0x60, "oldrow")).toBe("olNEWw");
  });

  it("are unknown when the old row is missing or too short, or an image replaces it", () => {
    expect(updated(Buffer.concat([pack([2, 3]), tuple("NEW")]), 0x20, null)).toBeNull();
    expect(updated(Buffer.concat([pack([2, 7]), tuple("NEW")]), 0x20, "oldrow")).toBeNull();
    expect(updated(Buffer.concat([pack([2, 7]), tuple("NEW")]), 0x40, "oldrow")).toBeNull();
    expect(updated(new Uint8Array(0), 0x60, "oldrow")).toBeNull();
    // The tuple is shorter than its header says.
    expect(updated(tuple("").subarray(0, 5), 0x60, "oldrow")).toBeNull();
  });
});
