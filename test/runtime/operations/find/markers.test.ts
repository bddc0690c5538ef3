import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { ClassRow } from "../../../../runtime/format/page/heapPage";
import { WalReader } from "../../../../runtime/format/wal/walReader";
import {
  type Activity,
  ActivityTracker,
  type ClassChange,
  type Ended,
} from "../../../../runtime/operations/find/activity";
import { markersOf, type Names, weightOf } from "../../../../runtime/operations/find/markers";
import { vectorBytes } from "../../format/vectors";

const DATABASE = 5;
const NO_NAMES: Names = { relation: () => undefined, schema: () => undefined, database: () => undefined };
const NAMES: Names = {
  relation: (_, file) =>
    file === 16400 ? row({}) : file === 16500 ? row({ name: "mine", isTemporary: true }) : undefined,
  schema: (_, oid) => ({ 2200: "public", 16384: "app" })[oid],
  database: (oid) => ({ 5: "shop" })[oid],
};

function row(more: Partial<ClassRow>): ClassRow {
  return { oid: 16390, name: "orders", schema: 2200, file: 16400, kind: "r", isTemporary: false, ...more };
}

function activity(more: Partial<Activity> = {}, relations: readonly Partial<ClassChange>[] = []): Activity {
  const changes = relations.map((each): ClassChange => {
    const known = each.old ?? each.new ?? row({});
    const files = [each.old, each.new].flatMap((side) =>
      side === null || side === undefined ? [] : [`${DATABASE}/${side.file}`],
    );
    return {
      database: DATABASE,
      old: null,
      new: null,
      isNew: false,
      files: new Set(files),
      row: known,
      firstLsn: 1n,
      lsn: 1n,
      ...each,
    };
  });
  return {
    xid: 700,
    firstLsn: 1n,
    rows: new Map(),
    relations: new Map(changes.map((change, index) => [String(index), change])),
    unknownDrops: 0,
    schemas: [],
    databases: [],
    removedDatabases: [],
    copied: new Set(),
    remapped: new Set(),
    isPrepared: false,
    ...more,
  };
}

function reported(from: Activity, dropped: readonly number[] = [], names: Names = NAMES): string[] {
  const files = dropped.map((relation) => ({ tablespace: 1663, database: DATABASE, relation }));
  return markersOf(from, { dropped: files }, names).map(
    ({ isResolved, kind, name, object, rows }) =>
      `${kind} ${object} ${name}${rows === null ? "" : ` ${rows}`}${isResolved ? "" : " ?"}`,
  );
}

function counted(relation: number, deletes: number, updates: number): Activity["rows"] {
  const file = { tablespace: 1663, database: DATABASE, relation };
  return new Map([[`${DATABASE}/${relation}`, { file, inserts: 0, deletes, updates }]]);
}

