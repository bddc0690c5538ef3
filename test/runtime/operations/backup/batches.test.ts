import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { planBatches } from "../../../../runtime/operations/backup/batches";
import { PlannedFiles, uncopied } from "../../../../runtime/operations/backup/plannedFiles";
import type { RepoPlan } from "../../../../runtime/operations/backup/backupPlan";
import type { ManifestFile } from "../../../../runtime/format/repository/manifest";

const MIB = 1024 * 1024;

function scanned(name: string, sizeBytes: number): ManifestFile {
  return uncopied({ name, sizeBytes, modifiedAtS: 1, mode: 0o600, user: null, group: null });
}

interface Repo {
  readonly sizeBytes: number | null;
  readonly limitBytes: number;
  /** Keeps every n-th file; 0 keeps none. */
  readonly keeps: number;
}

function planOf(files: readonly ManifestFile[], repo: Repo): RepoPlan {
  const kept = new Set(files.filter((_, index) => repo.keeps > 0 && index % repo.keeps === 0).map(({ name }) => name));
  const planned = new PlannedFiles(files, (file) =>
    kept.has(file.name) ? { kind: "keep", row: uncopied(file) } : null,
  );
  const plan: Pick<RepoPlan, "files" | "bundle"> = {
    files: planned,
    bundle: repo.sizeBytes === null ? null : { sizeBytes: repo.sizeBytes, limitBytes: repo.limitBytes },
  };
  // Batches use no other part of a plan.
  return plan as RepoPlan;
}

const repo = fc.record({
  sizeBytes: fc.constantFrom(null, MIB, 3 * MIB),
  limitBytes: fc.constantFrom(64 * 1024, MIB),
  keeps: fc.integer({ min: 0, max: 3 }),
});
const sizes = fc.array(fc.integer({ min: 1, max: MIB }), { maxLength: 40 });

describe("batches", () => {
  it("hold every file once, in order, and put it into one bundle of each repository that bundles it", () => {
    fc.assert(
      fc.property(sizes, fc.tuple(repo, repo), (some, repos) => {
        const files = some.map((sizeBytes, no) => scanned(`f${no}`, sizeBytes));
        const plans = repos.map((each, index) => ({ repoIndex: index + 1, plan: planOf(files, each) }));
        const nextIds = new Map<number, number>();
        const batches = [...planBatches(files, plans, nextIds)];
        expect(batches.flat().map(({ file }) => file)).toEqual(files);
        for (const { repoIndex, plan } of plans) {
          const filled = new Map<number, number>();
          for (const batch of batches) {
            const ids = new Set<number>();
            for (const { file, bundleIds } of batch) {
              const id = bundleIds.get(repoIndex);
              const wanted =
                plan.bundle !== null &&
                file.sizeBytes <= plan.bundle.limitBytes &&
                plan.files.kindOf(file.name) !== "keep";
              expect(id !== undefined).toBe(wanted);
              if (id === undefined) continue;
              ids.add(id);
              // A full bundle takes no more files.
              expect(filled.get(id) ?? 0).toBeLessThan(plan.bundle?.sizeBytes ?? 0);
              filled.set(id, (filled.get(id) ?? 0) + file.sizeBytes);
            }
            // One worker writes a bundle.
            for (const id of ids)
              expect(
                batches.filter((other) => other.some(({ bundleIds }) => bundleIds.get(repoIndex) === id)),
              ).toHaveLength(1);
          }
          expect([...filled.keys()]).toEqual(Array.from({ length: filled.size }, (_, index) => index + 1));
          expect(nextIds.get(repoIndex) ?? 1).toBe(filled.size + 1);
        }
      }),
    );
  });

  it("continue the numbers of the previous ones", () => {
    const files = [scanned("a", 10), scanned("b", 10)];
    const plans = [{ repoIndex: 1, plan: planOf(files, { sizeBytes: MIB, limitBytes: MIB, keeps: 0 }) }];
    const nextIds = new Map<number, number>();
    const [first] = planBatches(files, plans, nextIds);
    expect(first).toHaveLength(2);
    expect([...planBatches(files, plans, nextIds)][0]?.[0]?.bundleIds.get(1)).toBe(2);
  });
});
