import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { copyOrder } from "../../../../runtime/operations/backup/backupPlan";
import { uncopied } from "../../../../runtime/operations/backup/plannedFiles";
import { RecentFiles } from "../../../../runtime/operations/backup/recentFiles";
import type { ScannedFile } from "../../../../runtime/postgres/dataDirectory";

const SCANNED_AT_S = 1_000_000;
const OLD_S = SCANNED_AT_S - 3;

const files = fc
  .array(fc.record({ sizeBytes: fc.integer({ min: 0, max: 9 }), ageS: fc.integer({ min: -1, max: 5 }) }), {
    maxLength: 20,
  })
  .map((some) =>
    some.map(({ sizeBytes, ageS }, no) =>
      uncopied({
        name: `pg_data/f${no}`,
        sizeBytes,
        modifiedAtS: SCANNED_AT_S - ageS,
        mode: 0o600,
        user: null,
        group: null,
      }),
    ),
  );

describe("files that were modified shortly before the scan", () => {
  it("come last, or once their second is over at the place of their size", async () => {
    await fc.assert(
      fc.asyncProperty(files, fc.nat({ max: 20 }), async (some, overAt) => {
        let end = (): void => undefined;
        const recent = new RecentFiles(SCANNED_AT_S, new Promise((resolve) => (end = resolve)));
        const settledCount = some.filter(({ modifiedAtS }) => modifiedAtS <= OLD_S).length;
        const order: ScannedFile[] = [];
        for (const file of recent.inTurn(copyOrder(some))) {
          order.push(file);
          if (order.length !== overAt) continue;
          end();
          await Promise.resolve();
        }
        expect(order.map(({ name }) => name).sort()).toEqual(some.map(({ name }) => name).sort());
        const early = order.slice(0, Math.min(overAt === 0 ? some.length : overAt, settledCount));
        expect(early.every(({ modifiedAtS }) => modifiedAtS <= OLD_S)).toBe(true);
        // Two runs of descending sizes: before and after the end of the second.
        const rest = overAt === 0 ? order.slice(settledCount) : order.slice(overAt);
        for (const part of [early, rest])
          expect(part.map(({ sizeBytes }) => sizeBytes)).toEqual(
            part.map(({ sizeBytes }) => sizeBytes).sort((left, right) => right - left),
          );
      }),
    );
  });

  it("wait for the end of the second, also as one of several; older ones do not", async () => {
    let end = (): void => undefined;
    const recent = new RecentFiles(SCANNED_AT_S, new Promise((resolve) => (end = resolve)));
    const [old, fresh] = [{ modifiedAtS: OLD_S }, { modifiedAtS: OLD_S + 1 }];
    await recent.wait([old, old]);
    let waited = false;
    const wait = recent.wait([old, fresh]).then(() => (waited = true));
    await recent.wait([old]);
    expect(waited).toBe(false);
    end();
    await wait;
    await recent.wait([fresh]);
  });

  it("throw what ends the backup", async () => {
    const recent = new RecentFiles(SCANNED_AT_S, Promise.reject(new Error("terminated")));
    await expect(recent.wait([{ modifiedAtS: SCANNED_AT_S }])).rejects.toThrow("terminated");
  });
});