describe("what a transaction destroyed", () => {
  it("a relation that left pg_class was dropped, once, by its kind", () => {
    expect(reported(activity({}, [{ old: row({}) }]), [16400])).toEqual(["drop table public.orders"]);
    for (const [kind, object] of [
      ["p", "table"],
      ["m", "materialized view"],
      ["f", "foreign table"],
      ["v", "view"],
    ] as const)
      expect(reported(activity({}, [{ old: row({ kind, file: 0 }) }]))).toEqual([`drop ${object} public.orders`]);
    // A table takes its indexes, TOAST, sequences and composite types with it.
    for (const kind of ["i", "I", "t", "S", "c"])
      expect(reported(activity({}, [{ old: row({ kind }) }]), [16400])).toEqual([]);
    expect(reported(activity({}, [{ old: row({ schema: 999 }) }]))).toEqual(["drop table 999.orders"]);
  });

  it("objects created and dropped in one transaction, and temporary tables, are no incidents", () => {
    expect(reported(activity({}, [{ old: row({}), isNew: true }]), [16400])).toEqual([]);
    expect(reported(activity({}, [{ old: row({ isTemporary: true }) }]), [16400])).toEqual([]);
    expect(reported(activity(), [16500])).toEqual([]);
  });

  it("a new file alone is a truncation", () => {
    expect(reported(activity({}, [{ old: row({}), new: row({ file: 16401 }) }]), [16400])).toEqual([
      "truncate table public.orders",
    ]);
    expect(reported(activity({}, [{ old: row({}), new: row({ name: "renamed" }) }]))).toEqual([]);
    expect(reported(activity({}, [{ old: row({ kind: "v", file: 0 }), new: row({ kind: "v", file: 0 }) }]))).toEqual(
      [],
    );
  });

  it("a table that is rewritten or moves to another tablespace keeps its rows", () => {
    const moved = [{ old: row({}), new: row({ file: 16401 }) }];
    expect(reported(activity({ copied: new Set(["5/16401"]) }, moved), [16400])).toEqual([]);
    const rewritten = row({ name: "pg_temp_16390", oid: 16410, file: 16401 });
    expect(
      reported(
        activity({}, [
          ...moved,
          { old: null, new: null, row: rewritten, isNew: true, files: new Set(["5/16401", "5/16400"]) },
        ]),
        [16400],
      ),
    ).toEqual([]);
    expect(reported(activity({ remapped: new Set(["5/16499"]) }), [16499])).toEqual([]);
  });

  it("rows that changed before a rewrite are the table's, although its file is another's then", () => {
    const transient = row({ oid: 16600, name: "pg_temp_16390" });
    const rewritten = [
      { old: row({}), new: row({ file: 16500 }) },
      { isNew: true, new: transient },
    ];
    const names = { ...NAMES, relation: () => transient };
    expect(reported(activity({ rows: counted(16400, 3, 0) }, rewritten), [16400], names)).toEqual([
      "delete table public.orders 3",
    ]);
  });

  it("a removed file without an explanation is reported by its number, or its name", () => {
    expect(reported(activity(), [16400, 16777])).toEqual([
      "truncate table public.orders",
      "truncate relation 5/16777 ?",
    ]);
    expect(reported(activity({ unknownDrops: 1 }), [16777], NO_NAMES)).toEqual(["drop relation 5/16777 ?"]);
    expect(reported(activity(), [1259, 2619])).toEqual([]);
  });

  it("schemas and databases", () => {
    const schemas = [
      { database: DATABASE, row: { oid: 16384, name: "app" } },
      { database: DATABASE, row: null },
    ];
    expect(reported(activity({ schemas }))).toEqual(["drop schema app", "drop schema 5/schema ?"]);
    expect(reported(activity({ removedDatabases: [{ oid: 5, lsn: 1n }], databases: [{ oid: 5, row: null }] }))).toEqual(
      ["drop database shop"],
    );
    expect(reported(activity({ databases: [{ oid: 6, row: { oid: 6, name: "old" } }] }))).toEqual([
      "drop database old",
    ]);
    expect(reported(activity({ removedDatabases: [{ oid: 7, lsn: 1n }] }))).toEqual(["drop database 7 ?"]);
  });

  it("rows are counted by table; those of catalogs and TOAST are not", () => {
    expect(reported(activity({ rows: counted(16400, 12, 3) }))).toEqual([
      "delete table public.orders 12",
      "update table public.orders 3",
    ]);
    expect(reported(activity({ rows: counted(16999, 1, 0) }))).toEqual(["delete relation 5/16999 1 ?"]);
    expect(reported(activity({ rows: counted(1259, 9, 9) }))).toEqual([]);
    expect(reported(activity({ rows: counted(16400, 0, 0) }))).toEqual([]);
    for (const schema of [11, 99])
      expect(
        reported(activity({ rows: counted(16400, 9, 0) }), [], { ...NAMES, relation: () => row({ schema }) }),
      ).toEqual([]);
  });

  it("a removed object weighs more than any rows, and a deletion more than an update", () => {
    const weight = (from: Activity, dropped: readonly number[] = []): number =>
      weightOf(
        markersOf(
          from,
          { dropped: dropped.map((relation) => ({ tablespace: 1663, database: DATABASE, relation })) },
          NAMES,
        ),
      );
    const drop = weight(activity({}, [{ old: row({}) }]));
    expect(drop).toBe(weight(activity({}, [{ old: row({}), new: row({ file: 16401 }) }])));
    expect(drop).toBeGreaterThan(weight(activity({ rows: counted(16400, 1e9, 0) })));
    expect(weight(activity({ rows: counted(16400, 10, 0) }))).toBeGreaterThan(
      weight(activity({ rows: counted(16400, 0, 10) })),
    );
    expect(weight(activity({}, [{ old: row({ kind: "v", file: 0 }) }]))).toBeLessThan(drop);
    expect(weightOf([])).toBe(0);
  });
});

describe.each([
  [15, 732],
  [17, 746],
  [18, 760],
  [19, 671],
])("WAL that PostgreSQL %i wrote", (major, firstXid) => {
  const tracker = new ActivityTracker(major, null);
  const ended: Ended[] = [];
  for (const record of new WalReader().read(gunzipSync(vectorBytes(`wal/pg${major}.segment.gz`)))) {
    const each = tracker.add(record);
    if (each !== null) ended.push(each);
  }
  const names: Names = {
    relation: (database, file) => tracker.catalogs.findRelation(database, file),
    schema: (database, oid) => tracker.catalogs.findSchema(database, oid) ?? (oid > 16000 ? "app" : undefined),
    database: () => undefined,
  };

  it("every incident in order, and nothing else", () => {
    const all = ended.flatMap(({ activity: done, end }) =>
      done === null
        ? []
        : markersOf(done, end, names).map(({ kind, name, rows }) => [
            end.xid - firstXid,
            kind,
            name,
            rows,
            end.preparedAs,
          ]),
    );
    expect(all).toEqual([
      [0, "delete", expect.any(String), 3, null],
      [2, "update", expect.any(String), 4, null],
      [4, "delete", expect.any(String), 2, "two"],
      [5, "truncate", "app.logs", null, null],
      [6, "drop", "app.orders", null, null],
    ]);
    expect(ended.map(({ end }) => end.kind)).toEqual([
      "commit",
      "abort",
      "commit",
      "prepare",
      "commit",
      "commit",
      "commit",
    ]);
  });

  it("a truncated record is always an error", () => {
    for (const record of new WalReader().read(gunzipSync(vectorBytes(`wal/pg${major}.segment.gz`)))) {
      if (record.bytes.length < 40) continue;
      const short = { ...record, bytes: record.bytes.subarray(0, 30) };
      const looks = new ActivityTracker(major, null);
      if ([0, 1, 4, 7, 8, 9, 10].includes(record.resourceManager)) {
        try {
          looks.add(short);
        } catch (error) {
          expect(error).toMatchObject({ kind: "format" });
        }
      } else expect(looks.add(short)).toBeNull();
    }
  });
});
