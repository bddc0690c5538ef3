import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { isError } from "../../../../runtime/base/errors";
import { parseTransactionEnd } from "../../../../runtime/format/wal/walTransaction";
import { errorOf } from "../vectors";
import { endOf, pack, pgTime, preparedOf } from "../walWriter";

const AT_US = 1_763_715_153_123_456n;
const COMMIT = 0x00;
const ABORT = 0x20;
const COMMIT_PREPARED = 0x30;
const ABORT_PREPARED = 0x40;

describe("records that end transactions", () => {
  it.each([14, 15, 16, 17, 18, 19])("of PostgreSQL %i have every part in order", (major) => {
    const all = {
      atUs: AT_US,
      database: [5, 1663],
      subtransactions: [701, 702],
      dropped: [
        [1663, 5, 16400],
        [1663, 5, 16403],
      ],
      statistics: 3,
      twoPhaseXid: 690,
      name: "a b'c",
    } as const;
    const expected = {
      xid: 690,
      atUs: AT_US,
      subtransactions: [701, 702],
      dropped: [
        { tablespace: 1663, database: 5, relation: 16400 },
        { tablespace: 1663, database: 5, relation: 16403 },
      ],
      preparedAs: "a b'c",
    };
    const commit = endOf({ ...all, invalidations: 4 }, major);
    expect(parseTransactionEnd(commit.main, COMMIT_PREPARED | commit.flag, 0, major)).toEqual({
      kind: "commit",
      ...expected,
    });
    // An abort carries no invalidations.
    const abort = endOf(all, major);
    expect(parseTransactionEnd(abort.main, ABORT_PREPARED | abort.flag, 0, major)).toEqual({
      kind: "abort",
      ...expected,
    });
    for (const [gid, subtransactions] of [
      ["a b'c", [701, 702]],
      ["seventh", [701]],
      ["eighth's", []],
    ] as const) {
      const main = preparedOf({ xid: 690, atUs: AT_US, gid, subtransactions }, major);
      const end = { ...expected, kind: "prepare", dropped: [], subtransactions, preparedAs: gid };
      expect(parseTransactionEnd(main, 0x10, 690, major)).toEqual(end);
    }
  });

  it("may have only a time", () => {
    const { main } = endOf({ atUs: AT_US });
    const plain = { xid: 700, atUs: AT_US, subtransactions: [], dropped: [], preparedAs: null };
    expect(parseTransactionEnd(main, COMMIT, 700, 15)).toEqual({ kind: "commit", ...plain });
    expect(parseTransactionEnd(main, ABORT, 700, 15)).toEqual({ kind: "abort", ...plain });
    const before2000 = endOf({ atUs: 900_000_000_000_000n });
    expect(parseTransactionEnd(before2000.main, COMMIT, 1, 15)?.atUs).toBe(900_000_000_000_000n);
  });

  it("are read with any choice of parts", () => {
    const nat = fc.nat(0xffffffff);
    const some = fc.record(
      {
        atUs: fc.constant(AT_US),
        database: fc.tuple(nat, nat),
        subtransactions: fc.array(nat, { maxLength: 9 }),
        dropped: fc.array(fc.tuple(nat, nat, nat), { maxLength: 9 }),
        statistics: fc.nat(5),
        invalidations: fc.nat(5),
        twoPhaseXid: nat,
      },
      { requiredKeys: ["atUs"] },
    );
    fc.assert(
      fc.property(some, fc.constantFrom(14, 15, 16, 17, 18, 19), (parts, major) => {
        const { flag, main } = endOf(parts, major);
        const end = parseTransactionEnd(main, COMMIT | flag, 700, major);
        expect(end?.subtransactions).toEqual(parts.subtransactions ?? []);
        expect(end?.dropped.map(({ database, relation, tablespace }) => [tablespace, database, relation])).toEqual(
          parts.dropped ?? [],
        );
        expect(end?.xid).toBe(parts.twoPhaseXid ?? 700);
      }),
    );
  });

  it("exclude other records", () => {
    for (const info of [0x50, 0x60]) expect(parseTransactionEnd(new Uint8Array(8), info, 700, 15)).toBeNull();
  });

  it("are an error when truncated anywhere, or with negative counts", async () => {
    const { flag, main } = endOf({
      atUs: AT_US,
      subtransactions: [701],
      dropped: [[1, 2, 3]],
      invalidations: 1,
      twoPhaseXid: 690,
      name: "gone",
    });
    for (let cut = 0; cut < main.length; cut++)
      await errorOf("format", () => parseTransactionEnd(main.subarray(0, cut), COMMIT_PREPARED | flag, 0, 15));
    const head = preparedOf({ xid: 690, atUs: AT_US, gid: "gone", subtransactions: [701] }, 15);
    for (let cut = 0; cut < 84; cut++)
      await errorOf("format", () => parseTransactionEnd(head.subarray(0, cut), 0x10, 690, 15));
    for (const bit of [0x02, 0x04, 0x08, 0x100]) {
      const negative = pack(pgTime(AT_US), [4, bit | 0x10], [4, -1], [4, 690], [4, 0]);
      await errorOf("format", () => parseTransactionEnd(negative, COMMIT | 0x80, 700, 15));
    }
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 120 }),
        fc.nat(255),
        fc.constantFrom(14, 15, 18, 19),
        (bytes, info, major) => {
          try {
            parseTransactionEnd(bytes, info, 700, major);
          } catch (error) {
            if (!isError(error, "format")) throw error;
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
