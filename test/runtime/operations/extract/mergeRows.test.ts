import { expect, test } from "vitest";
import { type KeyedRow, mergeRows } from "../../../../runtime/operations/extract/mergeRows";
import * as fc from "../../../harness/properties";

interface Row extends KeyedRow {
  readonly name: string;
}

const rows = (maxKey: number): fc.Arbitrary<Row[]> =>
  fc
    .array(fc.tuple(fc.nat(maxKey), fc.nat(2)))
    .map((pairs) =>
      pairs
        .sort(([a], [b]) => a - b)
        .map(([key, hash]) => ({ key: Uint8Array.of(key), hash: String(hash), name: `${key}:${hash}` })),
    );

async function* streamOf(list: readonly Row[]): AsyncGenerator<Row> {
  yield* list;
}

test("each row of both sides counts once, and what is shown explains the difference", async () => {
  await fc.assert(
    fc.asyncProperty(rows(9), rows(9), async (from, to) => {
      const left: string[] = [];
      const right: string[] = [];
      const counts = await mergeRows(streamOf(from), streamOf(to), async (kind, before, after) => {
        expect([before === null, after === null]).toEqual([kind === "added", kind === "removed"]);
        if (before !== null) left.push(before.name);
        if (after !== null) right.push(after.name);
        if (before !== null && after !== null) expect(before.key).toEqual(after.key);
      });
      expect([counts.same + counts.changed + counts.removed, counts.same + counts.changed + counts.added]).toEqual([
        from.length,
        to.length,
      ]);
      // What is the same on both sides is the same set of rows.
      const rest = (all: readonly Row[], differing: readonly string[]): string[] => {
        const names = all.map(({ name }) => name);
        for (const name of differing) names.splice(names.indexOf(name), 1);
        return names.sort();
      };
      expect(rest(from, left)).toEqual(rest(to, right));
    }),
  );
});

test("with unique keys each key is removed, added, changed or the same", async () => {
  const keys = fc.uniqueArray(fc.tuple(fc.nat(30), fc.nat(1)), { selector: ([key]) => key });
  const sorted = keys.map((pairs) => [...pairs].sort(([a], [b]) => a - b));
  await fc.assert(
    fc.asyncProperty(sorted, sorted, async (from, to) => {
      const own = (pairs: readonly (readonly [number, number])[]): AsyncGenerator<Row> =>
        streamOf(pairs.map(([key, hash]) => ({ key: Uint8Array.of(key), hash: String(hash), name: "" })));
      const [before, after] = [new Map(from), new Map(to)];
      const both = [...before.keys()].filter((key) => after.has(key));
      const same = both.filter((key) => before.get(key) === after.get(key)).length;
      expect(await mergeRows(own(from), own(to), async () => undefined)).toEqual({
        same,
        changed: both.length - same,
        removed: before.size - both.length,
        added: after.size - both.length,
      });
    }),
  );
});

test("keys are compared by their bytes", async () => {
  const row = (text: string): Row => ({ key: Buffer.from(text), hash: "1", name: text });
  const seen: string[] = [];
  await mergeRows(
    streamOf([row("B"), row("a"), row("\u{1f600}")]),
    streamOf([row("a"), row("\uffee"), row("\u{1f600}")]),
    async (kind, before, after) => void seen.push(`${kind} ${(before ?? after)?.name}`),
  );
  expect(seen).toEqual(["removed B", "added \uffee"]);
});
