import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { copyOrder } from "../../../../runtime/operations/backup/backupPlan";
import { uncopied } from "../../../../runtime/operations/backup/plannedFiles";
import type { ManifestFile } from "../../../../runtime/format/repository/manifest";
import type { ScannedFile } from "../../../../runtime/postgres/dataDirectory";
import { RecentFiles, untilSecondOverMs } from "../../../../runtime/operations/backup/recentFiles";

const SCANNED_AT_S = 1_000_000;
/** Of pg_control. */
const CHECKPOINT_S = SCANNED_AT_S - 2;
const OLD_S = CHECKPOINT_S - 1;
const CONTROL = fileOf("pg_data/global/pg_control", CHECKPOINT_S);

function fileOf(name: string, modifiedAtS: number, sizeBytes = 0): ManifestFile {
  return uncopied({ name, sizeBytes, modifiedAtS, mode: 0o600, user: null, group: null });
}

function recentOf(
  secondOver: Promise<void>,
  files: readonly ManifestFile[] = [CONTROL],
  links: string[] = [],
): RecentFiles {
  return new RecentFiles(
    { files, links: links.map((name) => ({ name, destination: "/", user: null, group: null })) },
    SCANNED_AT_S,
    secondOver,
  );
}

const files = fc
  .array(fc.record({ sizeBytes: fc.integer({ min: 0, max: 9 }), ageS: fc.integer({ min: -1, max: 5 }) }), {
    maxLength: 20,
  })
  .map((some) => some.map(({ sizeBytes, ageS }, no) => fileOf(`pg_data/f${no}`, SCANNED_AT_S - ageS, sizeBytes)));

describe("files that were modified shortly before the scan", () => {
  it("come last, or once their second is over at the place of their size", async () => {
    await fc.assert(
      fc.asyncProperty(files, fc.nat({ max: 20 }), async (some, overAt) => {
        let end = (): void => undefined;
        const recent = recentOf(new Promise((resolve) => (end = resolve)));
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
    const recent = recentOf(new Promise((resolve) => (end = resolve)));
    const [old, fresh] = [fileOf("pg_data/old", OLD_S), fileOf("pg_data/fresh", CHECKPOINT_S)];
    await recent.wait([old, old]);
    let waited = false;
    const wait = recent.wait([old, fresh]).then(() => (waited = true));
    await recent.wait([old]);
    expect(waited).toBe(false);
    end();
    await wait;
    await recent.wait([fresh]);
  });

  it.each<readonly [string, boolean, ManifestFile, ManifestFile[], string[]]>([
    ["an old file", false, fileOf("pg_data/old", OLD_S), [CONTROL], ["pg_data/pg_wal", "pg_data/pg_tblspc/16384"]],
    ["one of a tablespace, whose file system may have another clock", true, fileOf("pg_tblspc/1/a", 0), [CONTROL], []],
    ["one beside a link to another file system", true, fileOf("pg_data/old", OLD_S), [CONTROL], ["pg_data/base/5"]],
    ["one without pg_control", true, fileOf("pg_data/old", OLD_S), [], []],
    ["one before a pg_control of the future", true, CONTROL, [fileOf(CONTROL.name, SCANNED_AT_S + 9)], []],
  ])("%s waits: %s", async (_, waits, file, scanned, links) => {
    const recent = recentOf(Promise.reject(new Error("waits")), scanned, links);
    const at = file === CONTROL ? fileOf("pg_data/now", SCANNED_AT_S) : file;
    expect(await recent.wait([at]).catch(({ message }: Error) => message)).toBe(waits ? "waits" : undefined);
  });

  it("wait until their second is over, also by the clock of a file server", () => {
    const secondAt = (timeMs: number): number => Math.floor(timeMs / 1000);
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: -5000, max: 5000 }), (scannedAtMs, aheadMs) => {
        const overAtMs = scannedAtMs + untilSecondOverMs(scannedAtMs, false);
        expect(secondAt(overAtMs + aheadMs)).toBeGreaterThan(secondAt(scannedAtMs + aheadMs));
        const ownOverAtMs = scannedAtMs + untilSecondOverMs(scannedAtMs, true);
        expect(secondAt(ownOverAtMs)).toBe(secondAt(scannedAtMs) + 1);
        expect(ownOverAtMs).toBeLessThanOrEqual(overAtMs);
      }),
    );
  });

  it("throw what ends the backup", async () => {
    const recent = recentOf(Promise.reject(new Error("terminated")));
    await expect(recent.wait([CONTROL])).rejects.toThrow("terminated");
  });
});
