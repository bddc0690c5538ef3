import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { compareBytes } from "../../../../runtime/base/bytes";
import { FileRows } from "../../../../runtime/format/repository/fileRows";
import { formatLabel, isLabel } from "../../../../runtime/format/repository/label";
import { chooseLabels, copyOrder } from "../../../../runtime/operations/backup/backupPlan";
import { uncopied } from "../../../../runtime/operations/backup/plannedFiles";

const NOW = 1795157605;
/** Chooses the label of a full backup in one repository that has these labels. */
function chooseFullLabel(startedAtS: number, labels: readonly string[]): { label: string; waitSeconds: number } {
  const choice = chooseLabels(startedAtS, [{ repoIndex: 1, type: "full", fullLabel: null, known: labels }]);
  return { label: choice.labels.get(1) ?? "", waitSeconds: choice.waitSeconds };
}

const known = fc.array(
  fc
    .tuple(fc.integer({ min: NOW - 5, max: NOW + 3 }), fc.constantFrom("full", "diff", "incr"))
    .map(([second, type]) => formatLabel(type, second, formatLabel("full", second))),
  { maxLength: 5 },
);

describe("the label of a new backup", () => {
  it("is later than every known one, at most a second away, or refused", () => {
    fc.assert(
      fc.property(known, (labels) => {
        const next = (second: number): boolean => labels.every((label) => formatLabel("full", second) > label);
        if (!next(NOW) && !next(NOW + 1)) {
          expect(() => chooseFullLabel(NOW, labels)).toThrow(expect.objectContaining({ kind: "clock", exitCode: 106 }));
          return;
        }
        const { label, waitSeconds } = chooseFullLabel(NOW, labels);
        expect(isLabel(label)).toBe(true);
        expect(label).toBe(formatLabel("full", NOW + waitSeconds));
        expect(waitSeconds).toBe(next(NOW) ? 0 : 1);
        for (const other of labels) expect(label > other).toBe(true);
      }),
    );
  });

  it("does not depend on the order of known labels", () => {
    const result = (labels: readonly string[]): string => {
      try {
        return JSON.stringify(chooseFullLabel(NOW, labels));
      } catch (error) {
        return String(error);
      }
    };
    fc.assert(fc.property(known, (labels) => result([...labels].reverse()) === result(labels)));
  });

  it("names the newest label when the clock went back", () => {
    const newest = formatLabel("full", NOW + 60);
    expect(() => chooseFullLabel(NOW, [newest])).toThrow(
      expect.objectContaining({
        message: `new backup label '${formatLabel("full", NOW + 1)}' is not later than latest backup label '${newest}'`,
      }),
    );
  });
});

it("large files are copied first, those of equal size by name", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(fc.string(), fc.integer({ min: 0, max: 3 })), { selector: ([name]) => name }),
      (rows) => {
        const files = new FileRows();
        for (const [name, sizeBytes] of rows.toSorted(([left], [right]) => compareBytes(left, right)))
          files.add(uncopied({ name, sizeBytes, modifiedAtS: 0, mode: 0, user: null, group: null }));
        const expected = [...files].toSorted(
          (left, right) => right.sizeBytes - left.sizeBytes || compareBytes(left.name, right.name),
        );
        expect([...copyOrder(files)]).toEqual(expected);
      },
    ),
  );
});
